"""What a step may ask about itself and its run, from wherever it is."""

from __future__ import annotations

from datetime import datetime

import anyio
import anyio.to_thread
import pytest

from perdure import (
    RetryableError,
    RunMetadata,
    StepMetadata,
    Worker,
    Workflow,
    run_metadata,
    start,
    step,
    step_metadata,
)
from perdure.errors import UsageError
from perdure.testing import ManualClock
from perdure.worlds import open_world
from tests.runtime.hurry import hurried
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]

seen: list[tuple[RunMetadata, StepMetadata]] = []


def helper() -> None:
    """What a step calls, and knows nothing of."""
    seen.append((run_metadata(), step_metadata()))


@step(name="metadata:asynchronous")
async def asynchronous() -> datetime:
    helper()
    await anyio.to_thread.run_sync(helper)
    async with anyio.create_task_group() as group:
        group.start_soon(_later)
    return run_metadata().started_at


async def _later() -> None:
    helper()


@step(name="metadata:plain", max_retries=1)
def plain() -> None:
    helper()
    if step_metadata().attempt == 1:
        raise RetryableError("again", retry_after=0.001)


FLOW = Workflow.from_source("""
import { sleep, getWorkflowMetadata } from "workflow";
import { asynchronous, plain } from "python:metadata";
export async function named() {
  "use workflow";
  await sleep(30);
  const about = getWorkflowMetadata();
  const told = await asynchronous();
  await plain();
  return [about.workflowStartedAt.getTime() === told.getTime(), about.workflowRunId,
    about.workflowName, Object.keys(about).sort().join()];
}
""")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    seen.clear()


async def test_it_is_known_in_helpers_threads_and_tasks_and_agrees_with_the_workflow(
    url: str,
) -> None:
    clock = ManualClock()
    async with open_world(url, clock=clock) as world, Worker(world, steps=[asynchronous, plain]):
        run = await start(FLOW)
        found = await hurried(run, clock)
    keys = "features,url,workflowName,workflowRunId,workflowStartedAt"
    assert found == [True, run.id, "named", keys]
    assert {about.run_id for about, _ in seen} == {run.id}
    assert {about.workflow for about, _ in seen} == {"named"}
    assert len({about.started_at for about, _ in seen}) == 1
    steps = [about for _, about in seen]
    assert [one.step for one in steps] == ["metadata:asynchronous"] * 3 + ["metadata:plain"] * 2
    assert [one.attempt for one in steps] == [1, 1, 1, 1, 2]
    assert len({one.id for one in steps}) == 2  # stable over retries
    first, second = steps[-2:]
    assert first.started_at == second.started_at  # a retry does not move it
    assert seen[0][0].started_at < first.started_at


async def test_outside_a_step_there_is_none() -> None:
    with pytest.raises(UsageError, match="only within a step"):
        run_metadata()
    with pytest.raises(UsageError, match="only within a step"):
        step_metadata()
