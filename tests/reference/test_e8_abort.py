# ruff: noqa: E501  # one program a line
"""E8 of the reference: signals across the workflow and its steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from perdure import Run, Worker, Workflow, resume_hook, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.errors import AbortError, GuestError, RunFailedError
from perdure.model import Append, Committed, EventType, RunId, TurnCommit
from perdure.testing.faults import Fault, FaultyWorld
from perdure.values import AbortController, AbortSignal
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, EVERY_WORLD]
HEAD = 'import { createHook, sleep } from "workflow"; import { hold, cut, look, plain, stop, count } from "python:aborted"; export async function w(arg) { "use workflow"; '


class Steps:
    """The steps, and what they saw."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.seen: list[object] = []
        self.held: AbortSignal | None = None
        self.calls = 0

    def all(self) -> list[Any]:
        @step(name="aborted:hold")
        async def hold(signal: AbortSignal) -> object:
            self.held = signal
            self.begun.set()
            reason = await signal.wait()
            self.seen.append((signal.aborted, reason))
            return "told"

        @step(name="aborted:cut", cancellable=True)
        async def cut(options: dict[str, AbortSignal]) -> None:
            self.begun.set()
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                self.seen.append("cancelled")
                raise

        @step(name="aborted:look")
        async def look(signal: AbortSignal) -> bool:
            self.calls += 1
            if self.calls == 99:
                signal.throw_if_aborted()
            return signal.aborted

        @step(name="aborted:plain")
        def plain(signal: AbortSignal) -> bool:
            self.begun.set()
            return signal.event().wait(20)

        @step(name="aborted:stop")
        async def stop(controller: AbortController, reason: str) -> str:
            await controller.abort(reason)
            return "stopped"

        @step(name="aborted:count")
        async def count(signal: AbortSignal) -> None:
            self.calls += 1
            signal.throw_if_aborted()

        return [hold, cut, look, plain, stop, count]


@asynccontextmanager
async def running(world: World, body: str) -> AsyncGenerator[tuple[Run, Steps]]:
    steps = Steps()
    async with Worker(world, steps=steps.all()):
        yield await start(Workflow.from_source(HEAD + body + "}"), [None], world=world), steps


async def kinds_of(run: Run) -> list[EventType]:
    return [logged.event.type async for logged in run.events()]


async def test_an_abort_in_the_workflow_reaches_a_running_step(world: World) -> None:
    body = 'const c = new AbortController(), told = hold(c.signal); await sleep(20); c.abort("why"); return [await told, c.signal.aborted];'
    async with running(world, body) as (run, steps):
        assert await run.result(timeout=20) == ["told", True]
        assert steps.seen == [(True, "why")]
        assert (await kinds_of(run)).count(EventType.ABORT_REQUESTED) == 1
        assert (await verify_run(world, run.id)).problems == []


async def test_a_cancellable_step_is_cancelled_and_fails_once(world: World) -> None:
    body = "const c = new AbortController(), out = cut({ signal: c.signal }); await sleep(20); c.abort(); try { await out; } catch (e) { return [e.name, e.fatal, e.cause.name]; }"
    async with running(world, body) as (run, steps):
        assert await run.result(timeout=20) == ["AbortError", True, "AbortError"]
        assert steps.seen == ["cancelled"]
        assert EventType.STEP_RETRYING not in await kinds_of(run)


async def test_a_plain_step_sees_it_by_an_event(world: World) -> None:
    body = "const c = new AbortController(), out = plain(c.signal); await sleep(20); c.abort(); return await out;"
    async with running(world, body) as (run, _):
        assert await run.result(timeout=20) is True


async def test_a_step_aborts_its_sibling_and_the_workflow_hears_of_it_before_the_result(
    world: World,
) -> None:
    body = """const c = new AbortController(), seen = []; c.signal.addEventListener("abort", () => seen.push("heard"));
      const held = hold(c.signal); seen.push(await stop(c, "by a step")); return [seen, await held, c.signal.reason];"""
    async with running(world, body) as (run, steps):
        assert await run.result(timeout=20) == [["heard", "stopped"], "told", "by a step"]
        assert steps.seen == [(True, "by a step")]
        kinds = await kinds_of(run)
        assert kinds.count(EventType.ABORT_RECEIVED) == 1
        assert kinds.index(EventType.ABORT_RECEIVED) < kinds.index(EventType.STEP_COMPLETED)
        assert (await verify_run(world, run.id)).problems == []


