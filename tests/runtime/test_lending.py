"""Steps that wait for other runs hold no slot: parents and children fit into a worker of one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, get_run, open_world, start, step
from perdure._runtime import steps as registry
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.timing import Timing
from perdure.abc import World
from perdure.errors import RunTimeoutError
from perdure.model import RunStatus
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio

NESTED = Workflow.from_source(
    'import { nest } from "python:lending";\n'
    "export async function nested(depth: number): Promise<number> {\n"
    '  "use workflow";\n'
    "  return await nest(depth);\n"
    "}\n"
)
MANY = Workflow.from_source(
    'import { nest } from "python:lending";\n'
    "export async function many(count: number, depth: number): Promise<number> {\n"
    '  "use workflow";\n'
    "  const all = await Promise.all(Array.from({ length: count }, () => nest(depth)));\n"
    "  return all.reduce((sum, one) => sum + one, 0);\n"
    "}\n"
)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


async def by_result(depth: int) -> int:
    return 1 if not depth else 1 + await value(await start(NESTED, [depth - 1]))


async def by_two_results(depth: int) -> int:
    if not depth:
        return 1
    runs = [await start(NESTED, [depth - 1]) for _ in range(2)]
    first, second = await asyncio.gather(*map(value, runs))
    return 1 + max(first, second)


async def by_slices(depth: int) -> int:
    """Waiting again and again."""
    if not depth:
        return 1
    run = await start(NESTED, [depth - 1])
    while True:
        try:
            return 1 + await value(run, timeout=0.01)
        except RunTimeoutError:
            continue


def in_a_thread(depth: int) -> int:
    return anyio.from_thread.run(by_result, depth)


async def value(run: Run, timeout: float | None = None) -> int:
    result = await run.result(timeout)
    assert isinstance(result, int)
    return result


@EVERY_WORLD
@pytest.mark.parametrize("park_after", [0.0, 60.0])
@pytest.mark.parametrize("body", [by_result, by_two_results, by_slices, in_a_thread])
async def test_parents_and_children_fit_into_a_worker_of_one(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    body: Callable[[int], Any],
    park_after: float,
) -> None:
    """Three deep, each with a step of its own, whether the parents' heaps are put away or not."""
    monkeypatch.setattr(Worker, "_timing", Timing(park_after=park_after))
    nest = step(name="lending:nest", max_retries=0)(body)
    async with Worker(world, steps=[nest], max_turns=1, max_steps=1) as worker:
        run = await start(NESTED, [3])
        assert await run.result(timeout=30) == 4
        await anyio.wait_all_tasks_blocked()
    assert worker.statistics()["free_slots"] == 1
    assert (await verify_run(world, run.id)).problems == []


async def test_a_thread_with_a_loop_of_its_own_waits_without_a_slot(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/app.db"

    async def elsewhere(depth: int) -> int:
        async with open_world(url):
            return await by_result(depth)

    @step(name="lending:nest", max_retries=0)
    def nest(depth: int) -> int:
        return asyncio.run(elsewhere(depth))

    async with open_world(url) as world, Worker(world, steps=[nest], max_turns=1, max_steps=1):
        assert await (await start(NESTED, [2])).result(timeout=30) == 3


@pytest.mark.slow
async def test_many_parents_fit_into_a_small_worker(world: World) -> None:
    @step(name="lending:nest", max_retries=0)
    async def nest(depth: int) -> int:
        return await by_result(depth)

    async with Worker(world, steps=[nest], max_turns=2, max_steps=3) as worker:
        run = await start(MANY, [20, 2])
        assert await run.result(timeout=30) == 60
        await anyio.wait_all_tasks_blocked()
        assert worker._slots.free == 3
        assert worker._slots.away == 0
    assert worker._turns.free == 2
    assert worker._turns.away == 0


async def test_a_heap_of_a_run_that_waits_for_long_is_put_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "_timing", Timing(park_after=0.0))
    begun, go_on = asyncio.Event(), asyncio.Event()

    @step(name="lending:nest", max_retries=0)
    async def nest(depth: int) -> int:
        if not depth:
            begun.set()
            await go_on.wait()
        return await by_result(depth)

    async with Worker(world, steps=[nest]) as worker:
        run = await start(NESTED, [1])
        await begun.wait()
        with anyio.fail_after(10):
            while not worker.statistics()["warm"]:
                await anyio.lowlevel.checkpoint()
        go_on.set()
        assert await run.result(timeout=10) == 2
    assert (await verify_run(world, run.id)).problems == []


async def cancelled(waiting: asyncio.Task[Any]) -> None:
    waiting.cancel()


async def left(waiting: asyncio.Task[Any]) -> None:
    """It outlives its step, and goes on to wait."""


@pytest.mark.parametrize("end", [cancelled, left])
async def test_slots_are_counted_right_when_a_wait_does_not_end_well(
    world: World, end: Callable[[asyncio.Task[Any]], Awaitable[None]]
) -> None:
    waiting: list[asyncio.Task[Any]] = []

    @step(name="lending:nest", max_retries=0)
    async def nest(depth: int) -> int:
        run = await start(NESTED, [0], run_id="never", world=others)
        waiting.append(asyncio.create_task(run.result()))
        while not worker._slots.away:
            await anyio.lowlevel.checkpoint()
        await end(waiting[0])
        return 1

    async with open_world("memory://") as others:
        async with Worker(world, steps=[nest], max_turns=1, max_steps=1) as worker:
            run = await start(NESTED, [1], world=world)
            assert await run.result(timeout=10) == 1
            assert (worker._slots.free, worker._slots.away) == (1, 0)
            waiting.append(asyncio.create_task(get_run("never", others).result()))
        assert worker._turns.free == 1
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert (worker._slots.free, worker._slots.away) == (1, 0)


async def test_a_drain_waits_for_a_step_that_waits(world: World) -> None:
    """And keeps its lease, though its slot is free."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    @step(name="lending:nest", max_retries=0)
    async def nest(depth: int) -> int:
        if depth:
            begun.set()
            return await by_result(depth)
        await go_on.wait()
        return 1

    worker = Worker(world, steps=[nest], max_turns=1, max_steps=1)
    await worker.start()
    run = await start(NESTED, [1], world=world)
    await begun.wait()
    with anyio.fail_after(10):
        while not worker._slots.away:
            await anyio.lowlevel.checkpoint()
    closing = asyncio.create_task(worker.aclose())
    await anyio.wait_all_tasks_blocked()
    assert not closing.done()
    assert worker.statistics()["leases"] >= 1
    go_on.set()
    async with Worker(world, steps=[nest]):  # which carries the child, that the other did not
        await closing
        assert await run.result(timeout=10) == 2
    assert await run.status() is RunStatus.COMPLETED


@EVERY_WORLD
async def test_a_step_that_waits_is_cut_short_as_any_other(world: World) -> None:
    """And runs again, in a world where its child has ended meanwhile."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    @step(name="lending:nest", max_retries=1)
    async def nest(depth: int) -> int:
        if not depth:
            begun.set()
            await go_on.wait()
            return 1
        return 1 + await value(await start(NESTED, [0], run_id="child"))

    async with Worker(world, steps=[nest], max_turns=1, max_steps=1, drain_timeout=0) as worker:
        run = await start(NESTED, [1], world=world)
        await begun.wait()
    assert worker.statistics()["left_behind"] == 0
    assert (worker._slots.free, worker._slots.away) == (1, 0)
    assert (worker._turns.free, worker._turns.away) == (1, 0)
    go_on.set()
    async with Worker(world, steps=[nest], max_turns=1, max_steps=1):
        assert await run.result(timeout=10) == 2
