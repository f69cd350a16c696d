"""Runs: start, run, list, inspect, cancel, verify."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Annotated, Any

import anyio
import typer

from .._model.runs import RunFilter, RunRecord, RunStatus
from .._protocol.codec import decode
from .._protocol.json_values import as_json
from .._runtime.audit import verify_run
from .._runtime.handles import Run, get_run
from .._runtime.inspection import inspect_run, record_json
from .._runtime.start import start as start_run
from .._runtime.worker import Worker
from .._runtime.workflow import Workflow, workflow
from ..display import shown_url
from ..errors import GuestError, PerdureError
from ..worlds import open_world
from ._arguments import (
    JsonOption,
    RootOption,
    RunArgument,
    StepsOption,
    WorldOption,
    check_shared,
    load_steps,
    near,
    parse_args,
)
from ._errors import FAILED, run_async
from ._output import LONGEST_CELL, cut, print_json, say, show, show_table
from ._progress import show_console, show_progress
from ._signals import stop_on_signal

__all__ = ("cancel", "inspect", "log", "run", "runs", "start", "verify", "worker")

FileArgument = Annotated[str, typer.Argument(metavar="FILE[#EXPORT]", help="A workflow's file.")]
ArgsArgument = Annotated[str, typer.Argument(metavar="ARGS_JSON", help="A JSON array.")]


def start(
    file: FileArgument,
    args: ArgsArgument = "[]",
    world: WorldOption = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key, the same run.")] = None,
    root: RootOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Start a run; a worker carries it on."""

    async def main() -> None:
        async with open_world(world) as opened:
            check_shared(opened)
            made = await start_run(
                workflow(file, root=root),
                parse_args(args),
                world=opened,
                idempotency_key=idempotency_key,
            )
            if as_json_:
                print_json({"id": made.id})
            else:
                show(made.id)

    run_async(main)