async def test_an_aborted_signal_is_aborted_in_the_steps_that_follow(world: World) -> None:
    body = """const c = new AbortController(), before = await look(c.signal); c.abort({ of: [1] });
      let failure; try { await cut({ signal: c.signal }); } catch (e) { failure = e.name; }
      const again = await look(c.signal); return [before, again, failure, c.signal.reason];"""
    async with running(world, body) as (run, steps):
        assert await run.result(timeout=20) == [False, True, "AbortError", {"of": [1]}]
        assert steps.seen == []


async def test_throw_if_aborted_fails_a_step_without_a_retry(world: World) -> None:
    body = 'try { await count(AbortSignal.abort("no more")); } catch (e) { return [e.name, e.message, e.fatal]; }'
    async with running(world, body) as (run, steps):
        assert await run.result(timeout=20) == ["AbortError", "no more", True]
        assert steps.calls == 1


async def test_any_is_aborted_by_each_of_its_signals(world: World) -> None:
    body = "const a = new AbortController(), b = new AbortController(), out = hold(AbortSignal.any([a.signal, b.signal])); await sleep(20); b.abort(2); return await out;"
    async with running(world, body) as (run, steps):
        assert await run.result(timeout=20) == "told"
        assert steps.seen == [(True, 2)]


async def test_a_signal_comes_back_as_itself(world: World) -> None:
    source = 'import { same } from "python:aborted"; export async function w() { "use workflow"; const c = new AbortController(), back = await same({ s: c.signal, c }); c.abort(1); return [back.s === c.signal, back.c.signal === c.signal, back.s.aborted]; }'

    @step(name="aborted:same")
    async def same(value: Any) -> Any:
        assert value["c"].signal == value["s"]
        return value

    async with Worker(world, steps=[same]):
        run = await start(Workflow.from_source(source), world=world)
        assert await run.result(timeout=20) == [True, True, True]


async def test_a_controller_in_a_hooks_metadata_aborts_from_outside(world: World) -> None:
    body = 'const c = new AbortController(), hook = createHook({ token: "abort-" + arg, metadata: { c } }); const told = await hold(c.signal); hook.dispose(); return [told, c.signal.reason];'
    async with running(world, body) as (run, steps):
        await steps.begun.wait()
        (hook,) = await run.hooks()
        metadata: Any = hook.metadata
        await metadata["c"].abort("outside")
        assert await run.result(timeout=20) == ["told", "outside"]
        await metadata["c"].abort("again")  # its run has ended: nobody is left to hear of it


async def test_an_abort_that_nobody_awaits_is_in_the_log(world: World) -> None:
    body = 'const c = new AbortController(), out = hold(c.signal); out.catch(() => 1); await sleep(20); c.abort("late");'
    async with running(world, body) as (run, steps):
        await run.result(timeout=20)

        async def look() -> list[object]:
            return steps.seen

        assert await until(look) == [(True, "late")]
        assert EventType.ABORT_REQUESTED in await kinds_of(run)


@IN_MEMORY
async def test_passing_a_signal_costs_no_turn(world: World) -> None:
    body = "const c = new AbortController(); for (let n = 0; n < 5; n++) await count(c.signal); return 5;"
    steps = Steps()
    async with Worker(world, steps=steps.all()) as worker:
        run = await start(Workflow.from_source(HEAD + body + "}"), [None], world=world)
        assert await run.result(timeout=20) == 5
        assert worker.statistics()["turns"] == 6


