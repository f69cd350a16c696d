"""Clocks that tests set by hand, and the bell that wakes who waits."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.to_thread
import pytest
from hypothesis import given, strategies as st

from perdure.testing.clock import ManualClock
from perdure.worldkit.clock import Bell, SystemClock

TIMES = st.integers(0, 50)


@given(st.lists(TIMES, max_size=6), st.lists(TIMES, max_size=4))
def test_alarms_go_off_once_in_order_when_their_time_has_come(
    alarms: list[int], steps: list[int]
) -> None:
    clock, rung = ManualClock(0), list[int]()
    for at in alarms:
        clock.call_at(at, partial(rung.append, at))
    for step in steps:
        clock.advance(step)
        now = clock.now_ms()
        assert sorted(rung) == sorted(at for at in alarms if at <= now)
    assert clock.now_ms() == sum(steps)
    later = [at for at in rung if at > 0]
    assert later == sorted(later)


def test_an_alarm_that_is_called_off_stays_silent() -> None:
    clock, rung = ManualClock(5), list[str]()
    call_off = clock.call_at(10, lambda: rung.append("late"))
    assert repr(clock) == "ManualClock(now_ms=5, alarms=1)"
    call_off()
    call_off()
    clock.advance(100)
    assert rung == []


def test_time_does_not_go_back() -> None:
    clock = ManualClock(5)
    with pytest.raises(ValueError, match="cannot go back by 1 ms"):
        clock.advance(-1)
    assert clock.now_ms() == 5


@pytest.mark.anyio
async def test_a_bell_wakes_who_waits_and_misses_no_ring_before() -> None:
    clock, bell, woken = ManualClock(0), Bell(), list[int]()

    async def wait(seen: int) -> None:
        await bell.wait(seen, clock=clock, until_ms=1000)
        woken.append(seen)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait, 0)
            await anyio.wait_all_tasks_blocked()
            assert (bell.waiting, woken) == (1, [])
            assert repr(bell) == "Bell(rings=0, waiting=1)"
            await anyio.to_thread.run_sync(bell.ring)
        await wait(0)  # it has rung since
    assert (bell.waiting, woken) == (0, [0, 0])


@pytest.mark.anyio
async def test_who_waits_for_a_time_is_woken_by_the_clock() -> None:
    clock, bell = ManualClock(0), Bell()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                await bell.wait(0, clock=clock, until_ms=10)

            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            clock.advance(9)
            await anyio.wait_all_tasks_blocked()
            assert bell.waiting == 1
            clock.advance(1)
        assert (bell.waiting, bell.rings) == (0, 0)


@pytest.mark.anyio
async def test_the_systems_clock_goes_on_and_calls() -> None:
    clock, rung = SystemClock(), anyio.Event()
    before = clock.now_ms()
    clock.call_at(before + 5, rung.set)
    with anyio.fail_after(5):
        await rung.wait()
    assert clock.now_ms() >= before
