"""A pool beside guests that never end: they are put aside, share, pause, and are stopped."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from perdure._model.commands import Completed, Interrupted, Outcome
from perdure._protocol.frames import Limits
from perdure._vm import pool as pool_module, seat as seat_module
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline
from perdure._vm.pool import VmPool
from perdure._vm.watch import StoppedError, StopReason, Watch
from perdure.errors import UsageError
from tests.guests import start_frame
from tests.vm.conftest import bundle_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LOOP = "export async function w(n) { let t = 0; for (let i = 0; i < n; i++) t += i; return t; }"
ENDLESS = 2**53


@functools.cache
def baseline() -> Baseline:
    return Baseline.build(default_engine(), bundle_of(LOOP))


def run_loop(count: int) -> Outcome | None:
    """A guest that counts so far."""
    guest = baseline().instantiate()
    try:
        return guest.start(start_frame(count, limits=Limits(instructions=0))).outcome
    finally:
        guest.close()


async def loop_in(pool: VmPool, watch: Watch, count: int = ENDLESS) -> Outcome | None:
    return await pool.run(lambda: run_loop(count), watch)


@asynccontextmanager
async def busy_pool(threads: int = 1) -> AsyncGenerator[VmPool, None]:
    pool = VmPool(threads)
    try:
        yield pool
    finally:
        await asyncio.to_thread(pool.close)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        # A loop that never sleeps would have the interpreter lock, which guests need to pause.
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.005)


async def test_a_busy_guest_is_put_aside_and_others_are_served() -> None:
    async with busy_pool() as pool:
        watch = Watch(60)
        busy = asyncio.create_task(loop_in(pool, watch))
        await until(lambda: pool.statistics()["aside"] == 1)
        assert await pool.run(lambda: 1) == 1
        assert pool.statistics()["threads"] == 1
        assert "1 aside" in repr(pool)
        watch.stop(StopReason.DEADLINE)
        assert isinstance(await busy, Interrupted)
        await until(lambda: pool.statistics()["at_work"] == 0)
        assert pool.statistics() == {"threads": 1, "max_threads": 1, "aside": 0, "at_work": 0}


async def test_a_guest_is_stopped_after_its_time() -> None:
    async with busy_pool() as pool:
        watch = Watch(0.1)
        assert isinstance(await loop_in(pool, watch), Interrupted)
        assert watch.reason is StopReason.DEADLINE


async def test_work_that_waits_is_served_however_many_are_busy() -> None:
    async with busy_pool() as pool:
        watches = [Watch(60) for _ in range(6)]
        busy = [asyncio.create_task(loop_in(pool, watch)) for watch in watches]
        await asyncio.sleep(0)
        assert await pool.run(lambda: 1) == 1
        for watch in watches:
            watch.stop(StopReason.CLOSING)
        assert all(isinstance(outcome, Interrupted) for outcome in await asyncio.gather(*busy))


@pytest.mark.parametrize("told", [True, False], ids=["by processor time", "by the time awake"])
async def test_guests_aside_run_a_few_at_a_time(
    told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no system tells what a thread has used of a processor."""
    if not told:
        monkeypatch.setattr(seat_module, "thread_clock", lambda: None)
    async with busy_pool() as pool:
        watches = [Watch(60) for _ in range(5)]
        busy = [asyncio.create_task(loop_in(pool, watch)) for watch in watches]
        lanes = pool._lanes
        await until(lambda: sum(watch.pauses for watch in watches) == 5 - lanes)
        # By turns: each of them has been the one that goes on.
        went_on: set[int] = set()

        def noted() -> bool:
            went_on.update(i for i, watch in enumerate(watches) if not watch.pauses)
            return len(went_on) == len(watches)

        await until(noted)
        for watch in watches:
            watch.stop(StopReason.CLOSING)
        await asyncio.gather(*busy)


