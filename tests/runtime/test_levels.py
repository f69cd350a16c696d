"""A run of a later version is left alone by this version's workers; those who wait are told."""

from __future__ import annotations

import pytest

from perdure import Worker, Workflow, get_run, start
from perdure.abc import World
from perdure.errors import RunCancelledError
from perdure.model import LEVEL, NewRun, RunId, RunStatus
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { Run } from "workflow/api";
export async function one(): Promise<number> { "use workflow"; return 1; }
export async function waits(run: Run): Promise<string> {
  "use workflow";
  try { return await run.returnValue; } catch (error) { return error.name; }
}
"""
ABOVE = RunId("run_of_a_later_version")


async def test_a_worker_leaves_a_run_above_its_level_alone(world: World) -> None:
    async with Worker(world):
        first = await start(Workflow.from_source(SOURCE, name="one"), world=world)
        assert await first.result(timeout=10) == 1
        same = await world.storage.get_run(RunId(first.id))
        new = NewRun(
            run_id=ABOVE,
            workflow=same.workflow,
            bundle=same.bundle,
            engine=same.engine,
            input=b"\x80",
            created_at_ms=same.created_at_ms,
            level=LEVEL + 1,
        )
        await world.storage.create_run(new)
        run = get_run(ABOVE, world=world)
        waiting = await start(Workflow.from_source(SOURCE, name="waits"), [run.ref], world=world)
        for _ in range(3):  # each due later than that one
            later = await start(Workflow.from_source(SOURCE, name="one"), world=world)
            assert await later.result(timeout=10) == 1
        record = await world.storage.get_run(ABOVE)
        assert (record.status, record.turn, record.position) == (RunStatus.PENDING, 0, 1)
        await run.cancel("of no use")
        with pytest.raises(RunCancelledError):
            await run.result(timeout=10)
        assert await waiting.result(timeout=10) == "WorkflowRunCancelledError"
