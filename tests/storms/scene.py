"""A scene: one storm on one store, the runs that it began, and its findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from perdure import Run, Workflow, start, workflow
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from tests.storms.storm_steps import SOURCE

__all__ = ("Findings", "Scene", "Size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a storm is."""

    runs: int  # that are raced for
    rounds: int  # of each of them


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a storm came to; on a sound world all but the first three are nothing."""

    seconds: float = 0
    runs: int = 0
    payloads: int = 0  # or results, or ends of sleeps: whatever must come once
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    corrupted: list[str] = field(default_factory=list[str])  # logs, by what is wrong with them

    def faults(self) -> dict[str, object]:
        """The findings that are not as on a sound world."""
        facts = asdict(self)
        for name in ("seconds", "runs", "payloads"):
            del facts[name]
        return {name: value for name, value in facts.items() if value}


class Scene:
    """Begins runs and compares what they came to with what they should."""

    def __init__(self, world: World, size: Size) -> None:
        self.world = world
        self.size = size
        self.findings = Findings()
        self._workflows: dict[str, Workflow] = {}
        self._runs: list[Run] = []

    async def begin(self, name: str, *arguments: object) -> Run:
        """Start the workflow with this name."""
        flow = self._workflows.setdefault(name, workflow(f"{SOURCE}#{name}"))
        run = await start(flow, list(arguments), world=self.world)
        self.note(run)
        return run

    def note(self, run: Run) -> None:
        """Audit this run, too, which a step began."""
        self._runs.append(run)
        self.findings.runs += 1

    def compare(self, expected: Iterable[Hashable], actual: Iterable[Hashable]) -> None:
        """Note what is missing from *actual*, and what is there too often."""
        due, received = Counter(expected), Counter(actual)
        self.findings.payloads += due.total()
        self.findings.lost += (due - received).total()
        self.findings.doubled += (received - due).total()

    def compare_order(self, expected: Sequence[str], actual: Iterable[str]) -> None:
        """Note whether those of *actual* that are *expected* come in another order."""
        due = set(expected)
        self.findings.disordered += [one for one in actual if one in due] != list(expected)

    async def audit(self) -> None:
        """Verify every run."""
        for run in self._runs:
            report = await verify_run(self.world, run.id)
            self.findings.corrupted += [f"{run.id}: {problem}" for problem in report.problems]
