"""What users rely on, on each world: retries, time-outs, cancelling, the console, hints, races."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import anyio
import anyio.lowlevel
import pytest

from perdure import (
    FatalError,
    RetryableError,
    Worker,
    Workflow,
    get_run,
    run_metadata,
    start,
    step,
    step_metadata,
)
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.inspect.inspection import inspect_run
from perdure._runtime.steps import AnyStep
from perdure.abc import World
from perdure.errors import (
    GuestError,
    IdempotencyConflictError,
    RunCancelledError,
    RunEndedError,
    RunFailedError,
    RunNotFoundError,
    RunTimeoutError,
    UsageError,
    ValueNotCarriableError,
)
from perdure.model import Digest, EventType, NewRun, RunId, RunStatus
from perdure.testing import ManualClock
from perdure.worlds import open_world
from tests.runtime.hurry import hurried
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio


def flow(body: str, imports: str = "add") -> Workflow:
    return Workflow.from_source(
        f'import {{ sleep, FatalError, getWorkflowMetadata }} from "workflow";\n'
        f'import {{ {imports} }} from "python:behaviour";\n'
        f"export async function flow(...args: any[]): Promise<any> {{\n"
        f'  "use workflow";\n{body}\n}}\n',
        filename="flow.ts",
    )


@step(name="behaviour:add")
async def add(a: int, b: int) -> int:
    return a + b


@step(name="behaviour:hang", timeout=0.02, max_retries=0)
async def hang() -> None:
    await anyio.sleep_forever()


@step(name="behaviour:retry", max_retries=2)
async def retry(until: int) -> int:
    attempt = step_metadata().attempt
    if attempt < until:
        raise RetryableError("not yet", retry_after=timedelta(milliseconds=1))
    return attempt


@step(name="behaviour:grouped", max_retries=0)
async def grouped() -> None:
    try:
        raise KeyError("inner")
    except KeyError as exc:
        raise LookupError("outer") from exc


@step(name="behaviour:about")
async def about() -> list[str]:
    return [run_metadata().workflow, step_metadata().step, run_metadata().run_id]


@step(name="behaviour:blocking")
def blocking(text: str) -> str:
    return text.upper()


@step(name="behaviour:unsendable", max_retries=0)
async def unsendable() -> object:
    return object()


STEPS: list[AnyStep] = [add, hang, retry, grouped, about, blocking, unsendable]


async def eventually(found: Callable[[], Awaitable[object]]) -> None:
    """Return once *found* finds something; for what trails what was awaited."""
    with anyio.fail_after(10):
        while not await found():
            await anyio.lowlevel.checkpoint()


async def result_of(world: World, workflow: Workflow, args: list[object] | None = None) -> object:
    async with Worker(world, steps=STEPS):
        run = await start(workflow, args or [], world=world)
        value = await run.result(timeout=20)
        assert (await verify_run(world, run.id)).problems == []
        return value


async def failure_of(world: World, workflow: Workflow) -> GuestError:
    with pytest.raises(RunFailedError) as caught:
        await result_of(world, workflow)
    assert isinstance(caught.value.error, GuestError)
    return caught.value.error


async def test_a_plain_function_runs_in_a_thread(world: World) -> None:
    assert await result_of(world, flow('return await blocking("a")', "blocking")) == "A"


async def test_metadata_is_known_in_a_step(world: World) -> None:
    found = await result_of(world, flow("return await about()", "about"))
    assert isinstance(found, list)
    assert found[:2] == ["flow", "behaviour:about"]


async def test_a_timeout_is_a_failure_that_can_be_caught(world: World) -> None:
    code = "try { await hang() } catch (e) { return e.cause ? e.cause.name : e.name }"
    assert await result_of(world, flow(code, "hang")) == "StepTimeoutError"


@EVERY_WORLD
async def test_retries_are_counted_and_end(url: str) -> None:
    clock = ManualClock()
    async with open_world(url, clock=clock) as world, Worker(world, steps=STEPS):
        once = await start(flow("return await retry(2)", "retry"))
        assert await hurried(once, clock) == 2
        error = await hurried(await start(flow("return await retry(9)", "retry")), clock)
        assert (await verify_run(world, once.id)).problems == []
    assert isinstance(error, GuestError)
    assert error.name == "FatalError"
    assert "after 2 retries" in error.text


async def test_an_errors_cause_crosses(world: World) -> None:
    code = "try { await grouped() } catch (e) { return [e.cause.name, e.cause.cause.name] }"
    assert await result_of(world, flow(code, "grouped")) == ["LookupError", "KeyError"]


async def test_a_result_that_cannot_be_carried_names_its_path(world: World) -> None:
    error = await failure_of(world, flow("return await unsendable()", "unsendable"))
    assert error.name == "ValueNotCarriableError"
    assert "behaviour:unsendable" in error.text


async def test_arguments_that_cannot_be_carried_start_nothing(world: World) -> None:
    with pytest.raises(ValueNotCarriableError, match=r"arguments\[0\]"):
        await start(flow("return 1"), [object()], world=world)
    with pytest.raises(UsageError, match="list"):
        await start(flow("return 1"), "text", world=world)


async def test_a_step_argument_that_cannot_be_carried_rejects_its_call(world: World) -> None:
    code = "try { await add(() => 1, 2) } catch (e) { return e.message }"
    assert "arguments[0]" in str(await result_of(world, flow(code)))


@EVERY_WORLD
async def test_the_same_key_is_the_same_run(world: World) -> None:
    one = await start(flow("return 1"), [1], world=world, idempotency_key="k")
    two = await start(flow("return 1"), [1], world=world, idempotency_key="k")
    assert one.id == two.id
    with pytest.raises(IdempotencyConflictError):
        await start(flow("return 1"), [2], world=world, idempotency_key="k")


@EVERY_WORLD
async def test_cancelling_ends_a_run_once(world: World) -> None:
    async with Worker(world, steps=STEPS):
        run = await start(flow('await sleep("1 day")'), world=world)
        await run.cancel("enough")
        await run.cancel("again")
        with pytest.raises(RunCancelledError, match="enough"):
            await run.result(timeout=5)
        done = await start(flow("return 1"), world=world)
        assert await done.result(timeout=5) == 1
        with pytest.raises(RunEndedError):
            await done.cancel()


@EVERY_WORLD
async def test_the_console_goes_to_the_runs_log(world: World) -> None:
    async with Worker(world, steps=STEPS):
        run = await start(flow('console.log("a", { b: 1 }); console.error("c"); return 1'))
        await run.result(timeout=5)
        await eventually(run.log_lines)  # output may trail the end
        lines = await run.log_lines()
    assert lines[0] == "a { b: 1 }"
    assert lines[1] == "[error] c"


async def test_an_awaited_promise_that_nothing_settles_fails_the_run(world: World) -> None:
    error = await failure_of(world, flow("await new Promise(() => {})"))
    assert error.name == "RunStalledError"


@EVERY_WORLD
async def test_a_race_leaves_its_loser_behind(world: World) -> None:
    code = 'return await Promise.race([sleep("1 day").then(() => "late"), add(1, 2)])'
    assert await result_of(world, flow(code)) == 3


async def test_a_result_without_a_worker_says_what_to_start(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    run = await start(flow("return 1"), world=world)
    with caplog.at_level(logging.WARNING, "perdure"), pytest.raises(RunTimeoutError) as caught:
        await run.result(timeout=0.05)
    assert "perdure worker" in caplog.text
    assert "perdure worker" in str(caught.value)


async def test_a_step_that_no_worker_has_is_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with Worker(world, steps=[blocking]):
        run = await start(flow("return await add(1, 2)"), world=world)

        async def is_waiting() -> object:
            return (await world.queue.count_waiting()).get("default/behaviour:add")

        await eventually(is_waiting)
        with caplog.at_level(logging.WARNING, "perdure"), pytest.raises(RunTimeoutError):
            await run.result(timeout=0.05)
    assert "--steps behaviour" in caplog.text
    async with Worker(world, steps=[add]):  # another worker has it
        assert await run.result(timeout=5) == 3


async def test_an_unknown_run_is_told(world: World) -> None:
    with pytest.raises(RunNotFoundError, match="run_nobody"):
        await get_run("run_nobody", world).status()


@EVERY_WORLD
async def test_a_large_run_goes_through_two_workers(world: World) -> None:
    code = """
      let t = 0;
      for (let i = 0; i < 30; i++) t = (await Promise.all([add(t, 1), retry(0)]))[0];
      return t;
    """
    async with Worker(world, steps=[add]), Worker(world, steps=[retry]):
        run = await start(flow(code, "add, retry"), world=world)
        assert await run.result(timeout=20) == 30
    assert (await verify_run(world, run.id)).problems == []


@EVERY_WORLD
async def test_snapshots_lag_no_further_than_asked(world: World) -> None:
    code = "let t = 0; for (let i = 0; i < 40; i++) t = await add(t, 1); return t"
    async with Worker(world, steps=STEPS, snapshot_lag=8) as worker:
        run = await start(flow(code), world=world)
        assert await run.result(timeout=20) == 40
        assert 4 <= worker.statistics()["snapshots"] <= 6
    async with Worker(world, steps=STEPS, snapshot_lag=0) as worker:
        run = await start(flow(code), world=world)
        assert await run.result(timeout=20) == 40
        assert 20 <= worker.statistics()["snapshots"] <= 40  # quick steps leave no time for more


@EVERY_WORLD
async def test_a_worker_drains_before_it_leaves(world: World) -> None:
    begun, may_end = anyio.Event(), anyio.Event()

    @step(name="behaviour:slow")
    async def slow() -> str:
        begun.set()
        await may_end.wait()
        return "done"

    run = await start(flow("return await slow()", "slow"), world=world)
    async with Worker(world, steps=[slow]) as worker:
        await begun.wait()
        worker.drain()
        assert (await run.status()) is RunStatus.RUNNING
        may_end.set()
    assert await run.result(timeout=5) == "done"


@EVERY_WORLD
async def test_damaged_snapshots_are_rebuilt_from_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    code = "let t = await add(1, 2); await sleep(30); return t + (await add(3, 4))"
    async with Worker(world, steps=STEPS):
        run = await start(flow(code), world=world)
        await eventually(lambda: world.snapshots.load(RunId(run.id)))
        chain = await world.snapshots.load(RunId(run.id))
    bad = replace(chain[-1], data=chain[-1].data[:-1] + b"x", turn=chain[-1].turn + 1)
    await world.snapshots.save(RunId(run.id), replace(bad, parent_turn=None))
    with caplog.at_level(logging.WARNING, "perdure"):
        async with Worker(world, steps=STEPS) as worker:
            assert await run.result(timeout=10) == 10
            assert worker.statistics()["rebuilt"] in (0, 1)
    if (await inspect_run(world, run.id)).chain[-1].turn != bad.turn:
        assert "rebuilding it from its log" in caplog.text


@EVERY_WORLD
async def test_a_run_whose_bundle_is_missing_is_parked_not_failed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    new = NewRun(
        run_id=RunId("run_lost"),
        workflow="flow",
        bundle=Digest("0" * 64),
        engine=Digest("0" * 64),
        input=b"\x80",
        created_at_ms=world.now_ms(),
    )
    with caplog.at_level(logging.WARNING, "perdure"):
        async with Worker(world, steps=STEPS):
            await world.storage.create_run(new)

            async def is_told() -> object:
                await world.storage.get_run(RunId("run_lost"))
                return "run_lost" in caplog.text

            await eventually(is_told)
    assert (await world.storage.get_run(RunId("run_lost"))).status is RunStatus.PENDING


@EVERY_WORLD
async def test_events_tell_of_attempts(world: World) -> None:
    async with Worker(world, steps=STEPS):
        run = await start(flow("return await add(1, 1)"), world=world)
        await run.result(timeout=5)
        kinds = [logged.event.type async for logged in run.events()]
    assert kinds == [
        EventType.RUN_CREATED,
        EventType.STEP_CREATED,
        EventType.STEP_STARTED,
        EventType.STEP_COMPLETED,
        EventType.RUN_COMPLETED,
    ]


async def test_a_fatal_error_is_not_retried(world: World) -> None:
    calls: list[int] = []

    @step(name="behaviour:fatal", max_retries=5)
    async def fatal() -> None:
        calls.append(1)
        raise FatalError("for good")

    async with Worker(world, steps=[fatal]):
        run = await start(flow("await fatal()", "fatal"), world=world)
        with pytest.raises(RunFailedError, match="for good"):
            await run.result(timeout=5)
    assert len(calls) == 1


async def test_equal_arguments_under_one_key_are_one_run(world: World) -> None:
    """However they were written: the order of keys, and 1.0 for 1."""
    flow_of_one = flow("return 1")
    one = await start(flow_of_one, [{"a": 1, "b": 2.0}], world=world, idempotency_key="k")
    two = await start(flow_of_one, [{"b": 2, "a": 1.0}], world=world, idempotency_key="k")
    assert one.id == two.id
    with pytest.raises(IdempotencyConflictError):
        await start(flow_of_one, [{"a": True, "b": 2}], world=world, idempotency_key="k")


async def test_an_empty_key_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="must not be empty"):
        await start(flow("return 1"), world=world, idempotency_key="")
