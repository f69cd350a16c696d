"""Custody: by which road each snapshot of a run reaches its world, and who closes a heap."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from perdure import Worker, Workflow, start, step
from perdure._runtime.carrier.freezing import Freezing
from perdure._runtime.carrier.heap import Heap
from perdure._runtime.inspect.audit import verify_run
from perdure.model import RunId, Snapshot
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio


@step(name="custody:quick")
async def quick(n: int) -> int:
    return n + 1


@step(name="custody:slow")
async def slow(n: int) -> int:
    """Leaves the loop time to have the heap frozen."""
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    return n + 1


@step(name="custody:hang")
async def hang() -> None:
    await anyio.sleep_forever()


def flow(body: str) -> Workflow:
    return Workflow.from_source(
        'import { quick, slow, hang, elsewhere } from "python:custody";\n'
        'export async function flow() {\n  "use workflow";\n  const kept = [];\n'
        f"  let n = 0;\n{body}\n  return n + kept.length;\n}}\n",
        filename="flow.js",
    )


class Roads:
    """By which way snapshots came to a world: turns, and the turns of their snapshots."""

    def __init__(self, world: MemoryWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits: list[tuple[int, int | None]] = []
        self.saves: list[int] = []
        # A direct storage.
        commit_soon, save = world.storage.commit_soon, world.snapshots.save  # type: ignore[attr-defined]

        def note_commit(commit: Any, done: Any) -> None:
            snapshot = commit.snapshot
            self.commits.append((commit.turn + 1, None if snapshot is None else snapshot.turn))
            commit_soon(commit, done)

        async def note_save(run_id: RunId, snapshot: Snapshot) -> None:
            self.saves.append(snapshot.turn)
            await save(run_id, snapshot)

        monkeypatch.setattr(world.storage, "commit_soon", note_commit)
        monkeypatch.setattr(world.snapshots, "save", note_save)


@pytest.fixture
async def world() -> AsyncIterator[MemoryWorld]:
    async with MemoryWorld() as world:
        yield world


LARGE = "kept.push(...Array.from({ length: 40000 }, (_, i) => i * 1.5));"
ROADS: dict[str, tuple[str, list[tuple[int, int | None]], list[int]]] = {
    "slow steps: each goes with the next turn": (
        "for (; n < 3; ) n = await slow(n);",
        [(1, None), (2, 1), (3, 2), (4, None)],
        [],
    ),
    "quick steps: the second that is due is taken by its own turn": (
        "for (; n < 4; ) n = await quick(n);",
        [(1, None), (2, 2), (3, None), (4, 4), (5, None)],
        [],
    ),
    "a large heap: the first by itself, since the next ones build on it": (
        f"{LARGE} for (; n < 3; ) n = await slow(n);",
        [(1, None), (2, 2), (3, 3), (4, None)],
        [1],
    ),
}


@pytest.mark.parametrize("case", ROADS)
async def test_a_snapshot_takes_its_road(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    body, commits, saves = ROADS[case]
    roads = Roads(world, monkeypatch)
    async with Worker(world, steps=[quick, slow], snapshot_lag=0):
        run = await start(flow(body), world=world)
        await run.result(timeout=10)
    assert (roads.commits, roads.saves) == (commits, saves)


async def test_a_run_that_parks_has_its_snapshot_in_the_commit_that_parks_it(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was taken before, while steps ran, is of no use any more."""
    roads = Roads(world, monkeypatch)
    async with Worker(world, steps=[slow], snapshot_lag=0):
        run = await start(flow("n = await slow(n); await elsewhere();"), world=world)
        with anyio.fail_after(10):
            while len(roads.commits) < 2:
                await anyio.lowlevel.checkpoint()
    assert (roads.commits, roads.saves) == ([(1, None), (2, 2)], [])
    report = await verify_run(world, run.id)
    assert (report.problems, report.snapshots) == ([], 1)


async def test_a_heap_that_is_left_while_it_is_frozen_is_closed_by_its_thread(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    freeze, leave = Heap.freeze, Freezing.leave
    heaps: list[Heap] = []

    def wait_and_freeze(heap: Heap, **options: Any) -> Snapshot:
        heaps.append(heap)
        begun.set()
        assert may_end.wait(10)
        return freeze(heap, **options)

    def leave_and_go_on(freezing: Freezing) -> None:
        leave(freezing)
        may_end.set()

    monkeypatch.setattr(Heap, "freeze", wait_and_freeze)
    monkeypatch.setattr(Freezing, "leave", leave_and_go_on)
    async with Worker(world, steps=[hang], snapshot_lag=0, drain_timeout=0):
        await start(flow("await hang();"), world=world)
        assert await anyio.to_thread.run_sync(begun.wait, 10)
    assert may_end.is_set()
    (heap,) = heaps
    assert heap.held_bytes == 0
