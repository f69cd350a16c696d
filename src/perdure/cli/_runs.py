"""Runs: start, run, work, log, verify."""

from __future__ import annotations

import difflib
import gc
import os
from collections.abc import Collection
from typing import Annotated

import anyio
import typer

from .._protocol.json_values import Json, as_json
from .._runtime.inspect.audit import verify_run
from .._runtime.run import Run, get_run
from .._runtime.start import start as start_run
from .._runtime.step_options import DEFAULT_QUEUE
from .._runtime.steps import AnyStep
from .._runtime.worker.worker import Worker
from .._runtime.workflow import Workflow, workflow
from ..abc import Capability, World
from ..display import shown_url
from ..errors import RunCancelledError, RunFailedError, RunMovedError
from ..worlds import open_world
from ._arguments import (
    JsonOption,
    QueueOption,
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
from ._output import counted, print_json, say, show
from ._progress import show_console, show_progress
from ._signals import stop_on_signal

__all__ = ("log", "run", "start", "verify", "worker")

FileArgument = Annotated[str, typer.Argument(metavar="FILE[#EXPORT]", help="A workflow's file.")]
ArgsArgument = Annotated[str, typer.Argument(metavar="ARGS_JSON", help="A JSON array.")]


def start(
    file: FileArgument,
    args: ArgsArgument = "[]",
    world: WorldOption = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key, the same run.")] = None,
    hook: Annotated[
        str | None, typer.Option(help="A hook's token that the run claims as it is created.")
    ] = None,
    root: RootOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Start a run; a worker carries it on."""

    async def main() -> None:
        async with open_world(world) as opened:
            check_shared(opened)
            run = await start_run(
                workflow(file, root=root),
                parse_args(args),
                world=opened,
                idempotency_key=idempotency_key,
                hook=hook,
            )
            if as_json_:
                print_json({"id": run.id})
            else:
                show(run.id)

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
    started: list[tuple[Run, World]] = []

    def stop(scope: anyio.CancelScope) -> None:
        say("interrupted; signal again to exit at once")
        for one, opened in started:
            say(_advice(one, opened, steps or [], world))
        scope.cancel()

    def leave() -> None:
        is_durable = all(Capability.DURABLE in opened.capabilities for _, opened in started)
        say("exited at once" + ("; another worker repeats running steps" if is_durable else ""))

    async def main() -> None:
        by_id = load_steps(steps or [])
        async with (
            stop_on_signal(stop, leave),
            open_world(world) as opened,
            show_console() as console,
            Worker(
                opened,
                steps=by_id.values(),
                queues={DEFAULT_QUEUE, *(one.options.queue for one in by_id.values())},
            ),
        ):
            target = workflow(file, root=root)
            run = await start_run(target, parse_args(args), world=opened)
            started.append((run, opened))
            _tell_of_missing(target, by_id)
            async with show_progress(run, console):
                value = await _result(run, as_json_=as_json_)
        if as_json_:
            print_json({"id": run.id, "status": "completed", "output": as_json(value)})
        else:
            print_json(as_json(value))

    run_async(main)


async def _result(run: Run, *, as_json_: bool) -> object:
    """The run's result. Any other end is raised, and printed first if as JSON."""
    try:
        return await run.result()
    except (RunFailedError, RunCancelledError, RunMovedError) as exc:
        if as_json_:
            print_json(_end(run, exc))
        raise


def _end(run: Run, error: RunFailedError | RunCancelledError | RunMovedError) -> Json:
    match error:
        case RunFailedError():
            return {
                "id": run.id,
                "status": "failed",
                "code": error.code,
                "error": as_json(error.error),
            }
        case RunCancelledError():
            return {"id": run.id, "status": "cancelled", "error": error.reason}
        case RunMovedError():
            status = "moved" if error.arrived else "moving"
            return {"id": run.id, "status": status, "moved_to": error.to}


def _advice(run: Run, opened: World, steps: Collection[str], world: str | None) -> str:
    """How a run goes on whose program was interrupted; in a world of one process it does not."""
    if Capability.DURABLE not in opened.capabilities:
        return f"run {run.id} is gone: {opened.url} ends with this process"
    modules = "".join(f" --steps {name}" for name in steps)
    where = f" --world {shown_url(world)}" if world else ""
    return f"run {run.id} is kept; carry it on: perdure worker{modules}{where}"


def _tell_of_missing(target: Workflow, step_ids: Collection[str]) -> None:
    """Say which steps the workflow imports that this worker does not have."""
    for step in sorted(target.compile().step_ids - set(step_ids)):
        close = difflib.get_close_matches(step, step_ids, n=1)
        module = step.partition(":")[0]
        mend = f"did you mean {close[0]}?" if close else f"give --steps {module}"
        say(f"warning: step {step} is not here: {mend}")


def worker(
    steps: StepsOption = None,
    queue: QueueOption = None,
    world: WorldOption = None,
    max_steps: Annotated[int, typer.Option(help="Step bodies at a time.")] = 1000,
    max_turns: Annotated[int, typer.Option(help="Runs that are carried at a time.")] = 256,
    drain_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Cancel steps that still run so long after the signal to stop; other workers run "
            "them again. Default: never.",
        ),
    ] = None,
) -> None:
    """Carry runs on until told to stop (SIGTERM or Ctrl-C); running steps are drained.

    PERDURE_SNAPSHOT_KEY, where it is set, is the key that snapshots are tagged with.
    """

    async def main() -> None:
        by_id = load_steps(steps or [])
        stop_event = anyio.Event()

        def stop(_: anyio.CancelScope) -> None:
            say("draining: waiting for running steps; signal again to exit at once")
            stop_event.set()

        def leave() -> None:
            say("exited at once; another worker repeats running steps")

        async with stop_on_signal(stop, leave), open_world(world) as opened:
            check_shared(opened)
            queues = queue or [DEFAULT_QUEUE]
            say(f"working on {opened.url}, {_served(by_id.values(), queues)}")
            async with Worker(
                opened,
                steps=by_id.values(),
                queues=queues,
                max_steps=max_steps,
                max_turns=max_turns,
                drain_timeout=drain_timeout,
            ) as running_worker:
                gc.freeze()  # loaded modules stay: to look through them took 20 ms each time
                await stop_event.wait()
                running_worker.drain()
        left_behind.append(running_worker.statistics()["left_behind"])

    left_behind: list[int] = []
    run_async(main)
    if any(left_behind):
        say(f"exited with {counted(sum(left_behind), 'step')} that cannot be cancelled")
        os._exit(0)  # this process would wait for their threads


