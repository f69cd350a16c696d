"""Due runs and queued steps are shared by those that ask; a busy guest bars no later ones."""

from __future__ import annotations

import asyncio
import math

import anyio
import pytest

from perdure import Worker, Workflow, start, step
from perdure._runtime.ambient import workers
from perdure._runtime.timing import Timing
from perdure._runtime.worker.backlog import MOST, MOST_STEPS, Backlog
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio


def full(*, held_up: float) -> Backlog:
    wakes = Backlog(held_up=held_up)
    for _ in range(MOST):
        wakes.add()
    return wakes


async def test_it_has_room_again_once_half_of_it_has_had_its_turns() -> None:
    wakes = full(held_up=math.inf)
    assert wakes.room == 1
    waiting = asyncio.create_task(wakes.wait_room())
    for left in range(MOST // 2, 0, -1):
        await anyio.wait_all_tasks_blocked()
        assert not waiting.done(), left
        wakes.remove()
    await waiting
    assert wakes.room == MOST // 2
    assert repr(wakes) == f"<Backlog {MOST // 2}, 0 slow>"
    await wakes.wait_room()  # at once


async def test_busy_guests_bar_nobody() -> None:
    wakes = full(held_up=0.001)
    await wakes.wait_room()
    assert (wakes.room, repr(wakes)) == (MOST, f"<Backlog {MOST}, {MOST} slow>")
    wakes.add()  # others have their turns beside them
    wakes.remove()
    assert wakes.room == MOST
    for _ in range(MOST):
        wakes.remove()
    assert (wakes.room, repr(wakes)) == (MOST, "<Backlog 0, 0 slow>")


async def test_it_asks_for_more_while_claims_find_all_they_ask_for() -> None:
    backlog = Backlog(held_up=math.inf, at_most=MOST_STEPS)
    for most in (2 * MOST, 4 * MOST, MOST_STEPS, MOST_STEPS):
        before = backlog.room
        backlog.note_claim(before, limit=before)
        assert backlog.room == before  # others ask meanwhile
        await backlog.wait_room()
        assert backlog.room == most
    backlog.note_claim(3, limit=backlog.room)
    await backlog.wait_room()
    assert backlog.room == MOST
    wakes = Backlog(held_up=math.inf)
    wakes.note_claim(MOST, limit=MOST)
    await wakes.wait_room()
    assert wakes.room == MOST


async def test_two_workers_share_queued_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one to ask took 64 of them."""
    go_on, all_begun, bodies = anyio.Event(), anyio.Event(), 0

    @step(name="sharing:queued", queue="q")
    async def queued() -> None:
        nonlocal bodies
        bodies += 1
        if bodies == 32:
            all_begun.set()
        await go_on.wait()

    monkeypatch.setattr(Worker, "_timing", Timing(steps_held_up=1.0))
    flow = Workflow.from_source("""import { queued } from "python:sharing";
        export async function flow() {
          "use workflow";
          await Promise.all(Array.from({ length: 32 }, () => queued()));
        }""")
    name = "memory://queued-for-two"
    async with MemoryWorld(name) as world, Worker(world, steps=[queued], queues=["default"]):
        run = await start(flow, world=world)
        while (await run.info()).position < 32:  # noqa: ASYNC110  # by another thread
            await anyio.sleep(0.001)
        both = [Worker(MemoryWorld(name), steps=[queued], queues=["q"]) for _ in range(2)]
        for worker in both:
            await worker.world.open()
        await asyncio.gather(*[worker.start() for worker in both])
        with anyio.fail_after(20):
            await all_begun.wait()
        claims = [worker.statistics()["leases"] for worker in both]
        go_on.set()
        await run.result(timeout=20)
        for worker in both:
            await worker.aclose()
            await worker.world.aclose()
    assert sum(claims) == 32
    assert min(claims) >= 8, claims


async def test_two_workers_share_what_is_due() -> None:
    """The first one to ask took all of it."""
    go_on, all_begun, bodies = anyio.Event(), anyio.Event(), 0

    @step(name="sharing:waits")
    async def waits() -> None:
        nonlocal bodies
        bodies += 1
        if bodies == 32:
            all_begun.set()
        await go_on.wait()

    flow = Workflow.from_source("""import { waits } from "python:sharing";
        export async function flow() { "use workflow"; await waits(); }""")
    name = "memory://shared-by-two"
    async with MemoryWorld(name) as world:
        runs = [await start(flow, world=world) for _ in range(32)]
        both = [Worker(MemoryWorld(name), steps=[waits]) for _ in range(2)]
        for worker in both:
            await worker.world.open()
        await asyncio.gather(*[worker.start() for worker in both])
        with anyio.fail_after(20):
            await all_begun.wait()
        carried = [worker.statistics()["runs"] for worker in both]
        go_on.set()
        for run in runs:
            await run.result(timeout=20)
        for worker in both:
            await worker.aclose()
            await worker.world.aclose()
    assert sum(carried) == len(runs)
    assert min(carried) >= 8, carried
    assert not [world for world in workers if world.url.startswith("memory://shared-by")]