async def test_one_that_has_had_little_comes_before_those_that_had_much() -> None:
    async with busy_pool() as pool:
        watches = [Watch(60) for _ in range(4)]
        busy = [asyncio.create_task(loop_in(pool, watch)) for watch in watches]
        await until(lambda: pool.statistics()["aside"] == 4)
        await until(lambda: sum(seat.used for seat in pool._aside) > 0.4)
        assert isinstance(await loop_in(pool, Watch(60), 3_000_000), Completed)
        for watch in watches:
            watch.stop(StopReason.CLOSING)
        await asyncio.gather(*busy)


async def test_one_too_many_is_stopped_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "MAX_ASIDE", 2)
    async with busy_pool(2) as pool:
        watches = [Watch(60) for _ in range(4)]
        busy = [asyncio.create_task(loop_in(pool, watch)) for watch in watches]
        await until(lambda: sum(watch.reason is not None for watch in watches) == 2)
        assert pool.is_crowded
        assert {w.reason for w in watches} == {None, StopReason.CROWDED}
        patient = Watch(60, patience=0.2)  # as the loading of a bundle is
        assert isinstance(await loop_in(pool, patient), Interrupted)
        assert patient.reason is StopReason.CROWDED
        assert await pool.run(lambda: 1) == 1
        for watch in watches:
            watch.stop(StopReason.CLOSING)
        await asyncio.gather(*busy)


async def test_work_of_the_host_is_put_aside_and_never_stopped() -> None:
    def count_long() -> int:
        ends = time.thread_time() + 0.3
        while time.thread_time() < ends:
            pass
        return 7

    async with busy_pool() as pool:
        long = asyncio.create_task(pool.run(count_long))
        await until(lambda: pool.statistics()["aside"] == 1)
        assert not pool.is_crowded
        assert await pool.run(lambda: 1) == 1
        assert await long == 7


async def test_known_slow_work_takes_no_thread_of_the_others() -> None:
    async with busy_pool() as pool:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(done.set)

        pool.hand_over(work, aside=True)
        assert pool.statistics()["threads"] == 0
        await asyncio.wait_for(done.wait(), 10)
        await until(lambda: pool.statistics()["aside"] == 0)


async def test_cancelled_work_is_stopped() -> None:
    async with busy_pool() as pool:
        watch = Watch(60)
        busy = asyncio.create_task(loop_in(pool, watch))
        await until(lambda: pool.statistics()["aside"] == 1)
        busy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await busy
        assert watch.reason is StopReason.ABANDONED


async def test_a_pool_that_is_to_be_empty_stops_what_goes_on() -> None:
    async with busy_pool() as pool:
        watch = Watch(60)
        pool.empty_within(0.1)
        assert isinstance(await loop_in(pool, watch), Interrupted)
        assert watch.reason is StopReason.CLOSING
        assert await pool.run(lambda: 1) == 1  # what takes no time is done


async def test_closing_stops_guests_and_serves_what_waits() -> None:
    pool = VmPool(1)
    watches = [Watch(60) for _ in range(3)]
    busy = [asyncio.create_task(loop_in(pool, watch)) for watch in watches]
    await until(lambda: pool.statistics()["aside"] >= 1)
    began = time.monotonic()
    pool.close()  # in the loop's own thread: nobody looks after it meanwhile
    assert time.monotonic() - began < 10
    ends = await asyncio.gather(*busy, return_exceptions=True)
    assert all(isinstance(end, Interrupted | StoppedError) for end in ends)
    with pytest.raises(UsageError):
        await pool.run(lambda: 1)


async def test_an_idle_pool_has_no_timer() -> None:
    async with busy_pool() as pool:
        await pool.run(lambda: 1)
        await until(lambda: pool._looks_by == 0)


async def test_a_look_that_never_came_is_made_up_for() -> None:
    """The loop that was to look is gone."""
    async with busy_pool() as pool:
        pool._looks_by = time.perf_counter_ns() - 1
        assert isinstance(await loop_in(pool, Watch(0.1)), Interrupted)
