"""A drain has a deadline: past it steps are cut short, and others run them again at once."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from perdure import Run, Worker, Workflow, start, step, step_metadata, timeout_event
from perdure._runtime import steps as registry
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.timing import Timing
from perdure._runtime.worker import bodies
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError, UsageError
from perdure.model import EventType
from perdure.testing import ManualClock
from perdure.testing.faults import Fault, FaultyWorld
from perdure.worlds import make_world, open_world
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio


def calling(call: str) -> Workflow:
    return Workflow.from_source(
        'import { body, quick } from "python:drain";\n'
        f'export async function w(): Promise<any> {{ "use workflow"; {call} }}\n'
    )


FLOW = calling("return await body()")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


class Gate:
    """Lets bodies wait, and tells that they have begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.attempts: list[int] = []

    def enter(self) -> bool:
        """Note an execution; gives whether it is the first, which is to wait."""
        self.attempts.append(step_metadata().attempt)
        self.begun.set()
        return len(self.attempts) == 1

    async def wait_begun(self) -> None:
        assert await anyio.to_thread.run_sync(self.begun.wait, 10)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Open at the end at the latest, so that no thread outlives its test."""
    gate = Gate()
    yield gate
    gate.may_end.set()


async def waits(gate: Gate) -> str:
    if gate.enter():
        await asyncio.Event().wait()
    return "done"


async def cleans_up(gate: Gate) -> str:
    if gate.enter():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
    return "done"


async def swallows(gate: Gate) -> str:
    if gate.enter():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "half done"
    return "done"


async def fails_by_it(gate: Gate) -> str:
    if gate.enter():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            raise ValueError("an odd way to end") from exc
    return "done"


@EVERY_WORLD
@pytest.mark.parametrize("body", [waits, cleans_up, swallows, fails_by_it])
async def test_a_step_that_is_cut_short_runs_again_at_once_and_uses_up_no_attempt(
    world: World, gate: Gate, body: Callable[[Gate], Awaitable[str]]
) -> None:
    @step(name="drain:body", max_retries=1)
    async def one() -> str:
        return await body(gate)

    async with Worker(world, steps=[one], drain_timeout=0) as worker:
        run = await start(FLOW, world=world)
        await gate.wait_begun()
    assert worker.statistics()["left_behind"] == 0
    async with Worker(world, steps=[one]):
        assert await run.result(timeout=5) == "done"  # half as long as a lease
    assert gate.attempts == [1, 1]
    kinds = [logged.event.type async for logged in run.events()]
    assert EventType.STEP_RETRYING not in kinds
    assert (await verify_run(world, run.id)).problems == []


@EVERY_WORLD
async def test_a_step_that_must_not_run_twice_fails_when_it_was_cut_short(
    world: World, gate: Gate
) -> None:
    @step(name="drain:body", max_retries=0)
    async def one() -> str:
        return await waits(gate)

    async with Worker(world, steps=[one], drain_timeout=0):
        run = await start(FLOW, world=world)
        await gate.wait_begun()
    async with Worker(world, steps=[one]):
        with pytest.raises(RunFailedError) as caught:
            await run.result(timeout=5)
    assert isinstance(caught.value.error, GuestError)
    assert caught.value.error.name == "StepLostError"
    assert gate.attempts == [1]


async def test_a_drain_in_time_cuts_nothing_short(world: World, gate: Gate) -> None:
    @step(name="drain:body")
    async def one() -> str:
        gate.enter()
        await anyio.to_thread.run_sync(gate.may_end.wait)
        return "done"

    worker = Worker(world, steps=[one], drain_timeout=timedelta(seconds=30))
    await worker.start()
    run = await start(FLOW, world=world)
    await gate.wait_begun()
    closing = asyncio.create_task(worker.aclose())
    await asyncio.sleep(0)
    gate.may_end.set()
    await closing
    async with Worker(world, steps=[one]):
        assert await run.result(timeout=10) == "done"
    assert gate.attempts == [1]


async def test_a_plain_step_that_heeds_its_event_runs_again_at_once(
    world: World, gate: Gate
) -> None:
    @step(name="drain:body", max_retries=1)
    def one() -> str:
        return ("cut short" if timeout_event().wait(10) else "late") if gate.enter() else "done"

    async with Worker(world, steps=[one], drain_timeout=0) as worker:
        run = await start(FLOW, world=world)
        await gate.wait_begun()
    assert worker.statistics()["left_behind"] == 0
    async with Worker(world, steps=[one]):
        assert await run.result(timeout=5) == "done"
    assert gate.attempts == [1, 1]


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.slow
async def test_a_plain_step_that_does_not_end_is_left_behind_and_its_claim_to_its_lease(
    gate: Gate, caplog: pytest.LogCaptureFixture, timeout: float | None
) -> None:
    told: list[bool] = []

    @step(name="drain:body", max_retries=1, timeout=timeout)
    def one() -> str:
        if gate.enter():
            gate.may_end.wait(20)
            told.append(timeout_event().is_set())
        return "done"

    clock = ManualClock()
    async with open_world("memory://", clock=clock) as world:
        with anyio.fail_after(5):
            async with Worker(world, steps=[one], drain_timeout=0) as worker:
                run = await start(FLOW, world=world)
                await gate.wait_begun()
        assert worker.statistics()["left_behind"] == 1
        assert "drain:body goes on in its thread" in caplog.text
        topics = [one.topic]
        assert await world.queue.claim_messages(topics, limit=1, visibility_ms=1) == ()
        gate.may_end.set()
        with anyio.fail_after(10):
            while "s after its worker" not in caplog.text:
                await anyio.lowlevel.checkpoint()
        assert told == [True]
        clock.advance(Timing().lease_ms)
        async with Worker(world, steps=[one]):
            assert await run.result(timeout=10) == "done"
        assert gate.attempts == [1, 2]  # as one that was lost: it may go on somewhere


@pytest.mark.slow
async def test_a_shielded_scope_does_not_hold_a_drain_for_long(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SHIELDED", 0.1)

    @step(name="drain:body", max_retries=1)
    async def one() -> str:
        if gate.enter():
            with anyio.CancelScope(shield=True):
                await asyncio.Event().wait()
        return "done"

    with anyio.fail_after(5):
        async with Worker(world, steps=[one], drain_timeout=0):
            run = await start(FLOW, world=world)
            await gate.wait_begun()
    async with Worker(world, steps=[one]):
        assert await run.result(timeout=5) == "done"


async def test_steps_that_have_no_task_yet_are_given_back_too(world: World, gate: Gate) -> None:
    """Of a fan-out that has just landed."""

    @step(name="drain:body")
    async def one() -> str:
        return await waits(gate)

    fan_out = calling("return (await Promise.all(Array.from({length: 50}, () => body()))).length")
    worker = Worker(world, steps=[one], drain_timeout=0)
    await worker.start()
    starting = asyncio.create_task(start(fan_out, world=world))
    await gate.wait_begun()
    await worker.aclose()
    run: Run = await starting
    async with Worker(world, steps=[one]):
        assert await run.result(timeout=5) == 50


async def test_what_a_step_returned_counts_though_its_turn_was_cut_short(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, is_stuck = world.storage.commit, asyncio.Event()

    async def stuck(commit: Any) -> Any:
        if commit.turn == 0:
            return await commits(commit)
        is_stuck.set()
        return await asyncio.Event().wait()

    @step(name="drain:body")
    async def one() -> str:
        gate.enter()
        return "done"

    faulty = FaultyWorld(world, lambda number, call: Fault.NONE)
    cast(Any, faulty.storage).commit = stuck
    worker = Worker(faulty, steps=[one], drain_timeout=0)
    await worker.start()
    run = await start(FLOW, world=faulty)
    await is_stuck.wait()
    await worker.aclose()
    async with Worker(world, steps=[one]):
        assert await run.result(timeout=5) == "done"
    assert gate.attempts == [1]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -1, -0.1, "5s", True, timedelta(seconds=-1), [1]]
)
def test_a_drain_timeout_that_is_none_is_refused(value: Any) -> None:
    world = make_world("memory://")
    with pytest.raises(UsageError, match="drain_timeout="):
        Worker(world, drain_timeout=value)
