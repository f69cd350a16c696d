# ruff: noqa: E501  # one program a line
"""E7, twice as good: a run that is cancelled may clean up within a time, and its steps are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, cast

import anyio
import pytest

from perdure import Run, Worker, Workflow, cancel_runs, resume_hook, start, step, stop_event
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.errors import RunCancelledError, RunEndedError, RunFailedError, UsageError
from perdure.model import EventType, RunFilter, RunStatus
from perdure.testing.memory import MemoryWorld
from perdure.values import UNDEFINED
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = pytest.mark.anyio
HEAD = 'import { createHook, sleep } from "workflow"; import { RunCancelledError } from "workflow/errors"; import { hold, cut, plain, note, flaky, never } from "python:cleaning"; export async function w(arg) { "use workflow"; '
MINUTE = timedelta(minutes=1)
KINDS: list[tuple[str, list[object]]] = [("cut", ["cut"]), ("plain", [True])]


class Steps:
    """The steps, and what they saw."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.freed = asyncio.Event()
        self.seen: list[object] = []

    def all(self) -> list[Any]:
        @step(name="cleaning:hold")
        async def hold() -> str:
            self.begun.set()
            await self.freed.wait()
            return "held"

        @step(name="cleaning:cut", cancellable=True)
        async def cut() -> None:
            self.begun.set()
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                self.seen.append("cut")
                raise

        @step(name="cleaning:plain")
        def plain() -> None:
            event = stop_event()
            self.begun.set()
            self.seen.append(event.wait(20))

        @step(name="cleaning:note", cancellable=True)
        async def note(text: object) -> object:
            self.seen.append(text)
            await anyio.sleep(0.01)
            return text

        @step(name="cleaning:flaky", max_retries=3, retry_delay=0.001)
        async def flaky() -> None:
            self.seen.append("tried")
            self.begun.set()
            await self.freed.wait()
            raise RuntimeError("again")

        return [hold, cut, plain, note, flaky]


@asynccontextmanager
async def running(world: World, body: str) -> AsyncGenerator[tuple[Run, Steps]]:
    steps = Steps()
    async with Worker(world, steps=steps.all()):
        yield await start(Workflow.from_source(HEAD + body + "}"), [None], world=world), steps
        steps.freed.set()


async def kinds_of(run: Run) -> list[EventType]:
    return [logged.event.type async for logged in run.events()]


async def is_asleep(run: Run) -> bool:
    return EventType.WAIT_CREATED in await kinds_of(run)


async def ends_cancelled(run: Run, reason: str | None = "enough") -> None:
    with pytest.raises(RunCancelledError) as caught:
        await run.result(timeout=20)
    assert caught.value.reason == reason
    assert await run.status() is RunStatus.CANCELLED
    kinds = await kinds_of(run)
    assert kinds[-1] is EventType.RUN_CANCELLED
    assert kinds.count(EventType.RUN_CANCELLED) == 1


@EVERY_WORLD
async def test_cleanup_runs_and_then_the_run_is_cancelled(world: World) -> None:
    body = 'try { await sleep("1 day"); } finally { await note("clean"); await note("up"); }'
    async with running(world, body) as (run, steps):
        await until(lambda: is_asleep(run))
        await run.cancel("enough", graceful=MINUTE)
        await ends_cancelled(run)
        assert steps.seen == ["clean", "up"]
        assert (await verify_run(world, run.id)).problems == []
        await run.cancel(graceful=MINUTE)
        await run.cancel()


@EVERY_WORLD
async def test_what_is_awaited_rejects_and_a_step_says_whether_it_had_started(
    world: World,
) -> None:
    body = """const hook = createHook({ token: "t" + arg });
      const all = await Promise.allSettled([hold(), never(), sleep("1 day"), hook, hook[Symbol.asyncIterator]().next()]);
      return all.map(({ reason: e }) => [e.name, e.reason, e.stepStarted, e instanceof RunCancelledError, e.deadline > new Date()]);"""
    async with running(world, body) as (run, steps):
        await steps.begun.wait()
        await until(lambda: is_asleep(run))
        await run.cancel("why", graceful=MINUTE)
        head = ["RunCancelledError", "why"]
        nothing = [*head, UNDEFINED, True, True]
        assert await run.result(timeout=20) == [
            [*head, True, True, True],
            [*head, False, True, True],
            nothing,
            nothing,
            nothing,
        ]
        assert await run.status() is RunStatus.COMPLETED
        assert await world.queue.count_waiting(["default/cleaning:never"]) == {"": 0}