@pytest.mark.slow
@IN_MEMORY
async def test_another_process_reads_the_abort_from_the_log(world: World) -> None:
    """The state of this process is left out: the step hears of it by its look at the log."""
    body = (
        "const c = new AbortController(), out = hold(c.signal); await sleep(20); return await out;"
    )
    async with running(world, body) as (run, steps):
        await steps.begun.wait()
        from perdure._protocol.codec import encode
        from perdure.model import Append, EntityId, Event

        assert steps.held is not None
        entity = EntityId(steps.held.id)
        event = Event(
            type=EventType.ABORT_RECEIVED,
            key=f"{entity}/end",
            at_ms=world.now_ms(),
            entity=entity,
            payload=encode("elsewhere", where="reason"),
        )
        await world.storage.append(Append(run_id=run.id, event=event))
        assert await run.result(timeout=20) == "told"
        assert steps.seen == [(True, "elsewhere")]


async def test_a_run_that_is_begun_anew_has_signals_of_its_own(world: World) -> None:
    """Its id is that of one that was deleted, whose signal was aborted here."""
    body = "const c = new AbortController(); if (arg) c.abort(); return await look(c.signal);"
    for aborts in (True, False):
        steps = Steps()
        async with Worker(world, steps=steps.all()):
            flow = Workflow.from_source(HEAD + body + "}")
            run = await start(flow, [aborts], run_id="again", world=world)
            assert await run.result(timeout=20) is aborts
            await world.catalogue.delete_run(RunId(run.id))


@IN_MEMORY
async def test_two_aborts_at_once_are_one_and_the_log_still_makes_the_run(world: World) -> None:
    """One from outside lands before the turn in which the workflow aborts: the first counts."""
    body = 'const c = new AbortController(), hook = createHook({ token: "at once", metadata: c }); await hook; c.abort("inside"); await hook; return c.signal.reason;'
    outer = FaultyWorld(world, lambda number, call: Fault.NONE)  # no direct commits
    storage: Any = world.storage
    commit = storage.commit

    async def behind(turn: TurnCommit) -> Committed:
        for requested in [e for e in turn.events if e.type is EventType.ABORT_REQUESTED]:
            other = replace(requested, type=EventType.ABORT_RECEIVED, payload=b"\x67outside")
            await world.storage.append(Append(run_id=turn.run_id, event=other))
        committed: Committed = await commit(turn)
        return committed

    storage.commit = behind  # as if another process were first
    steps = Steps()
    async with Worker(outer, steps=steps.all()):
        run = await start(Workflow.from_source(HEAD + body + "}"), [None], world=world)

        async def hooks() -> object:
            return await run.hooks()

        await until(hooks)
        await resume_hook("at once", 1, world=world)

        async def aborted() -> bool:
            return EventType.ABORT_RECEIVED in await kinds_of(run)

        await until(aborted)
    await world.snapshots.delete(RunId(run.id))
    async with Worker(outer, steps=steps.all()):
        await resume_hook("at once", 2, world=world)
        assert await run.result(timeout=20) == "inside"
    assert EventType.ABORT_REQUESTED not in await kinds_of(run)
    assert (await verify_run(world, run.id)).problems == []


@IN_MEMORY
async def test_an_abort_error_that_nobody_catches_fails_the_run(world: World) -> None:
    async with running(world, "await count(AbortSignal.abort());") as (run, _):
        with pytest.raises(RunFailedError, match="AbortError: This operation was aborted"):
            await run.result(timeout=20)


def test_outside_a_step_a_signal_is_what_it_was() -> None:
    signal, controller = AbortSignal("run_x", "abort_1"), AbortController("run_x", "abort_1")
    seen: list[object] = []
    signal.on_abort(seen.append)
    signal.throw_if_aborted()
    AbortSignal("run_x", "abort_1", aborted=True, reason="r")
    assert (signal.aborted, signal.reason, seen, signal == controller.signal) == (
        True,
        "r",
        ["r"],
        True,
    )
    with pytest.raises(AbortError, match="r"):
        signal.throw_if_aborted()
    signal.on_abort(seen.append)
    assert seen == ["r", "r"]
    assert "aborted" in repr(signal)
    assert AbortError(GuestError(name="E", message="m")).message == "m"
