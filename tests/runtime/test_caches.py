"""The cache: baselines and warm heaps share a room in bytes, and are made anew when dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from perdure import Workflow, start
from perdure._model.runs import RunRecord
from perdure._protocol.frames import Limits
from perdure._runtime.carrier.baselines import Baselines
from perdure._runtime.carrier.heap import Heap
from perdure._runtime.carrier.warm_heaps import WarmHeaps
from perdure._runtime.room import Room
from perdure._vm.pool import VmPool
from perdure.model import RunId
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world() -> AsyncIterator[MemoryWorld]:
    async with MemoryWorld() as world:
        yield world


@pytest.fixture
async def pool() -> AsyncIterator[VmPool]:
    pool = VmPool(1)
    yield pool
    pool.close()


async def record_of(world: MemoryWorld, number: int) -> RunRecord:
    """The record of a run of a bundle of its own."""
    flow = Workflow.from_source(
        f'export async function flow() {{ "use workflow"; return {number} }}', filename="flow.js"
    )
    run = await start(flow, world=world)
    return await world.storage.get_run(RunId(run.id))


def test_the_longest_unused_is_dropped_for_want_of_room() -> None:
    room, dropped = Room(10), list[str]()
    for key in "abc":
        # Mypy infers no lambda with a default.
        room.keep(key, 3, lambda key=key: dropped.append(key))  # type: ignore[misc]
    room.use("a")
    room.use("nothing")
    room.keep("d", 5, lambda: dropped.append("d"))
    assert (dropped, room.held_bytes) == (["b", "c"], 8)
    room.release("a")
    room.release("a")
    room.keep("d", 4, lambda: dropped.append("d"))
    assert room.held_bytes == 4
    room.keep("e", 11, lambda: dropped.append("e"))
    assert (dropped, room.held_bytes) == (["b", "c", "d", "e"], 0)
    assert repr(room) == "<Room 0 things, 0 of 0 MiB>"


async def test_a_baseline_is_made_once_while_it_is_kept(world: MemoryWorld, pool: VmPool) -> None:
    baselines, record = Baselines(world, pool, Room(64 << 20)), await record_of(world, 1)
    made: list[object] = []

    async def get() -> None:
        made.append(await baselines.get(record))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(get)
    made.append(await baselines.get(record))
    assert len({id(baseline) for baseline in made}) == 1
    baselines.clear()
    assert await baselines.get(record) is made[0]  # it is in use
    made.clear()


async def test_bundles_cost_a_bounded_part_of_the_room(world: MemoryWorld, pool: VmPool) -> None:
    room = Room(16 << 20)
    baselines = Baselines(world, pool, room, latest=1)
    records = [await record_of(world, number) for number in range(8)]
    for record in records:
        await baselines.get(record)
    assert 2 << 20 < room.held_bytes <= 4 << 20
    first = await baselines.get(records[0])  # made anew
    assert first is await baselines.get(records[0])
    baselines.clear()
    assert room.held_bytes == 0


async def test_without_room_the_latest_few_are_kept(world: MemoryWorld, pool: VmPool) -> None:
    baselines, record = Baselines(world, pool, Room(0)), await record_of(world, 1)
    kept = id(await baselines.get(record))
    assert id(await baselines.get(record)) == kept
    assert repr(baselines) == "<Baselines of 1 bundles>"


async def test_heaps_make_room_for_each_other(world: MemoryWorld, pool: VmPool) -> None:
    record = await record_of(world, 1)
    room = Room(5 << 20)
    baselines, warm = Baselines(world, pool, room), WarmHeaps(room)
    heaps: list[Heap] = []
    for number in range(8):
        heap = Heap(await baselines.get(record), record, limits=Limits())
        heap.run_id = RunId(f"run_{number}")
        heap._instance = heap.baseline.instantiate()
        heaps.append(heap)
        warm.put(heap)
    assert 2 <= len(warm) < 8
    assert heaps[0]._instance is None  # it was dropped, and its memory freed
    assert warm.take(RunId("run_0")) is None
    assert warm.take(RunId("run_7")) is heaps[7]
    assert heaps[7]._instance is not None
    heaps[7].close()
    warm.clear()
    assert len(warm) == 0
    assert room.held_bytes == heaps[7].baseline.held_bytes
