"""A run that no worker gets on with fails by name, in one write; it is never silently left."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from perdure import Worker, Workflow, get_run, start, step
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from perdure.model import (
    Committed,
    Digest,
    EventType,
    NewRun,
    RunId,
    RunStatus,
    TurnCommit,
)
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld
from tests.runtime.hurry import passing

pytestmark = pytest.mark.anyio
BUDGET = 10  # of turns, where a worker lives to tell
LOST = 1000
VISIBILITY_MS = 1000

FLOW = Workflow.from_source(
    """import { add } from "python:fruitless";
export async function flow(): Promise<number> {
  "use workflow";
  return await add(1, 2);
}
""",
    filename="flow.ts",
)


@step(name="fruitless:add")
async def add(a: int, b: int) -> int:
    return a + b


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def world(clock: ManualClock) -> AsyncGenerator[World, None]:
    async with MemoryWorld(clock=clock) as made:
        yield made


async def lose(world: World, clock: ManualClock, times: int) -> None:
    """Workers that claim the run and die."""
    for _ in range(times):
        assert await world.queue.claim_wakes(limit=1, visibility_ms=VISIBILITY_MS)
        clock.advance(VISIBILITY_MS)


async def failure_of(world: World, run_id: str) -> GuestError:
    async with Worker(world, steps=[add]):
        with pytest.raises(RunFailedError) as caught:
            await get_run(run_id, world=world).result(timeout=3600)  # by a clock that hurries
    assert isinstance(caught.value.error, GuestError)
    return caught.value.error


async def test_a_run_whose_workers_die_fails_by_name_and_in_one_write(
    world: World, clock: ManualClock
) -> None:
    run = await start(FLOW, world=world)
    await lose(world, clock, LOST)
    error = await failure_of(world, run.id)
    assert error.name == "FruitlessTurnsError"
    assert f"{LOST + 1} times" in str(error)
    record = await world.storage.get_run(RunId(run.id))
    assert (record.status, record.turn) == (RunStatus.FAILED, 1)
    events = await world.storage.read_events(RunId(run.id))
    assert [e.event.type for e in events] == [EventType.RUN_CREATED, EventType.RUN_FAILED]
    assert await world.queue.count_waiting() == {"": 0}


async def test_a_run_within_its_budget_goes_on(world: World, clock: ManualClock) -> None:
    run = await start(FLOW, world=world)
    await lose(world, clock, LOST - 1)
    async with Worker(world, steps=[add]):
        assert await run.result(timeout=10) == 3


async def test_a_turn_that_lands_meanwhile_saves_its_run(
    world: World, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await start(FLOW, world=world)
    await lose(world, clock, LOST)
    storage, commit = world.storage, world.storage.commit
    tried: list[TurnCommit] = []

    async def saved(failure: TurnCommit) -> Committed:
        """Land a turn of another worker just before it."""
        tried.append(failure)
        monkeypatch.setattr(storage, "commit", commit)
        await commit(replace(failure, commit_id="other", outcome=None))
        return await commit(failure)

    monkeypatch.setattr(storage, "commit", saved)
    async with Worker(world, steps=[add]):
        assert await run.result(timeout=10) == 3
    assert [one.outcome.status for one in tried if one.outcome] == [RunStatus.FAILED]


async def test_the_count_begins_anew_with_each_commit(world: World, clock: ManualClock) -> None:
    run = await start(FLOW, world=world)
    await lose(world, clock, LOST - 1)
    async with Worker(world, steps=[]):  # which has not the step: the run waits for it
        with anyio.fail_after(10):
            while not (await world.storage.get_run(RunId(run.id))).turn:
                await anyio.lowlevel.checkpoint()
    await world.queue.wake(RunId(run.id), due_ms=clock.now_ms())
    await lose(world, clock, LOST - 1)
    async with Worker(world, steps=[add]):
        assert await run.result(timeout=10) == 3


async def test_a_run_that_cannot_be_built_fails_by_name_with_the_reason(
    world: World, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = await _broken(world)
    await lose(world, clock, LOST // 2)  # which are no sign against it
    assert isinstance(world, MemoryWorld)
    async with passing(world, clock):
        error = await failure_of(world, run_id)
    assert error.name == "FruitlessTurnsError"
    assert isinstance(error.cause, GuestError)
    assert caplog.text.count("a turn failed; it is tried again") == BUDGET


async def _broken(world: World) -> str:
    """A run whose bundle is none."""
    good, junk = await start(FLOW, world=world), b"no bundle"
    record = await world.storage.get_run(RunId(good.id))
    await good.cancel()
    digest = Digest(hashlib.sha256(junk).hexdigest())
    await world.blobs.put(digest, junk)
    broken = NewRun(
        run_id=RunId("broken"),
        workflow=record.workflow,
        bundle=digest,
        engine=record.engine,
        input=b"\x80",
        created_at_ms=world.now_ms(),
    )
    await world.storage.create_run(broken)
    return broken.run_id
