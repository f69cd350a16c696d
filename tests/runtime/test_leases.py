"""Leases: however a worker stalls or dies, one result of a step counts, and its run goes on."""

from __future__ import annotations

import threading
import time

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from perdure import Worker, Workflow, get_run, open_world, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.timing import Timing
from perdure.abc import World
from perdure.model import EventType
from perdure.testing.faults import Fault, FaultyWorld
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

executed: list[str] = []


def flow(body: str) -> Workflow:
    return Workflow.from_source(
        'import { sleep } from "workflow"; import { stalls, blocks } from "python:leases";\n'
        f'export async function w() {{ "use workflow"; {body} }}\n'
    )


@step(name="leases:stalls")
async def stalls(n: int) -> str:
    name = threading.current_thread().name
    executed.append(f"{n} in {name}")
    until = time.monotonic() + 20
    while name == "MainThread" and f"{n} in other" not in executed and time.monotonic() < until:
        time.sleep(0.01)  # noqa: ASYNC251 # the mistake that is tested
    return name


@step(name="leases:blocks", timeout=0.05)
def blocks() -> str:
    executed.append("begin")
    if executed.count("begin") == 1:
        time.sleep(0.9)
    executed.append("end")
    return "blocked"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of 0.4 seconds, so that a test can outlast one."""
    executed.clear()
    monkeypatch.setattr(Worker, "_timing", Timing(lease_ms=400, renew_every=0.1))


async def ends_of(world: World, run_id: str) -> list[EventType]:
    ends = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)
    return [e.event.type async for e in get_run(run_id, world).events() if e.event.type in ends]


@EVERY_WORLD
@pytest.mark.reopened
async def test_where_no_twin_renews_it_a_lease_is_lost_and_one_result_counts(url: str) -> None:
    up, done = threading.Event(), threading.Event()

    async def other() -> None:
        async with open_world(url) as world, Worker(world, steps=[stalls]):
            up.set()
            await anyio.to_thread.run_sync(done.wait)

    thread = threading.Thread(target=anyio.run, args=(other,), name="other", daemon=True)
    thread.start()
    async with open_world(url) as inner:
        world = FaultyWorld(inner, lambda number, call: Fault.NONE)  # which has no twin
        async with Worker(world, steps=[stalls]):
            await anyio.to_thread.run_sync(up.wait)
            run = await start(flow("return [await stalls(1), await stalls(2)].length"), world=world)
            assert await run.result(timeout=30) == 2
            done.set()
            await anyio.to_thread.run_sync(thread.join)
            assert await ends_of(world, run.id) == [EventType.STEP_COMPLETED] * 2
            assert (await verify_run(world, run.id)).problems == []
    assert {"1 in MainThread", "1 in other"} <= set(executed)  # both bodies did run


@EVERY_WORLD
@pytest.mark.reopened
async def test_a_step_in_a_thread_past_its_timeout_keeps_its_lease(url: str) -> None:
    async with (
        open_world(url) as world,
        open_world(url) as second,
        Worker(second, steps=[blocks]),
        Worker(world, steps=[blocks]),
    ):
        run = await start(flow("return await blocks()"), world=world)
        assert await run.result(timeout=20) == "blocked"
        assert executed == ["begin", "end"] * 2  # nobody else took it, for twice a lease


@EVERY_WORLD
@pytest.mark.reopened
async def test_a_run_goes_on_by_itself_when_a_worker_starts(url: str) -> None:
    async with open_world(url) as world, Worker(world, steps=[]):
        run = await start(flow('await sleep(700); return "awake"'))
        with anyio.fail_after(10):
            while not (await run.info()).turn:
                await anyio.lowlevel.checkpoint()
    async with open_world(url) as world, Worker(world, steps=[]):
        again = get_run(run.id)
        assert await again.result(timeout=10) == "awake"
        events = [e.event async for e in again.events()]
    made = next(e for e in events if e.type is EventType.WAIT_CREATED)
    ended = next(e for e in events if e.type is EventType.WAIT_COMPLETED)
    due = made.facts["resume_at_ms"]
    assert isinstance(due, int)
    assert ended.at_ms >= due  # never early


@IN_MEMORY
async def test_workflow_code_does_not_hold_up_the_event_loop(world: World) -> None:
    busy = flow("let x = 0; for (let i = 0; i < 8_000_000; i++) x += i % 7; return x > 0")
    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(time.perf_counter())
            await anyio.sleep(0.005)

    async with Worker(world, steps=[]), anyio.create_task_group() as group:
        await (await start(flow("return 1"), world=world)).result(timeout=10)
        run = await start(busy, world=world)
        group.start_soon(beat)
        assert await run.result(timeout=60) is True
        group.cancel_scope.cancel()
    spent = beats[-1] - beats[0]
    # Held up by every turn there would be a beat or two; on its own a beat takes 5 ms and a bit.
    assert len(beats) > spent / 0.05, (len(beats), spent)
