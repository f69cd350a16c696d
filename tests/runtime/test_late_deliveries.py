"""A run that ends by the first of what comes in one turn: the log still tells how it went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, resume_hook, start, step
from perdure._core.turn import end_key
from perdure._protocol.codec import encode
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.model import Append, EntityId, Event, EventType
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio

FLOW = Workflow.from_source("""
import { createHook, sleep } from "workflow";
import { never } from "python:late";

export async function flow() {
  "use workflow";
  return await Promise.race([createHook({ token: "late" }), never(), sleep("1 day")]);
}
""")
Late: TypeAlias = Callable[[World, Run], Awaitable[None]]
CALL = 256  # deliveries that the guest is told at once


@step(name="late:never", max_retries=0)
async def never() -> None:
    """No worker here has it."""


async def payloads(world: World, run: Run, count: int = 2) -> None:
    for number in range(1, count):
        await resume_hook("late", number, world=world)


async def too_many_payloads(world: World, run: Run) -> None:
    await payloads(world, run, CALL + 9)


async def a_result(world: World, run: Run) -> None:
    entity = EntityId("step_1")
    event = Event(
        type=EventType.STEP_COMPLETED,
        key=end_key(entity),
        at_ms=world.now_ms(),
        entity=entity,
        payload=encode(7, where="result"),
    )
    await world.storage.append(Append(run_id=run.id, event=event))


async def the_end_of_a_sleep(world: World, run: Run) -> None:
    assert await run.wake() == 1


async def until_created(run: Run, type: EventType, count: int) -> None:
    with anyio.fail_after(10):
        while [logged.event.type async for logged in run.events()].count(type) < count:
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "late", [payloads, too_many_payloads, a_result, the_end_of_a_sleep], ids=lambda f: f.__name__
)
async def test_what_comes_with_the_end_is_no_part_of_the_way_there(late: Late) -> None:
    async with MemoryWorld(clock=ManualClock()) as world:
        async with Worker(world, steps=[]):
            run = await start(FLOW, world=world)
            await until_created(run, EventType.HOOK_CREATED, 1)
        await resume_hook("late", 0, world=world)
        await late(world, run)
        async with Worker(world, steps=[]):
            assert await run.result(timeout=10) == 0
        assert (await verify_run(world, run.id)).problems == []
