"""The play: start an order, kill its worker with SIGKILL at several moments, count what happened.

The folder it leaves has everything: the workflow, its steps, the world, and a line for each body
that ran. Nothing in it is staged: the numbers are counted afterwards, from those files.
"""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.table import Table

from ..._model.events import EventType, LoggedEvent
from ..._runtime.audit import AuditReport, measure_run, verify_run
from ..._runtime.handles import Run
from ..._runtime.inspection import inspect_run
from ..._runtime.start import start
from ..._runtime.workflow import workflow
from ...abc import World
from ...errors import UsageError
from ...worlds import open_world
from .._errors import FAILED, run_async
from .._output import err, out

__all__ = ("demo",)

_LINES = [{"sku": name, "quantity": n} for n, name in enumerate(("lamp", "chair", "teapot"), 1)]
_KILL_AFTER = (6, 15, 25, 33)  # events in the log, when the worker is killed
_ENDED = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)
_LIMIT = 120.0  # seconds


def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo leaves its files.")] = Path(
        "perdure-demo"
    ),
) -> None:
    """Run an order flow, kill its worker at four moments, and see it end all the same."""

    async def main() -> int:
        _prepare(folder)
        url = f"sqlite:///{folder.absolute()}/demo.db"
        async with open_world(url) as world:
            began = time.perf_counter()
            run = await start(workflow(folder / "order.ts"), ["Ada", _LINES], world=world)
            err.print(f"started {run.id}", markup=False)
            pids = await _carry(run, folder, url)
            value = await run.result(timeout=_LIMIT)
            seconds = time.perf_counter() - began
            out.print(f"result: {json.dumps(value)}", markup=False, soft_wrap=True)
            return await _report(world, run, folder, pids, seconds)

    if run_async(main):
        raise typer.Exit(FAILED)


def _prepare(folder: Path) -> None:
    if folder.exists() and not (folder / "order.ts").exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} has other files; choose another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("order.ts", "shop.py"):
        text = resources.files("perdure.cli.demo").joinpath(name).read_text(encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")


@contextmanager
def _worker(folder: Path, url: str) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "perdure", "worker", "--steps", "shop", "--world", url]
    process = subprocess.Popen(command, cwd=folder, stderr=(folder / "worker.log").open("ab"))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _carry(run: Run, folder: Path, url: str) -> list[int]:
    """Have workers carry the run to its end, all but the last of them killed; gives their ids."""
    pids: list[int] = []
    seen = 0
    for kill_after in (*_KILL_AFTER, None):
        with _worker(folder, url) as process:
            pids.append(process.pid)
            err.print(f"worker {process.pid} is up", markup=False)
            seen = await _follow(run, seen, kill_after, process)
            if (await run.status()).is_ended:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            err.print(f"worker {process.pid} killed with SIGKILL", style="bold red", markup=False)
    return pids


async def _follow(
    run: Run, seen: int, kill_after: int | None, process: subprocess.Popen[bytes]
) -> int:
    """Show the log as it grows, until there is enough of it or the run has ended."""
    with anyio.fail_after(_LIMIT):
        while True:
            async for logged in run.events(after=seen):
                seen = logged.position
                _show(logged)
            if kill_after is not None and seen >= kill_after:
                return seen
            if (await run.status()).is_ended or process.poll() is not None:
                return seen
            await anyio.sleep(0.02)


def _show(logged: LoggedEvent) -> None:
    event = logged.event
    if event.type is EventType.STEP_STARTED:
        return
    name = str(event.facts.get("step") or event.facts.get("resume_at_ms") or "")
    err.print(
        f"  {logged.position:3} {event.type.value:15} {event.entity or '':9} {name}", markup=False
    )


async def _report(world: World, run: Run, folder: Path, pids: list[int], seconds: float) -> int:
    """The closing table, and whether anything was lost or doubled."""
    shown = await inspect_run(world, run.id)
    audit = await verify_run(world, run.id)
    costs = await measure_run(world, run.id)
    lines = (folder / "effects.jsonl").read_text(encoding="utf-8").splitlines()
    ran = Counter(str(json.loads(line)["id"]).partition("/")[2] for line in lines)
    ended = Counter(e.event.entity for e in shown.events if e.event.type in _ENDED)
    created = [e.event.entity for e in shown.events if e.event.type is EventType.STEP_CREATED]
    lost = [entity for entity in created if not ended[entity] or not ran[str(entity)]]
    doubled = [entity for entity, count in ended.items() if count > 1]
    table = Table("what happened", "", title="Perdure demo", show_header=False)
    for name, value in (
        ("workers, killed with SIGKILL", f"{len(pids)}, {len(pids) - 1}"),
        ("wall time", f"{seconds:.1f} s"),
        ("events in the log", str(len(shown.events))),
        ("step results recorded", str(sum(ended.values()))),
        ("step bodies executed", str(sum(ran.values()))),
        ("of these retries, and repeats after a kill", str(sum(ran.values()) - len(created))),
        ("results lost", str(len(lost))),
        ("results doubled", str(len(doubled))),
        ("suspensions", str(len(costs))),
        ("snapshot, median (largest)", _bytes([cost.snapshot_bytes for cost in costs])),
        ("freeze, median", f"{statistics.median(c.freeze_ms for c in costs):.2f} ms"),
        ("thaw, median", f"{statistics.median(c.thaw_ms for c in costs):.2f} ms"),
        ("replay of the log", _verdict(audit)),
        ("files", str(folder)),
    ):
        table.add_row(name, value)
    out.print(table)
    out.print(
        f"look closer: perdure inspect {run.id} --world {world.url}", markup=False, soft_wrap=True
    )
    return int(bool(lost or doubled or not audit.passed))


def _bytes(sizes: list[int]) -> str:
    return f"{statistics.median(sizes):.0f} ({max(sizes)}) bytes"


def _verdict(audit: AuditReport) -> str:
    return "gives what was stored" if audit.passed else f"differs: {audit.problems[0]}"
