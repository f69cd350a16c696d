"""A13: a workflow goes on as a run of its own that it starts, with its state for arguments."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Worker, Workflow, get_run, list_runs, start, step
from perdure.abc import World
from perdure.model import RunStatus
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { getWorkflowMetadata } from "workflow";
import { start } from "workflow/api";
import { add } from "python:goes_on";
export async function rounds(left: number, total: number) {
  "use workflow";
  const sum = await add(total, left);
  if (left === 0) return { sum, next: null };
  const { runId } = await start(rounds, [left - 1, sum]);
  return { sum, next: runId };
}
"""


async def test_each_round_ends_at_once_and_the_next_has_its_state(world: World) -> None:
    @step(name="goes_on:add")
    async def add(a: int, b: int) -> int:
        return a + b

    async with Worker(world, steps=[add]):
        first = await start(Workflow.from_source(SOURCE), [4, 0], world=world)
        sums, run = list[int](), first
        while True:
            result: Any = await run.result(timeout=20)
            sums.append(result["sum"])
            if result["next"] is None:
                break
            await world.settle()  # MongoDB and S3 bring a child after its parent's turn
            run = get_run(result["next"], world)
    assert sums == [4, 7, 9, 10, 10]
    heirs = (await list_runs(attributes={"$rootRunId": first.id}, world=world)).runs
    assert [record.status for record in heirs] == [RunStatus.COMPLETED] * 4
    assert {record.bundle for record in heirs} == {(await first.info()).bundle}  # code is pinned
