"""C5 of the reference: sleeps are ended before their time, each once."""

from __future__ import annotations

from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings, strategies as st

from perdure import Run, Worker, Workflow, get_run, start
from perdure._core.turn import end_key, wait_completed
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.inspect.inspection import inspect_run
from perdure.abc import World
from perdure.errors import RunNotFoundError, UsageError
from perdure.model import Append, EntityId, EventType
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio

FLOW = Workflow.from_source("""
import { sleep } from "workflow";

export async function naps(lengths: number[]) {
  "use workflow";
  const order: number[] = [];
  await Promise.all(lengths.map((ms, n) => sleep(ms).then(() => order.push(n))));
  const before = Date.now();
  await sleep(1000);
  return { order, next: Date.now() - before };
}
""")
HOUR = 3_600_000


async def asleep(run: Run, count: int) -> list[EntityId]:
    """Its open waits, once there are so many."""

    async def look() -> list[EntityId] | None:
        events = [logged.event async for logged in run.events()]
        made = [e.entity for e in events if e.type is EventType.WAIT_CREATED and e.entity]
        ended = {e.entity for e in events if e.type is EventType.WAIT_COMPLETED}
        waiting = [one for one in made if one not in ended]
        return waiting if len(waiting) == count else None

    return await until(look)


@EVERY_WORLD
async def test_all_or_some_sleeps_end_and_the_next_is_as_long_as_it_says(world: World) -> None:
    async with Worker(world, steps=[]):
        run = await start(FLOW, [[HOUR, HOUR, HOUR]], world=world)
        first, second, _ = await asleep(run, 3)
        assert await run.wake([second]) == 1
        assert await run.wake([second]) == 0
        assert await run.wake([first, second]) == 1
        assert await run.wake() == 1
        (last,) = await asleep(run, 1)
        assert await run.wake() == 1
        result = cast("dict[str, Any]", await run.result(timeout=20))
        assert result["order"] == [1, 0, 2]
        assert result["next"] < 60_000  # nobody waits for the end of the first hour
        events = [logged.event async for logged in run.events()]
        ends = [event for event in events if event.type is EventType.WAIT_COMPLETED]
        assert [event.facts["early"] for event in ends] == [True] * 4
        assert ends[-1].entity == last
        assert await run.wake() == 0
    assert (await verify_run(world, run.id)).passed


@EVERY_WORLD
async def test_a_sleep_whose_time_has_come_is_not_ended_again(world: World) -> None:
    async with Worker(world, steps=[]):
        run = await start(FLOW, [[HOUR]], world=world)
        (wait,) = await asleep(run, 1)
        now = world.now_ms()
        event = wait_completed(wait, resume_at_ms=now, now_ms=now)
        await world.storage.append(Append(run_id=run.id, event=event, wake=False))
        assert await run.wake() == 0
        assert await get_run(run.id, world).wake([wait]) == 0


@pytest.mark.worlds("memory")
async def test_mistakes_are_named(world: World) -> None:
    with pytest.raises(RunNotFoundError):
        await get_run("run_none", world).wake()
    async with Worker(world, steps=[]):
        run = await start(FLOW, [[HOUR]], world=world)
        (wait,) = await asleep(run, 1)
        with pytest.raises(UsageError, match=rf"no wait 'wait_9' \(it has: {wait}\)"):
            await run.wake(["wait_9"])
        with pytest.raises(UsageError, match="ids is a list"):
            await run.wake(wait)
        await run.cancel()
        assert await run.wake() == 0


# Milliseconds that pass, or the sleeps that are to end.
OPS = st.integers(1, 30) | st.frozensets(st.integers(0, 4), max_size=3)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5), ops=st.lists(OPS, max_size=12))
async def test_each_sleep_ends_once_however_it_ends(
    lengths: list[int], ops: list[int | frozenset[int]]
) -> None:
    """Wakes race with time that passes: no sleep is lost, or counted for both."""
    clock = ManualClock()
    async with MemoryWorld(clock=clock) as world, Worker(world, steps=[]):
        run = await start(FLOW, [lengths], world=world)
        waits = [EntityId(f"wait_{n + 1}") for n in range(len(lengths))]
        await _until_made(run, len(lengths))
        early = 0
        for op in ops:
            if isinstance(op, int):
                clock.advance(op)
            else:
                early += await run.wake([waits[n] for n in op if n < len(waits)] if op else None)
        clock.advance(100)
        await _until_made(run, len(lengths) + 1)
        clock.advance(1000)
        result = cast("dict[str, list[int]]", await run.result(timeout=20))
        assert sorted(result["order"]) == list(range(len(lengths)))
        events = [logged.event async for logged in run.events()]
        ends = [event for event in events if event.type is EventType.WAIT_COMPLETED]
        assert sorted(event.key for event in ends) == sorted(
            end_key(one) for one in (*waits, EntityId(f"wait_{len(waits) + 1}"))
        )
        assert sum(event.facts.get("early") is True for event in ends) == early
        assert (await verify_run(world, run.id)).passed
        assert len((await inspect_run(world, run.id)).entities) == len(lengths) + 1


async def _until_made(run: Run, count: int) -> None:
    with anyio.fail_after(20):
        while True:
            kinds = [logged.event.type async for logged in run.events()]
            if kinds.count(EventType.WAIT_CREATED) == count:
                return
            await anyio.lowlevel.checkpoint()
