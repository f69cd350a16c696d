"""Whole runs on each world: steps, retries, caught errors, fan-out, sleep."""

from __future__ import annotations

import pytest

from perdure import FatalError, Worker, Workflow, start, step
from perdure.abc import World
from perdure.errors import RunFailedError
from perdure.model import EventType
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { sleep } from "workflow";
import { add, refuse } from "python:flow";

export async function flow(n: number): Promise<{ total: number; caught: string }> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, i);
  const [a, b] = await Promise.all([add(1, 2), add(3, 4)]);
  await sleep(20);
  let caught = "";
  try { await refuse("no"); } catch (e: any) { caught = `${e.name}: ${e.message}`; }
  return { total: total + a + b, caught };
}

export async function fails(): Promise<void> {
  "use workflow";
  await refuse("outright");
}
"""


@step(name="flow:add")
async def add(a: int, b: int) -> int:
    return a + b


@step(name="flow:refuse")
def refuse(why: str) -> None:
    raise FatalError(why)


async def test_a_run_goes_through_steps_fan_out_sleep_and_a_caught_error(world: World) -> None:
    async with Worker(world, steps=[add, refuse]):
        run = await start(Workflow.from_source(SOURCE, name="flow"), [5], world=world)
        assert await run.result(timeout=20) == {"total": 20, "caught": "FatalError: no"}
        kinds = [logged.event.type async for logged in run.events()]
        assert kinds.count(EventType.STEP_COMPLETED) == 7
        assert kinds.count(EventType.STEP_FAILED) == 1
        assert kinds[-1] is EventType.RUN_COMPLETED


async def test_a_failed_run_names_the_workflow_source(world: World) -> None:
    async with Worker(world, steps=[add, refuse]):
        run = await start(Workflow.from_source(SOURCE, name="fails"), [], world=world)
        with pytest.raises(RunFailedError, match="outright"):
            await run.result(timeout=20)
