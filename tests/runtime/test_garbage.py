"""Runs and steps leave no cycles: each would pay for a part of a collection."""

from __future__ import annotations

import gc
from collections.abc import Generator

import anyio.lowlevel
import pytest

from perdure import Worker, Workflow, start, step
from perdure.abc import World

pytestmark = pytest.mark.anyio

FLOW = """
import { add, wait } from "python:garbage";
export async function flow(n: number): Promise<number> {
  "use workflow";
  let sum = 0;
  for (let i = 0; i < n; i++) sum = await add(sum, i);
  const all = await Promise.all(Array.from({ length: n }, (_, i) => add(i, 1)));
  for (let i = 0; i < n; i++) sum += await wait();
  return sum + all.length;
}
"""


@step(name="garbage:add")
async def add(left: int, right: int) -> int:
    return left + right


@step(name="garbage:wait")
async def wait() -> int:
    await anyio.lowlevel.checkpoint()
    return 1


@pytest.fixture
def uncollected() -> Generator[None, None, None]:
    """Without collections meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.slow
async def test_runs_and_steps_leave_no_cycles(world: World, uncollected: None) -> None:
    flow = Workflow.from_source(FLOW, filename="flow.ts")
    async with Worker(world, steps=[add, wait]):
        for n in (20, 20):
            gc.collect()
            run = await start(flow, [n])
            assert await run.result(timeout=30) == n * (n - 1) / 2 + n + n
        assert gc.collect() < 20  # objects, of 60 steps
