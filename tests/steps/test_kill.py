"""A worker is killed in the middle of a step in JavaScript: another runs it, and it counts once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from perdure import Worker, Workflow, open_world, start
from perdure.model import EventType

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


SOURCE = """
import { getStepMetadata, getWritable } from "workflow";
async function work() {
  "use step";
  const { attempt } = getStepMetadata(), writer = getWritable().getWriter();
  await writer.write("begun " + attempt);
  if (attempt === 1) await new Promise((resolve) => setTimeout(resolve, 600_000));
  return attempt;
}
async function once() {
  "use step";
  const writer = getWritable({ namespace: "once" }).getWriter();
  await writer.write("begun");
  await new Promise((resolve) => setTimeout(resolve, 600_000));
}
once.maxRetries = 0;
export async function again() { "use workflow"; return await work(); }
export async function never() {
  "use workflow";
  try { await once(); } catch (error) { return error.name; }
}
"""
PROGRAM = """
import asyncio, sys
from perdure import Worker, open_world
async def main():
    async with open_world(sys.argv[1]) as world, Worker(world):
        await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("name", "namespace", "expected"),
    [("again", None, 2), ("never", "once", "StepLostError")],
)
async def test_a_step_whose_worker_is_killed(
    tmp_path: Path, name: str, namespace: str | None, expected: object
) -> None:
    url = f"sqlite:///{tmp_path / 'world.db'}"
    flow = Workflow.from_source(SOURCE, filename="flow.ts", name=name)
    async with open_world(url) as world:
        run = await start(flow, [], world=world)
        worker = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, url)
        try:
            assert str(await anext(run.readable(namespace))).startswith("begun")
        finally:
            worker.kill()
            await worker.wait()
        async with Worker(world):
            assert await run.result(timeout=60) == expected
        kinds = [logged.event.type async for logged in run.events()]
    ends = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)
    assert sum(kind in ends for kind in kinds) == 1