@EVERY_WORLD
async def test_a_run_that_goes_on_is_ended_when_its_time_is_over(world: World) -> None:
    body = 'try { await sleep("1 day"); } catch { for (;;) { await note(1); await sleep(30); } }'
    async with running(world, body) as (run, steps):
        await until(lambda: is_asleep(run))
        await run.cancel("enough", graceful=0.3)
        await ends_cancelled(run)
        assert len(steps.seen) > 1


@EVERY_WORLD
async def test_steps_are_told_in_both_kinds_of_cancel(world: World) -> None:
    for graceful in (None, MINUTE):
        for name, seen in KINDS:
            async with running(world, f"await {name}();") as (run, steps):
                await steps.begun.wait()
                await run.cancel("enough", graceful=graceful)
                await ends_cancelled(run)
                await until(partial(_has_seen, steps, seen))


async def _has_seen(steps: Steps, seen: list[object]) -> bool:
    return steps.seen == seen


@IN_MEMORY
async def test_a_step_that_would_run_again_does_not(world: World) -> None:
    body = 'try { await flaky(); } finally { await note("clean"); }'
    async with running(world, body) as (run, steps):
        await steps.begun.wait()
        await run.cancel("enough", graceful=MINUTE)
        await until(partial(_has_seen, steps, ["tried", "clean"]))
        await ends_cancelled(run)
        steps.freed.set()
        await anyio.sleep(0.1)
        assert steps.seen == ["tried", "clean"]


@IN_MEMORY
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('await sleep("1 day");', RunStatus.CANCELLED),
        ('try { await sleep("1 day"); } catch (e) { throw new Error("x", { cause: e }); }', RunStatus.CANCELLED),
        ('try { await sleep("1 day"); } catch { await new Promise(() => {}); }', RunStatus.CANCELLED),
        ('try { await sleep("1 day"); } catch { await sleep("2 days"); }', RunStatus.CANCELLED),
        ('try { await sleep("1 day"); } catch { throw new Error("other"); }', RunStatus.FAILED),
        ('try { await sleep("1 day"); } catch { return 1; }', RunStatus.COMPLETED),
        ('const p = sleep("2 days"); try { await sleep("1 day"); } catch { await sleep(5); return 1; }', RunStatus.COMPLETED),
        ('for await (const p of createHook({ token: "x" })) await note(p);', RunStatus.CANCELLED),
        ('await Promise.any([sleep("1 day"), hold()]).catch((e) => { throw e.errors[0]; });', RunStatus.CANCELLED),
    ],
)  # fmt: skip
async def test_how_a_run_ends_is_up_to_its_code(world: World, body: str, status: RunStatus) -> None:
    async with running(world, body) as (run, _):
        await until(lambda: _begins_to_wait(run))
        await run.cancel("enough", graceful=MINUTE)
        record = await world.storage.wait_ended(run.id, wait_ms=20_000)
        assert record.status is status
        assert record.cancel_at_ms is not None
        assert "unhandled" not in " ".join(await run.log_lines())
        assert (await verify_run(world, run.id)).problems == []


async def _begins_to_wait(run: Run) -> bool:
    return (await run.info()).turn > 0


@IN_MEMORY
async def test_a_hook_stays_open_and_takes_what_cleanup_waits_for(world: World) -> None:
    body = 'const hook = createHook({ token: "tok" }); try { await hook; } catch { return await hook; }'
    async with running(world, body) as (run, _):
        await until(lambda: _begins_to_wait(run))
        await run.cancel(graceful=MINUTE)
        await until(lambda: _was_told(run))
        await resume_hook("tok", "go", world=world)
        assert await run.result(timeout=20) == "go"


