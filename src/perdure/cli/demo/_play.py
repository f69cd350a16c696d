"""The play: start an order, kill its worker outright at several moments, count the effects.

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
from urllib.parse import quote

import anyio
import typer

from ..._model.events import EventType, LoggedEvent
from ..._protocol.json_values import Json
from ..._runtime.inspect.audit import measure_run, verify_run
from ..._runtime.inspect.inspection import inspect_run
from ..._runtime.run import Run
from ..._runtime.start import start
from ..._runtime.workflow import workflow
from ...abc import World
from ...errors import UsageError
from ...worldkit.files import make_folder
from ...worlds import open_world
from .._arguments import JsonOption
from .._errors import FAILED, run_async
from .._output import print_json, say, show, show_table

__all__ = ("demo",)

_LINES = [{"sku": name, "quantity": n} for n, name in enumerate(("lamp", "chair", "teapot"), 1)]
_KILL_AFTER = (6, 15, 25, 33)  # events in the log, when the worker is killed
_ENDED = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)
_LIMIT = 120.0  # seconds
_KILLED = "killed with SIGKILL" if hasattr(signal, "SIGKILL") else "killed"


def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo leaves its files.")] = Path(
        "perdure-demo"
    ),
    as_json_: JsonOption = False,
) -> None:
    """Run an order flow, kill its worker at four moments, and see it end all the same."""

    async def main() -> int:
        _prepare(folder)
        url = f"sqlite:///{quote(folder.absolute().as_posix(), safe='/:')}/demo.db"
        async with open_world(url) as world:
            began = time.perf_counter()
            run = await start(workflow(folder / "order.ts"), ["Ada", _LINES], world=world)
            say(f"started {run.id}")
            pids = await _carry(run, folder, url)
            value = await run.result(timeout=_LIMIT)
            seconds = time.perf_counter() - began
            figures = await _count(world, run, folder, value, pids, seconds)
        if as_json_:
            print_json(figures)
        else:
            _print(figures, url)
        return int(bool(figures["lost"] or figures["doubled"] or figures["problems"]))

    if run_async(main):
        raise typer.Exit(FAILED)


def _prepare(folder: Path) -> None:
    if folder.exists() and not (folder / "order.ts").exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} has other files; choose another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    for name in ("order.ts", "shop.py"):
        text = resources.files("perdure.cli.demo").joinpath(name).read_text(encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")


@contextmanager
def _worker(folder: Path, url: str) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "perdure", "worker", "--steps", "shop", "--world", url]
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log)
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
    """Have workers carry the run to its end, all but the last of them killed. Returns their ids."""
    pids: list[int] = []
    position = 0
    for kill_after in (*_KILL_AFTER, None):
        with _worker(folder, url) as process:
            pids.append(process.pid)
            say(f"worker {process.pid} is up")
            position = await _follow(run, position, kill_after, process)
            if (await run.status()).is_ended:
                break
            process.kill()
            process.wait()
            say(f"worker {process.pid} {_KILLED}", style="bold red")
    return pids


async def _follow(
    run: Run, position: int, kill_after: int | None, process: subprocess.Popen[bytes]
) -> int:
    """Show the log as it grows, until there is enough of it or the run has ended."""
    with anyio.fail_after(_LIMIT):
        while True:
            async for logged in run.events(after=position):
                position = logged.position
                _show(logged)
            if kill_after is not None and position >= kill_after:
                return position
            if (await run.status()).is_ended or process.poll() is not None:
                return position
            await anyio.sleep(0.02)


def _show(logged: LoggedEvent) -> None:
    event = logged.event
    if event.type is EventType.STEP_STARTED:
        return
    name = str(event.facts.get("step") or event.facts.get("resume_at_ms") or "")
    say(f"  {logged.position:3} {event.type.value:15} {event.entity or '':9} {name}")


async def _count(
    world: World, run: Run, folder: Path, value: object, pids: list[int], seconds: float
) -> Json:
    """The figures of the play, counted from the log and from the lines that the bodies wrote."""
    inspection = await inspect_run(world, run.id)
    audit = await verify_run(world, run.id)
    costs = await measure_run(world, run.id)
    lines = (folder / "effects.jsonl").read_text(encoding="utf-8").splitlines()
    ran = Counter(str(json.loads(line)["id"]).partition("/")[2] for line in lines)
    ended = Counter(e.event.entity for e in inspection.events if e.event.type in _ENDED)
    created = [e.event.entity for e in inspection.events if e.event.type is EventType.STEP_CREATED]
    sizes = [cost.snapshot_bytes for cost in costs]
    return {
        "run": run.id,
        "result": value,
        "workers": len(pids),
        "killed": len(pids) - 1,
        "seconds": round(seconds, 1),
        "events": len(inspection.events),
        "recorded": sum(ended.values()),
        "executed": sum(ran.values()),
        "repeated": sum(ran.values()) - len(created),
        "lost": [entity for entity in created if not ended[entity] or not ran[str(entity)]],
        "doubled": [entity for entity, count in ended.items() if count > 1],
        "suspensions": len(costs),
        "snapshot_bytes": {"median": statistics.median(sizes), "largest": max(sizes)},
        "freeze_ms": round(statistics.median(cost.freeze_ms for cost in costs), 2),
        "thaw_ms": round(statistics.median(cost.thaw_ms for cost in costs), 2),
        "problems": audit.problems,
        "folder": str(folder),
    }


def _print(figures: Json, url: str) -> None:
    show(f"result: {json.dumps(figures['result'])}")
    sizes, problems = figures["snapshot_bytes"], figures["problems"]
    rows = (
        (f"workers, {_KILLED}", f"{figures['workers']}, {figures['killed']}"),
        ("wall time", f"{figures['seconds']} s"),
        ("events in the log", str(figures["events"])),
        ("step results recorded", str(figures["recorded"])),
        ("step bodies executed", str(figures["executed"])),
        ("of these retries, and repeats after a kill", str(figures["repeated"])),
        ("results lost", str(len(figures["lost"]))),
        ("results doubled", str(len(figures["doubled"]))),
        ("suspensions", str(figures["suspensions"])),
        ("snapshot, median (largest)", f"{sizes['median']:.0f} ({sizes['largest']}) bytes"),
        ("freeze, median", f"{figures['freeze_ms']} ms"),
        ("thaw, median", f"{figures['thaw_ms']} ms"),
        ("replay of the log", f"differs: {problems[0]}" if problems else "gives what was stored"),
        ("files", figures["folder"]),
    )
    show_table((), rows, title="Perdure demo")
    show(f"look closer: perdure inspect {figures['run']} --world {url}")
