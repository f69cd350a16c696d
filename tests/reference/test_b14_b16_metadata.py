"""B14 to B16 of the reference: metadata of steps and runs, the same wherever it is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import anyio
import anyio.to_thread
import pytest

from perdure import (
    RunMetadata,
    StepMetadata,
    Worker,
    Workflow,
    run_metadata,
    start,
    step,
    step_metadata,
)
from perdure.abc import World
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

asked: list[tuple[RunMetadata, StepMetadata]] = []


def helper() -> None:
    """Knows nothing of steps but that it is called in one."""
    asked.append((run_metadata(), step_metadata()))


@step(name="b14:tries", max_retries=2, retry_delay=0)
async def tries() -> None:
    helper()
    await anyio.to_thread.run_sync(helper)
    if step_metadata().attempt < 3:
        raise ValueError("again")


@step(name="b14:plain")
def plain() -> dict[str, object]:
    helper()
    about = run_metadata()
    return {
        "workflowName": about.workflow,
        "workflowRunId": about.run_id,
        "workflowStartedAt": about.started_at,
        "url": about.url,
        "features": {"encryption": about.features.encryption},
    }


FLOW = Workflow.from_source("""
import { getWorkflowMetadata, sleep } from "workflow";
import { plain, tries } from "python:b14";
const inHelper = () => getWorkflowMetadata();
export async function flow() {
  "use workflow";
  const before = getWorkflowMetadata();
  await sleep(1);
  await tries();
  return [before, inHelper(), await plain()];
}
""")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    asked.clear()


async def test_both_sides_have_the_same_values_and_nothing_of_a_step(world: World) -> None:
    run = await start(FLOW, world=world, base_url="https://shop.example/app")
    async with Worker(world, steps=[tries, plain]):
        before, after, of_step = cast("list[dict[str, Any]]", await run.result(timeout=30))
    assert before == after == of_step
    assert before.keys() == {
        *("workflowName", "workflowRunId", "workflowStartedAt", "url", "features"),
    }
    assert (before["workflowName"], before["workflowRunId"]) == ("flow", run.id)
    record = await run.info()
    assert before["workflowStartedAt"] == _time(record.created_at_ms)
    assert before["url"] == record.base_url == "https://shop.example/app"
    assert before["features"] == {"encryption": False}


async def test_a_workflow_has_no_steps_metadata(world: World) -> None:
    source = """
import { getStepMetadata } from "workflow";
export async function flow() {
  "use workflow";
  try { return getStepMetadata(); } catch (error: any) { return error.name; }
}"""
    async with Worker(world, steps=[]):
        run = await start(Workflow.from_source(source), world=world)
        assert await run.result(timeout=20) == "NotInStepContextError"


async def test_a_steps_id_is_its_key_and_its_start_that_of_the_first_attempt(
    world: World,
) -> None:
    run = await start(FLOW, world=world)
    async with Worker(world, steps=[tries, plain]):
        await run.result(timeout=30)
    steps = [about for _, about in asked]
    assert [(one.step, one.attempt) for one in steps] == [
        *[("b14:tries", n) for n in (1, 1, 2, 2, 3, 3)],
        ("b14:plain", 1),
    ]
    first, *_, last = steps
    assert {one.id for one in steps[:-1]} == {first.id}
    assert {one.started_at for one in steps[:-1]} == {first.started_at}
    assert last.id != first.id
    assert all(one.id.startswith(f"{run.id}/") for one in steps)
    assert {about for about, _ in asked} == {asked[0][0]}  # of the run: one value everywhere


def _time(at_ms: int) -> datetime:
    return datetime.fromisoformat("1970-01-01T00:00:00Z") + timedelta(milliseconds=at_ms)
