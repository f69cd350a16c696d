"""H7 of the reference: what waited when the last worker ended goes on where one begins again."""

from __future__ import annotations

import anyio
import pytest

from perdure import Run, Worker, Workflow, get_run, start, step
from perdure.model import EventType
from perdure.testing.clock import ManualClock
from perdure.worlds import open_world
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, pytest.mark.reopened, EVERY_WORLD]
NAP = Workflow.from_source("""
import { sleep } from "workflow";
import { mark } from "python:recovery";

export async function nap() {
  "use workflow";
  await mark("asleep");
  await sleep("1 hour");
  return await mark("awake");
}
""")
HOUR_MS = 3_600_000


async def count(run: Run, kind: EventType) -> int:
    """How many events of a kind it has."""
    return len([logged async for logged in run.events() if logged.event.type is kind])


async def test_a_sleeper_goes_on_by_itself_and_no_earlier(url: str) -> None:
    clock, marks = ManualClock(), list[str]()

    @step(name="recovery:mark")
    async def mark(text: str) -> int:
        marks.append(text)
        return clock.now_ms()

    begun_ms = clock.now_ms()
    async with open_world(url, clock=clock) as world, Worker(world, steps=[mark]):
        run = await start(NAP, run_id="sleeper", world=world)
        await until(lambda: count(run, EventType.WAIT_CREATED))
    clock.advance(HOUR_MS - 1)
    async with open_world(url, clock=clock) as world, Worker(world, steps=[mark]):
        other = await start(NAP, run_id="other", world=world)
        await until(lambda: count(other, EventType.WAIT_CREATED))  # a whole run's way, meanwhile
        assert await count(get_run("sleeper", world=world), EventType.WAIT_COMPLETED) == 0
    assert marks == ["asleep", "asleep"]
    clock.advance(1)
    async with open_world(url, clock=clock) as world, Worker(world, steps=[mark]):
        with anyio.fail_after(20):
            woken_ms = await get_run("sleeper", world=world).result()
    assert woken_ms == begun_ms + HOUR_MS
    assert marks == ["asleep", "asleep", "awake"]