def _served(steps: Collection[AnyStep], queues: Collection[str]) -> str:
    """How many steps are run, and which queues are left to other workers."""
    if not steps:
        return "no steps: give --steps MODULE"
    count = sum(one.options.queue in queues for one in steps)
    others = sorted({one.options.queue for one in steps}.difference(queues))
    rest = f"; not of {', '.join(f'--queue {name}' for name in others)}" if others else ""
    return f"{counted(count, 'step')}{rest}"


def log(run_id: RunArgument, world: WorldOption = None, as_json_: JsonOption = False) -> None:
    """Show the lines that a run's workflow wrote to the console."""

    async def main() -> None:
        async with open_world(world) as opened, near(opened):
            run = get_run(run_id, opened)
            await run.info()
            lines = await run.log_lines()
        if as_json_:
            print_json(lines)
        for line in () if as_json_ else lines:
            show(line)

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
                f"{verdict}: {counted(report.events, 'event')}, {_deliveries(report.deliveries)}, "
                f"{counted(report.snapshots, 'snapshot')} compared"
            )
            for problem in report.problems:
                show(f"  {problem}")
        return 0 if report.passed else FAILED

    code = run_async(main)
    if code:
        raise typer.Exit(code)


def _deliveries(count: int) -> str:
    return "1 delivery" if count == 1 else f"{count:,} deliveries"