async def _was_told(run: Run) -> bool:
    events = [logged async for logged in run.events()]
    asked = [e.position for e in events if e.event.type is EventType.CANCEL_REQUESTED]
    return bool(asked) and (await run.info()).consumed >= asked[0]


@EVERY_WORLD
async def test_without_a_worker_a_run_whose_time_is_over_ends_when_one_starts(
    world: World,
) -> None:
    """Also one whose bundle is not there any more."""
    workflow = Workflow.from_source(
        HEAD + 'try { await sleep("1 day"); } finally { await note(1); } }'
    )
    run = await start(workflow, [None], world=world)
    await run.cancel("enough", graceful=0)
    steps = Steps()
    async with Worker(world, steps=steps.all()):
        await ends_cancelled(run)
    assert steps.seen == []
    done = await start(Workflow.from_source(HEAD + "}"), [None], world=world)
    async with Worker(world, steps=[]):
        await done.result(timeout=20)
    with pytest.raises(RunEndedError):
        await done.cancel(graceful=1)


@IN_MEMORY
async def test_many_are_asked_at_once_and_asking_again_changes_nothing(world: World) -> None:
    workflow = Workflow.from_source(HEAD + 'await sleep("1 day"); }')
    runs = [await start(workflow, [None], world=world) for _ in range(3)]
    await runs[0].cancel("first", graceful=MINUTE)
    before = (await runs[0].info()).cancel_at_ms
    results = await cancel_runs([run.id for run in runs], reason="second", graceful=5, world=world)
    assert all(result.is_cancelled for result in results)
    assert (await runs[0].info()).cancel_at_ms == before
    for wrong in (True, "soon", float("nan")):
        with pytest.raises(UsageError, match="graceful="):
            await runs[0].cancel(graceful=wrong)  # type: ignore[arg-type]  # wrong by intent
    async with Worker(world, steps=[]):
        await ends_cancelled(runs[0], "first")
        await ends_cancelled(runs[1], "second")


@IN_MEMORY
async def test_a_failure_after_the_request_is_told(world: World) -> None:
    body = 'try { await sleep("1 day"); } finally { throw new Error("no cleanup"); }'
    async with running(world, body) as (run, _):
        await until(lambda: _begins_to_wait(run))
        await run.cancel(graceful=MINUTE)
        with pytest.raises(RunFailedError, match="no cleanup"):
            await run.result(timeout=20)


FAMILY = """
import { sleep } from "workflow"; import { start } from "workflow/api"; import { note } from "python:cleaning";
export async function top() { "use workflow"; const run = await start(middle, []); try { await run.returnValue; } finally { await note("top"); } }
export async function middle() { "use workflow"; await start(low, []); await start(low, []); try { await sleep("1 day"); } finally { await note("middle"); } }
export async function low() { "use workflow"; try { await sleep("1 day"); } finally { await note("low"); } }
"""


async def the_family(world: World, count: int) -> list[Run]:
    page = await world.catalogue.list_runs(RunFilter(), cursor=None, limit=50)
    runs = [record for record in page.runs if record.turn]
    return [Run(record.run_id, world) for record in runs] if len(runs) == count else []


@EVERY_WORLD
async def test_a_family_is_cancelled_by_choice(world: World) -> None:
    for graceful, left in ((None, []), (MINUTE, ["low", "low", "middle", "top"])):
        steps = Steps()
        async with Worker(world, steps=steps.all()):
            top = await start(Workflow.from_source(FAMILY, name="top"), world=world)
            runs = await until(partial(the_family, world, 4))
            await top.cancel("enough", graceful=graceful, children="cancel")
            for run in runs:
                await ends_cancelled(run)
            assert sorted(map(str, steps.seen)) == left
        for run in runs:
            await world.catalogue.delete_run(run.id)


@EVERY_WORLD
async def test_children_are_left_by_default(world: World) -> None:
    async with Worker(world, steps=Steps().all()):
        top = await start(Workflow.from_source(FAMILY, name="top"), world=world)
        runs = await until(partial(the_family, world, 4))
        await top.cancel("enough")
        await ends_cancelled(top)
        others = [run for run in runs if run.id != top.id]
        assert {await run.status() for run in others} == {RunStatus.RUNNING}
        results = await cancel_runs([run.id for run in others], children="cancel", world=world)
        assert all(result.is_cancelled for result in results)
    with pytest.raises(UsageError, match="children="):
        await top.cancel(children="all")  # type: ignore[arg-type]  # wrong by intent