def run(
    file: FileArgument,
    args: ArgsArgument = "[]",
    steps: StepsOption = None,
    world: WorldOption = None,
    root: RootOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Start a run, carry it on here, and print its result."""
    modules = "".join(f" --steps {name}" for name in steps or [])
    where = f" --world {shown_url(world)}" if world else ""
    made: list[Run] = []

    def stop(scope: anyio.CancelScope) -> None:
        say("interrupted; once more leaves at once")
        for started in made:
            say(f"run {started.id} is kept; carry it on: perdure worker{modules}{where}")
        scope.cancel()

    async def main() -> None:
        known = load_steps(steps or [])
        async with (
            stop_on_signal(stop),
            open_world(world) as opened,
            show_console() as console,
            Worker(opened, steps=known.values()),
        ):
            target = workflow(file, root=root)
            made.append(await start_run(target, parse_args(args), world=opened))
            _tell_of_missing(target, known)
            async with show_progress(made[0], console):
                value = await made[0].result()
        if as_json_:
            print_json({"id": made[0].id, "output": as_json(value)})
        else:
            print_json(as_json(value))

    run_async(main)


def _tell_of_missing(target: Workflow, known: Collection[str]) -> None:
    """Say which steps the workflow imports that this worker does not have."""
    for step in sorted(target.compile().step_ids - set(known)):
        close = difflib.get_close_matches(step, known, n=1)
        module = step.partition(":")[0]
        mend = f"did you mean {close[0]}?" if close else f"give --steps {module}"
        say(f"warning: step {step} is not here: {mend}")


def worker(
    steps: StepsOption = None,
    world: WorldOption = None,
    max_steps: Annotated[int, typer.Option(help="Step bodies at a time.")] = 1000,
    max_turns: Annotated[int, typer.Option(help="Runs that are carried at a time.")] = 256,
) -> None:
    """Carry runs on until told to stop (SIGTERM or Ctrl-C); what is running is drained.

    PERDURE_SNAPSHOT_KEY, where it is set, is the key that snapshots are tagged with.
    """

    async def main() -> None:
        known = load_steps(steps or [])
        told = anyio.Event()

        def stop(_: anyio.CancelScope) -> None:
            say("draining: what is running ends first; once more leaves at once")
            told.set()

        async with stop_on_signal(stop), open_world(world) as opened:
            check_shared(opened)
            served = f"{len(known)} steps" if known else "no steps: give --steps MODULE"
            say(f"working on {opened.url}, {served}")
            async with Worker(
                opened, steps=known.values(), max_steps=max_steps, max_turns=max_turns
            ) as made:
                await told.wait()
                made.drain()

    run_async(main)


def runs(
    context: typer.Context,
    status: Annotated[RunStatus | None, typer.Option(help="Only these.")] = None,
    name: Annotated[str | None, typer.Option("--workflow", help="Only of this workflow.")] = None,
    error: Annotated[
        str | None, typer.Option(help="Only those that failed with this: FruitlessTurnsError.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest first.")] = 100,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """List runs; or do something with one: perdure runs COMMAND --help."""
    if context.invoked_subcommand is not None:
        return

    async def main() -> None:
        async with open_world(world) as opened:
            found: list[dict[str, Any]] = []
            failed = RunStatus.FAILED if error is not None else status
            where, cursor = RunFilter(status=failed, workflow=name), None
            while len(found) < limit:
                page = await opened.catalogue.list_runs(
                    where, cursor=cursor, limit=limit - len(found)
                )
                found += [
                    record_json(record) for record in page.runs if _failed_with(record, error)
                ]
                cursor = page.cursor
                if cursor is None:
                    break
        if as_json_:
            print_json(found)
            return
        rows: list[list[str]] = []
        for one in found:
            times = [_to_second(one[name]) for name in ("created_at", "ended_at")]
            rows.append([one["id"], one["workflow"], one["status"], *times])
        show_table(("run", "workflow", "status", "created", "ended"), rows)

    run_async(main)


def _failed_with(record: RunRecord, name: str | None) -> bool:
    """Whether the run's error has this name; any run has None."""
    if name is None:
        return True
    if record.payload is None:
        return False
    try:
        error = decode(record.payload)
    except PerdureError:
        return False
    return isinstance(error, GuestError) and error.name == name


def inspect(run_id: RunArgument, world: WorldOption = None, as_json_: JsonOption = False) -> None:
    """Show a run: its events, steps, waits, hooks and snapshot."""

    async def main() -> None:
        async with open_world(world) as opened, near(opened):
            shown = (await inspect_run(opened, run_id)).as_json()
        if as_json_:
            print_json(shown)
        else:
            _print_inspection(shown)

    run_async(main)


def log(run_id: RunArgument, world: WorldOption = None, as_json_: JsonOption = False) -> None:
    """Show what a run's workflow wrote to the console."""

    async def main() -> None:
        lines: list[str] = []
        async with open_world(world) as opened, near(opened):
            found = get_run(run_id, opened)
            await found.info()
            while more := await found.log_lines(start=len(lines)):
                lines += more
        if as_json_:
            print_json(lines)
        for line in () if as_json_ else lines:
            show(line)

    run_async(main)


def cancel(
    run_id: RunArgument,
    reason: Annotated[str | None, typer.Option(help="Kept with the run.")] = None,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """End a run as cancelled."""

    async def main() -> None:
        async with open_world(world) as opened, near(opened):
            await get_run(run_id, opened).cancel(reason)
            record = await get_run(run_id, opened).info()
        if as_json_:
            print_json(record_json(record))
        else:
            show(f"cancelled {run_id}")

    run_async(main)


def verify(run_id: RunArgument, world: WorldOption = None, as_json_: JsonOption = False) -> None:
    """Execute a run again from its log, and compare every stored snapshot byte for byte."""

    async def main() -> int:
        async with open_world(world) as opened, near(opened):
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
            show(
                f"{verdict}: {report.events} events, {report.deliveries} deliveries, "
                f"{report.snapshots} snapshots compared"
            )
            for problem in report.problems:
                show(f"  {problem}")
        return 0 if report.passed else FAILED

    code = run_async(main)
    if code:
        raise typer.Exit(code)


def _to_second(time: str | None) -> str:
    return "" if time is None else time.partition("+00:00")[0].partition(".")[0].replace("T", " ")


def _print_inspection(shown: dict[str, Any]) -> None:
    head = shown["run"]
    show("  ".join([cut(head[name], LONGEST_CELL) for name in ("id", "workflow", "status")]))
    if head["moved_to"] is not None:
        to, arrived = head["moved_to"], head["status"] == "moved"
        show(f"moved to: {to}")
        if not arrived:
            show(f"not known to have arrived: perdure runs copy {head['id']} --to {to}")
    for name in ("output", "error"):
        if head[name] is not None:
            show(f"{name}: {head[name]}")
    for columns, rows in _tables(shown):
        if rows:
            show_table(columns, rows)
    snapshot = shown["snapshot"]
    if snapshot:
        show(f"snapshot: {snapshot['bytes']} bytes at turn {snapshot['turn']}")


def _attempts(step: dict[str, Any]) -> str:
    return f"{step['attempts']}" + (f" ({step['lost']} lost)" if step["lost"] else "")


def _tables(shown: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], list[list[str]]]]:
    yield (
        ("step", "function", "status", "attempts", "awaited at"),
        [
            [one["id"], one["step"], one["status"], _attempts(one), one["at"]]
            for one in shown["steps"]
        ],
    )
    yield (
        ("wait", "status", "until", "awaited at"),
        [[one["id"], one["status"], one["resume_at"] or "", one["at"]] for one in shown["waits"]],
    )
    yield (
        ("#", "event", "of", "at"),
        [
            [str(one["position"]), one["type"], one["entity"] or "", one["at"] or ""]
            for one in shown["events"]
        ],
    )
