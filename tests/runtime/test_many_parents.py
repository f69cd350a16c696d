"""Parents that wait for children hold no slot: more of them than slots, and all of them end.

``PERDURE_PARENTS`` says how many; ``nox -s families`` has ten thousand.
"""

from __future__ import annotations

import os

import anyio
import pytest

from perdure import Worker, Workflow, list_runs, start
from perdure.abc import World
from perdure.model import EventType, RunId, RunStatus

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.worlds("sqlite")]

PARENTS = int(os.environ.get("PERDURE_PARENTS", "60"))
AT_ONCE = 64
CHILD_S, LEAST_S = 0.1, 30  # that one may take, on a machine with other work
SOURCE = """
import { start } from "workflow/api";
export async function child(n: number) {
  "use workflow";
  return n;
}
export async function parent(n: number) {
  "use workflow";
  return await (await start(child, [n])).returnValue;
}
"""


async def test_any_number_of_parents_waits_in_one_slot(world: World) -> None:
    """All begin to wait before the first child runs, and each has the result of its own."""
    flow = Workflow.from_source(SOURCE, name="parent")
    limit = anyio.CapacityLimiter(AT_ONCE)
    runs = [await start(flow, [0], world=world)]

    async def begin(n: int) -> None:
        async with limit:
            runs.append(await start(flow, [n], world=world))

    async with anyio.create_task_group() as group:
        for n in range(1, PARENTS):
            group.start_soon(begin, n)
    with anyio.fail_after(LEAST_S + PARENTS * CHILD_S):
        async with Worker(world, max_turns=1):
            results = [await run.result() for run in runs]
    assert set(results) == {*range(PARENTS)}
    first = await list_runs(workflow="child", attributes={"$parentRunId": runs[0].id}, world=world)
    (child,) = first.runs
    assert child.status is RunStatus.COMPLETED
    last = max([await _waiting_since(world, run.id) for run in runs])
    assert child.started_at_ms is not None
    assert last <= child.started_at_ms, "all had begun to wait by then"


async def _waiting_since(world: World, run_id: str) -> int:
    log = await world.storage.read_events(RunId(run_id))
    (at_ms,) = [one.event.at_ms for one in log if one.event.type is EventType.WATCH_CREATED]
    return at_ms