CANCELLING = """
import { sleep } from "workflow"; import { start, Run } from "workflow/api"; import { note } from "python:cleaning";
export async function one(options) { "use workflow"; const run = await start(child, []); const p = await run.cancel(options);
  try { await run.returnValue; } catch (e) { return [e.name, p]; } }
export async function last(id) { "use workflow"; const run = await start(child, []); await run.cancel({ cancelReason: "last" }); return run.runId; }
export async function child() { "use workflow"; try { await sleep("1 day"); } finally { await note("child"); } }
export async function wrong(options, id) { "use workflow"; try { await new Run(id).cancel(options); } catch (e) { return [e.name, e.message]; } }
"""


@EVERY_WORLD
async def test_a_workflow_cancels_its_child(world: World) -> None:
    steps = Steps()
    async with Worker(world, steps=steps.all()):
        for options, seen in (
            ({"reason": "x"}, []),
            ({"graceful": "1m", "children": "cancel"}, ["child"]),
        ):
            run = await start(Workflow.from_source(CANCELLING, name="one"), [options], world=world)
            assert await run.result(timeout=20) == ["WorkflowRunCancelledError", UNDEFINED]
            assert steps.seen == seen
            assert (await verify_run(world, run.id)).problems == []
        run = await start(Workflow.from_source(CANCELLING, name="last"), [None], world=world)
        await ends_cancelled(Run(str(await run.result(timeout=20)), world), "last")


@IN_MEMORY
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (1, "takes an object of options"),
        ({"reason": 1}, "a text of at most 512"),
        ({"reason": "x" * 513}, "a text of at most 512"),
        ({"graceful": "soon"}, "graceful takes milliseconds"),
        ({"children": "all"}, 'children is "cancel" or "leave"'),
    ],
)
async def test_a_wrong_cancel_says_what_to_write(world: World, options: object, text: str) -> None:
    async with Worker(world, steps=Steps().all()):
        workflow = Workflow.from_source(CANCELLING, name="wrong")
        run = await start(workflow, [options, "run_other"], world=world)
        name, message = cast("list[str]", await run.result(timeout=20))
        assert name == "TypeError"
        assert text in message


@IN_MEMORY
async def test_a_run_does_not_cancel_itself_and_others_may_be_gone(world: World) -> None:
    async with Worker(world, steps=Steps().all()):
        workflow = Workflow.from_source(CANCELLING, name="wrong")
        run = await start(workflow, [{}, "run_own"], world=world)
        assert await run.result(timeout=20) is UNDEFINED
        source = 'import { Run } from "workflow/api"; import { getWorkflowMetadata } from "workflow"; export async function w() { "use workflow"; try { await new Run(getWorkflowMetadata().workflowRunId).cancel(); } catch (e) { return e.message; } }'
        run = await start(Workflow.from_source(source), world=world)
        assert "throw an error, or return" in str(await run.result(timeout=20))


@EVERY_WORLD
async def test_a_step_of_the_turn_that_is_told_of_the_request_never_runs(world: World) -> None:
    body = 'try { await Promise.race([note("no"), sleep("1 day")]); } catch (e) { await note("clean"); return e.stepStarted; }'
    run = await start(Workflow.from_source(HEAD + body + "}"), [None], world=world)
    await run.cancel(graceful=MINUTE)
    steps = Steps()
    async with Worker(world, steps=steps.all()):
        assert await run.result(timeout=20) is False
    assert steps.seen == ["clean"]
    assert (await verify_run(world, run.id)).problems == []


@IN_MEMORY
async def test_a_run_whose_bundle_is_gone_is_ended_in_time(world: World) -> None:
    run = await start(Workflow.from_source(HEAD + 'await sleep("1 day"); }'), [None], world=world)
    cast("MemoryWorld", world)._store.blobs.clear()
    async with Worker(world, steps=[]):
        await run.cancel("enough", graceful=0.3)
        await ends_cancelled(run)
