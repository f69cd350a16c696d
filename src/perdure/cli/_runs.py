"""Runs: start, run, list, inspect, cancel, verify."""

from __future__ import annotations

import difflib
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import typer
from rich.table import Table

from .._model.runs import RunFilter, RunStatus
from .._protocol.json_values import as_json
from .._runtime.audit import verify_run
from .._runtime.handles import get_run
from .._runtime.inspection import inspect_run, record_json
from .._runtime.start import start as start_run
from .._runtime.worker import Worker
from .._runtime.workflow import workflow
from ..abc import World
from ..errors import RunNotFoundError, UsageError
from ..worlds import open_world
from ._arguments import JsonOption, StepsOption, WorldOption, load_steps, parse_args
from ._errors import FAILED, run_async
from ._output import err, out, print_json
from ._progress import show_progress

__all__ = ("cancel", "inspect", "run", "runs", "start", "verify", "worker")

FileArgument = Annotated[str, typer.Argument(metavar="FILE[#EXPORT]", help="A workflow's file.")]
ArgsArgument = Annotated[str, typer.Argument(metavar="ARGS_JSON", help="A JSON array.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")]


def start(
    file: FileArgument,
    args: ArgsArgument = "[]",
    world: WorldOption = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key, the same run.")] = None,
    as_json_: JsonOption = False,
) -> None:
    """Start a run; a worker carries it on."""

    async def main() -> None:
        async with open_world(world) as opened:
            made = await start_run(
                workflow(file), parse_args(args), world=opened, idempotency_key=idempotency_key
            )
            if as_json_:
                print_json({"id": made.id})
            else:
                out.print(made.id, markup=False)

    run_async(main)


def run(
    file: FileArgument,
    args: ArgsArgument = "[]",
    steps: StepsOption = None,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Start a run, carry it on here, and print its result."""
    started: list[str] = []

    async def main() -> None:
        known = load_steps(steps or [])
        async with open_world(world) as opened, Worker(opened, steps=known.values()):
            made = await start_run(workflow(file), parse_args(args), world=opened)
            started.append(made.id)
            async with show_progress(made):
                value = await made.result()
            if as_json_:
                print_json({"id": made.id, "output": as_json(value)})
            else:
                print_json(as_json(value))

    try:
        run_async(main)
    except typer.Exit as exc:
        if exc.exit_code == 130 and started:
            modules = "".join(f" --steps {name}" for name in steps or [])
            err.print(
                f"run {started[0]} is kept; carry it on: perdure worker{modules}", markup=False
            )
        raise


def worker(
    steps: StepsOption = None,
    world: WorldOption = None,
    max_steps: Annotated[int, typer.Option(help="Step bodies at a time.")] = 1000,
) -> None:
    """Carry runs on until told to stop (SIGTERM or Ctrl-C); what is running is drained.

    PERDURE_SNAPSHOT_KEY, where it is set, is the key that snapshots are tagged with.
    """

    async def main() -> None:
        known = load_steps(steps or [])
        async with open_world(world) as opened:
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async with Worker(opened, steps=known.values(), max_steps=max_steps) as made:
                    err.print(f"working on {opened.url}, {len(known)} steps", markup=False)
                    async for _ in signals:
                        break
                    err.print("draining", markup=False)
                    made.drain()

    run_async(main)


def runs(
    status: Annotated[RunStatus | None, typer.Option(help="Only these.")] = None,
    name: Annotated[str | None, typer.Option("--workflow", help="Only of this workflow.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest last.")] = 100,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """List runs."""

    async def main() -> None:
        async with open_world(world) as opened:
            found: list[dict[str, Any]] = []
            where, cursor = RunFilter(status=status, workflow=name), None
            while len(found) < limit:
                page = await opened.catalogue.list_runs(
                    where, cursor=cursor, limit=limit - len(found)
                )
                found += [record_json(record) for record in page.runs]
                cursor = page.cursor
                if cursor is None:
                    break
        if as_json_:
            print_json(found)
            return
        table = Table("run", "workflow", "status", "created", "ended")
        for one in found:
            table.add_row(
                one["id"], one["workflow"], one["status"], one["created_at"], one["ended_at"]
            )
        out.print(table)

    run_async(main)


def inspect(run_id: RunArgument, world: WorldOption = None, as_json_: JsonOption = False) -> None:
    """Show a run: its events, steps, waits, hooks and snapshot."""

    async def main() -> None:
        async with open_world(world) as opened, _near(opened):
            shown = (await inspect_run(opened, run_id)).as_json()
        if as_json_:
            print_json(shown)
        else:
            _print_inspection(shown)

    run_async(main)


def cancel(
    run_id: RunArgument,
    reason: Annotated[str | None, typer.Option(help="Kept with the run.")] = None,
    world: WorldOption = None,
) -> None:
    """End a run as cancelled."""

    async def main() -> None:
        async with open_world(world) as opened, _near(opened):
            await get_run(run_id, opened).cancel(reason)
        out.print(f"cancelled {run_id}", markup=False)

    run_async(main)


def verify(run_id: RunArgument, world: WorldOption = None, as_json_: JsonOption = False) -> None:
    """Execute a run again from its log, and compare every stored snapshot byte for byte."""

    async def main() -> int:
        async with open_world(world) as opened, _near(opened):
            report = await verify_run(opened, run_id)
        if as_json_:
            print_json(
                {
                    "run": report.run_id,
                    "passed": report.passed,
                    "events": report.events,
                    "deliveries": report.deliveries,
                    "snapshots": report.snapshots,
                    "problems": report.problems,
                }
            )
        else:
            verdict = "the log and what was stored agree" if report.passed else "they differ"
            out.print(
                f"{verdict}: {report.events} events, {report.deliveries} deliveries, "
                f"{report.snapshots} snapshots compared",
                markup=False,
            )
            for problem in report.problems:
                out.print(f"  {problem}", markup=False)
        return 0 if report.passed else FAILED

    code = run_async(main)
    if code:
        raise typer.Exit(code)


@asynccontextmanager
async def _near(world: World) -> AsyncGenerator[None, None]:
    """Make an unknown run id's error name those like it."""
    try:
        yield
    except RunNotFoundError as exc:
        page = await world.catalogue.list_runs(RunFilter(), limit=1000)
        ids = [record.run_id for record in page.runs]
        close = difflib.get_close_matches(exc.run_id, ids, n=3) or ids[-3:]
        known = f"; did you mean {', '.join(close)}?" if close else "; the world has no runs"
        raise UsageError(f"no run {exc.run_id} in {world.url}{known}") from exc


def _print_inspection(shown: dict[str, Any]) -> None:
    head = shown["run"]
    out.print(f"{head['id']}  {head['workflow']}  {head['status']}", markup=False)
    for name in ("output", "error"):
        if head[name] is not None:
            out.print(f"{name}: {head[name]}", markup=False)
    steps = Table("step", "function", "status", "attempts", "awaited at")
    for one in shown["steps"]:
        steps.add_row(one["id"], one["step"], one["status"], str(one["attempts"]), one["at"])
    waits = Table("wait", "status", "until", "awaited at")
    for one in shown["waits"]:
        waits.add_row(one["id"], one["status"], one["resume_at"], one["at"])
    events = Table("#", "event", "of", "at")
    for one in shown["events"]:
        events.add_row(str(one["position"]), one["type"], one["entity"] or "", one["at"])
    for table in (steps, waits, events):
        if table.row_count:
            out.print(table)
    snapshot = shown["snapshot"]
    if snapshot:
        out.print(f"snapshot: {snapshot['bytes']} bytes at turn {snapshot['turn']}", markup=False)
