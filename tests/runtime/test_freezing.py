"""Freezing: the heap belongs to one at a time, however its freezing is ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, cast

import anyio
import pytest

from perdure._runtime.carrier.freezing import Freezing
from perdure._runtime.carrier.heap import Heap
from perdure._vm.pool import VmPool
from perdure.model import Snapshot

pytestmark = pytest.mark.anyio
MADE = Snapshot(turn=3, parent_turn=None, consumed=4, data=b"x")


class Frozen:
    """What of a heap is looked at: it is frozen when told to, and closed once."""

    def __init__(self, make: Callable[[], Snapshot]) -> None:
        self.make = make
        self.begun, self.may_end, self.closed = (threading.Event() for _ in range(3))

    def freeze(self, **_: object) -> Snapshot:
        assert not self.closed.is_set()
        self.begun.set()
        assert self.may_end.wait(10)
        return self.make()

    def close(self) -> None:
        assert self.may_end.is_set()
        assert not self.closed.is_set()
        self.closed.set()


@pytest.fixture
def pool() -> Generator[VmPool, None, None]:
    made = VmPool(2)
    yield made
    made.close()


def freezing(heap: Frozen, pool: VmPool) -> Freezing:
    return Freezing(cast(Heap, cast(Any, heap)), pool, commit_id="c", key=None)


def broken() -> Snapshot:
    raise MemoryError("no room")


async def test_a_snapshot_that_was_made_is_there_at_once(pool: VmPool) -> None:
    heap = Frozen(lambda: MADE)
    heap.may_end.set()
    making = freezing(heap, pool)
    pool.close()  # which waits for it
    assert await making.wait() == MADE
    assert not heap.closed.is_set()


async def test_one_in_the_making_is_waited_for(pool: VmPool) -> None:
    heap = Frozen(lambda: MADE)
    making = freezing(heap, pool)
    async with anyio.create_task_group() as group:

        async def end() -> None:
            heap.may_end.set()

        group.start_soon(end)
        assert await making.wait() == MADE


@pytest.mark.parametrize("waits", [True, False])
async def test_what_goes_wrong_is_handed_on(pool: VmPool, waits: bool) -> None:
    heap = Frozen(broken)
    making = freezing(heap, pool)
    if waits:
        await anyio.to_thread.run_sync(heap.begun.wait)
    heap.may_end.set()
    if not waits:
        pool.close()
    with pytest.raises(MemoryError, match="no room"):
        await making.wait()


async def test_a_wait_that_is_cancelled_ends_when_the_heap_is_free(pool: VmPool) -> None:
    heap = Frozen(lambda: MADE)
    making = freezing(heap, pool)
    with anyio.CancelScope() as scope:
        scope.cancel()
        threading.Timer(0.01, heap.may_end.set).start()
        await making.wait()
    assert scope.cancelled_caught
    assert heap.may_end.is_set()


@pytest.mark.parametrize("late", [True, False])
async def test_a_heap_that_is_left_is_closed_once_it_is_free(pool: VmPool, late: bool) -> None:
    heap = Frozen(lambda: MADE)
    making = freezing(heap, pool)
    if late:
        heap.may_end.set()
        pool.close()
    making.leave()
    heap.may_end.set()
    assert await anyio.to_thread.run_sync(heap.closed.wait, 10)
