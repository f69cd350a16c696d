"""The pool: work is done once, errors and cancellation reach the right side."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from perdure._vm import pace as pace_module, pool as pool_module
from perdure._vm.pool import VmPool
from perdure._vm.reply import Reply
from perdure.errors import UsageError


@pytest.fixture
def pool() -> Iterator[VmPool]:
    made = VmPool(2)
    yield made
    made.close()


def _fail() -> None:
    raise KeyError("x")


def test_results_and_errors_come_back(pool: VmPool) -> None:
    assert pool.submit(lambda: 1).result(5) == 1
    assert isinstance(pool.submit(_fail).exception(5), KeyError)

    async def main() -> int:
        with pytest.raises(KeyError):
            await pool.run(_fail)
        return await pool.run(lambda: 2)

    assert asyncio.run(main()) == 2
    assert pool.statistics()["threads"] <= 2


def test_no_more_threads_than_allowed_run_at_once(pool: VmPool) -> None:
    inside = threading.Semaphore(0)
    go = threading.Event()
    names: set[str] = set()

    def work() -> None:
        names.add(threading.current_thread().name)
        inside.release()
        go.wait(5)

    futures = [pool.submit(work) for _ in range(6)]
    assert inside.acquire(timeout=5)
    assert inside.acquire(timeout=5)
    assert not inside.acquire(blocking=False)
    assert "6 at work" in repr(pool)
    go.set()
    for future in futures:
        future.result(5)
    assert names == {"perdure-vm-0", "perdure-vm-1"}


def test_cancelled_work_that_has_not_begun_is_skipped(pool: VmPool) -> None:
    go = threading.Event()
    ran: list[int] = []

    async def main() -> None:
        blockers = [pool.submit(lambda: go.wait(5)) for _ in range(2)]
        task = asyncio.ensure_future(pool.run(lambda: ran.append(1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        for blocker in blockers:
            await asyncio.wrap_future(blocker)
        await pool.run(lambda: None)

    asyncio.run(main())
    assert ran == []


def test_cancelled_work_that_has_begun_is_waited_for(pool: VmPool) -> None:
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []

    def work() -> None:
        begun.set()
        go.wait(5)
        done.append(1)

    async def main() -> None:
        task = asyncio.ensure_future(pool.run(work))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == [1]

    asyncio.run(main())


def test_an_answer_to_a_loop_that_is_gone_is_dropped() -> None:
    async def main() -> Reply[int]:
        return Reply()

    reply = asyncio.run(main())
    assert reply.begin()
    reply.give(1)
    assert "awaited" in repr(reply)


def test_a_closed_pool_refuses_work() -> None:
    pool = VmPool(1)
    future = pool.submit(lambda: 1)
    pool.close()
    pool.close()
    assert future.result(0) == 1
    with pytest.raises(UsageError):
        pool.submit(lambda: 1)


@pytest.mark.parametrize("aside", [False, True])
def test_nobody_looks_after_a_closed_pool(aside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """``start()`` has a pool of its own check each workflow: each left a timer behind for good."""
    monkeypatch.setattr(pool_module, "LOOK_S", 0.001)

    async def main() -> None:
        pool = VmPool(1)
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(done.set)

        pool.hand_over(work, aside=aside)
        await done.wait()
        pool.close()
        assert pool.statistics()["at_work"] == 0
        await asyncio.sleep(0.003)  # the look that was due
        timers: Any = loop
        assert [timer for timer in timers._scheduled if "VmPool" in repr(timer)] == []

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has batch scheduling")
def test_a_thread_does_not_take_the_processor_of_a_loop_that_wakes_it(pool: VmPool) -> None:
    assert pool.submit(lambda: os.sched_getscheduler(0)).result(5) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) != os.SCHED_BATCH  # the loop's own


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has batch scheduling")
def test_a_sandbox_may_forbid_that(pool: VmPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert pool.submit(lambda: 1).result(5) == 1


def test_a_pool_needs_a_thread() -> None:
    with pytest.raises(UsageError):
        VmPool(0)


@pytest.mark.parametrize(("processors", "awake"), [(1, False), (2, True)])
def test_a_thread_whose_work_comes_soon_stays_awake_beside_another_processor(
    processors: int, *, awake: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "count_processors", lambda: processors)
    monkeypatch.setattr(pool_module, "processor_here", lambda: None)
    monkeypatch.setattr(pace_module, "QUICK_NS", 60 * 10**9)  # however slow the machine
    pool = VmPool(1)
    idle, settle = threading.Semaphore(0), VmPool._next

    def noted(self: VmPool, inbox: Any) -> Any:
        work = settle(self, inbox)
        idle.release()
        return work

    def be_done() -> None:
        pool.submit(int).result(5)
        assert idle.acquire(timeout=5)

    monkeypatch.setattr(VmPool, "_next", noted)
    for _ in range(pace_module.QUICK_BEFORE):
        assert not pool._stays_awake
        be_done()
    be_done()  # the first had no other before it
    assert pool._stays_awake is awake
    busy, done = threading.Event(), threading.Event()

    def work() -> None:
        busy.set()
        done.wait(5)

    future = pool.submit(work)
    assert busy.wait(5)
    assert not pool._stays_awake  # the other processor has work of ours
    done.set()
    future.result(5)
    assert idle.acquire(timeout=5)
    monkeypatch.setattr(pace_module, "QUICK_NS", 0)
    be_done()
    assert not pool._stays_awake  # that was long in coming
    pool.close()
