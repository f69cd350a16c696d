"""Inspection: a run as its log tells it, whatever is wrong with a payload."""

from __future__ import annotations

from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from perdure import Worker, Workflow, start, step
from perdure._runtime.inspect.inspection import inspect_run
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld
from tests.runtime.hurry import passing

pytestmark = pytest.mark.anyio

FLOW = Workflow.from_source(
    """
import { createHook, sleep } from "workflow";
export async function flow() {
  "use workflow";
  const hook = createHook({ token: "door" });
  await Promise.all([hook, sleep("1 hour")]);
}
""",
    filename="flow.ts",
)


async def test_hooks_and_waits_are_shown_where_the_code_waits() -> None:
    async with MemoryWorld() as world, Worker(world, steps=[]):
        run = await start(FLOW, [7], world=world)
        with anyio.fail_after(10):
            while len((await inspect_run(world, run.id)).entities) < 2:
                await anyio.lowlevel.checkpoint()
        shown = (await inspect_run(world, run.id)).as_json()
        (hook,), (wait,) = shown["hooks"], shown["waits"]
        assert (hook["token"], hook["status"], hook["at"]) == ("door", "live", "flow.ts:5:16")
        assert (wait["status"], wait["at"]) == ("waiting", "flow.ts:6:28")
        assert wait["resume_at"] > wait["created_at"]
        events = world._store.runs[run.id].events
        events[0] = replace(events[0], event=replace(events[0].event, payload=b"\x9f"))
        shown = (await inspect_run(world, run.id)).as_json()
        assert shown["events"][0]["value"].startswith("(")  # what is wrong with it


@step(name="inspection:fails", max_retries=1)
async def fails() -> None:
    raise ValueError("always")


async def test_executions_whose_worker_was_lost_are_shown() -> None:
    flow = Workflow.from_source(
        'import { fails } from "python:inspection";\n'
        'export async function flow() { "use workflow"; try { await fails() } catch (e) {} }\n'
    )
    clock = ManualClock()
    async with MemoryWorld(clock=clock) as world:
        async with Worker(world, steps=[]):
            run = await start(flow, world=world)
            with anyio.fail_after(10):
                while not world._store.messages:
                    await anyio.lowlevel.checkpoint()
        for _ in range(2):  # each of these is a worker that was lost
            assert await world.queue.claim_messages([fails.topic], limit=1, visibility_ms=1)
            clock.advance(1)
        async with passing(world, clock), Worker(world, steps=[fails]):
            await run.result(timeout=10)
        (shown,) = (await inspect_run(world, run.id)).as_json()["steps"]
    assert (shown["attempts"], shown["lost"], shown["status"]) == (4, 2, "failed")
