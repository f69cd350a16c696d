"""Queues of steps: a worker runs steps of those it serves, inline and claimed, and no others."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, start, step
from perdure._runtime.inspect.hints import why_waiting
from perdure._runtime.steps import AnyStep
from perdure.abc import World
from perdure.errors import RunTimeoutError, UsageError

pytestmark = pytest.mark.anyio
executed: list[str] = []


@step(name="queues:plain")
async def plain() -> str:
    executed.append("plain")
    return "plain"


@step(name="queues:graphics", queue="gpu")
async def graphics() -> str:
    executed.append("graphics")
    return "graphics"


@step(name="queues:spare", queue="two words")
def spare() -> str:
    return "spare"


STEPS: list[AnyStep] = [plain, graphics, spare]
FLOW = Workflow.from_source("""
import { plain, graphics } from "python:queues";
export async function both() {
  "use workflow";
  return [await plain(), await graphics(), await plain()];
}
""")
OTHERS = Workflow.from_source("""
import { graphics, spare } from "python:queues";
export async function others() { "use workflow"; return Promise.all([graphics(), spare()]); }
""")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    executed.clear()


async def waiting(world: World, run: Run, text: str) -> str:
    """What is told of the run, once it has *text*."""
    with anyio.fail_after(10):
        while text not in (told := await why_waiting(world, await run.info())):
            await anyio.lowlevel.checkpoint()
    return told


async def test_a_worker_leaves_steps_of_other_queues_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with Worker(world, steps=STEPS):
        run = await start(FLOW)
        told = await waiting(world, run, "gpu")
        assert executed == ["plain"]
        assert "queues:graphics of queue 'gpu'" in told
        assert f"perdure worker --steps queues --queue gpu --world {world.url}" in told
        assert "Worker(world, queues=['gpu'])" in told
        with caplog.at_level(logging.WARNING), pytest.raises(RunTimeoutError, match="--queue gpu"):
            await run.result(timeout=0.01)
        assert "--queue gpu" in caplog.text
        async with Worker(world, steps=STEPS, queues=["gpu"]):
            assert await run.result(timeout=10) == ["plain", "graphics", "plain"]
    assert executed == ["plain", "graphics", "plain"]


async def test_a_worker_of_one_queue_runs_no_step_of_the_default_one(world: World) -> None:
    async with Worker(world, steps=STEPS, queues=["gpu"]):
        run = await start(FLOW)
        assert "claimed queues:plain yet: none has it" in await waiting(world, run, "queues:plain")
        assert executed == []
        async with Worker(world, steps=STEPS):
            assert await run.result(timeout=10) == ["plain", "graphics", "plain"]


async def test_what_a_worker_without_the_step_sends_is_taken_where_its_queue_is_served(
    world: World,
) -> None:
    async with Worker(world, steps=[plain], queues=["default", "gpu"]):
        run = await start(FLOW)  # which does not know that it is a step of gpu
        await waiting(world, run, "queues:graphics")
        async with Worker(world, steps=STEPS):
            await anyio.wait_all_tasks_blocked()
            assert executed == ["plain"]
        async with Worker(world, steps=STEPS, queues={"gpu"}):
            assert await run.result(timeout=10) == ["plain", "graphics", "plain"]


async def test_each_queue_is_told_and_quoted(world: World) -> None:
    async with Worker(world, steps=STEPS):
        run = await start(OTHERS)
        await waiting(world, run, "gpu")
        told = await waiting(world, run, "two words")
    assert "--queue gpu" in told
    assert "--queue 'two words'" in told


async def test_a_worker_of_no_queue_takes_turns_only(world: World) -> None:
    async with Worker(world, steps=STEPS, queues=[]):
        run = await start(FLOW)
        await waiting(world, run, "queues:plain")
    assert executed == []


@pytest.mark.parametrize("wrong", ["gpu", b"gpu", 3, None, [3], [""], ["a/b"], [None]])
async def test_queues_that_are_none_are_refused(world: World, wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"^queue"):
        Worker(world, queues=wrong)
