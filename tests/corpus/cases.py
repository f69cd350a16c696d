"""Cases: the runs of the corpus, each with what it waits for and the value it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perdure import start, workflow
from perdure.abc import World
from perdure.errors import PerdureError, RunCancelledError, RunFailedError
from perdure.model import RunStatus

__all__ = ("CASES", "CLOCK_MS", "LATER_MS", "Case", "begin")

CLOCK_MS = 1_796_083_200_000  # of the worlds while the corpus is made
LATER_MS = CLOCK_MS + 2 * 86_400_000
FLOWS = Path(__file__).with_name("flows.ts")


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    flow: str
    args: tuple[Any, ...] = ()
    hook: str | None = None  # a keyed start
    before: tuple[tuple[str, Any], ...] = ()  # payloads by token, before it is frozen
    after: tuple[tuple[str, Any], ...] = ()
    result: Any = None
    error: type[PerdureError] | None = None  # instead
    status: RunStatus = RunStatus.RUNNING  # as it is kept
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    moves: bool = True  # it may go to another world: no family, and not ended


CASES: Mapping[str, Case] = {
    "hooked": Case(
        "hooked",
        ("plain",),
        before=(("corpus-plain", 5),),
        after=(("corpus-plain", 3), ("corpus-plain", 0)),
        result=10,
        attributes={"kind": "hook"},
    ),
    "keyed": Case(
        "keyed",
        ("corpus-key",),
        hook="corpus-key",
        after=(("corpus-key", {"word": "said"}),),
        result="said",
    ),
    "sleeping": Case("sleeping", result=True),
    "streaming": Case("streaming", after=(("corpus-streaming", None),), result=4),
    "retried": Case("retried", result="attempt 2"),
    "elsewhere": Case("elsewhere", result=41),
    "parent": Case(
        "parent", after=(("corpus-of-a-child", 0),), result=[2, True, "corpus-child"], moves=False
    ),
    "aborted": Case("aborted", after=(("corpus-aborted", 1),), result=[False, True, "enough"]),
    "heap": Case(
        "heap", after=(("corpus-heap", 1),), result=["100000000000000000012", "why 2", 63, 4]
    ),
    "completed": Case("completed", result=42, status=RunStatus.COMPLETED, moves=False),
    "failed": Case("failed", error=RunFailedError, status=RunStatus.FAILED, moves=False),
    "cancelled": Case("sleeping", error=RunCancelledError, status=RunStatus.CANCELLED, moves=False),
    "asked": Case("asked", error=RunCancelledError),
    "pending": Case("completed", result=42, status=RunStatus.PENDING),
}


async def begin(name: str, world: World) -> None:
    """Start a case's run."""
    case = CASES[name]
    await start(
        workflow(f"{FLOWS}#{case.flow}"),
        list(case.args),
        run_id=f"corpus-{name}",
        hook=case.hook,
        attributes=case.attributes,
        world=world,
    )
