"""E7 of the reference: runs are cancelled, one or many, each with its own answer."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Run, Worker, Workflow, cancel_runs, start
from perdure.abc import World
from perdure.errors import RunCancelledError, RunEndedError, RunNotFoundError, UsageError
from perdure.model import RunStatus
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = pytest.mark.anyio

SOURCE = """
import { sleep } from "workflow";
export async function patient() { "use workflow"; await sleep("1 day"); }
export async function other() { "use workflow"; await sleep("1 day"); }
export async function quick() { "use workflow"; return 1; }
"""
PATIENT, OTHER, QUICK = (
    Workflow.from_source(SOURCE, name=name) for name in ("patient", "other", "quick")
)


async def statuses(*runs: Run) -> list[RunStatus]:
    return [await run.status() for run in runs]


@EVERY_WORLD
async def test_each_run_has_an_answer_of_its_own(world: World) -> None:
    async with Worker(world, steps=[]):
        done = await start(QUICK, world=world)
        await done.result(timeout=20)
        first, second = [await start(PATIENT, world=world) for _ in range(2)]
        await first.cancel()
        ids = [second.id, done.id, "run_none", first.id]
        results = await cancel_runs(ids, reason="enough", world=world)
        assert [result.run_id for result in results] == ids
        assert [result.is_cancelled for result in results] == [True, False, False, True]
        assert isinstance(results[1].error, RunEndedError)
        assert isinstance(results[2].error, RunNotFoundError)
        with pytest.raises(RunCancelledError, match="enough"):
            await second.result(timeout=20)
        assert await statuses(done, first) == [RunStatus.COMPLETED, RunStatus.CANCELLED]


@EVERY_WORLD
async def test_runs_are_chosen_by_status_workflow_and_attributes(world: World) -> None:
    gold = {"tier": "gold"}
    one, two = [await start(PATIENT, world=world, attributes=gold) for _ in range(2)]
    three = await start(OTHER, world=world, attributes=gold)
    four = await start(OTHER, world=world)
    (result,) = await cancel_runs(workflow="other", attributes=gold, world=world)
    assert result.run_id == three.id
    assert await cancel_runs(status="running", world=world) == ()
    results = await cancel_runs(attributes=gold, limit=1, world=world)
    assert len(results) == 1
    results = await cancel_runs(status=RunStatus.PENDING, world=world)
    assert four.id in {one.run_id for one in results}
    assert await statuses(one, two, three, four) == [RunStatus.CANCELLED] * 4


@IN_MEMORY
async def test_what_it_cannot_mean_is_refused(world: World) -> None:
    wrongs: tuple[dict[str, Any], ...] = (
        {},
        {"ids": ["a"], "status": "running"},
        {"status": "completed"},
        {"status": "nope"},
        {"status": "running", "limit": 0},
        {"ids": "run_a"},
        {"ids": [7]},
        {"attributes": 5},
        {"ids": ["a"], "reason": "x" * 513},
        {"ids": ["a"], "reason": 7},
    )
    for wrong in wrongs:
        with pytest.raises(UsageError):
            await cancel_runs(**wrong, world=world)


@IN_MEMORY
async def test_a_reason_has_a_limit(world: World) -> None:
    run = await start(PATIENT, world=world)
    with pytest.raises(UsageError, match=r"513 characters, and at most 512"):
        await run.cancel("x" * 513)
    await run.cancel("é" * 512)
    with pytest.raises(RunCancelledError) as failure:
        await run.result(timeout=20)
    assert failure.value.reason == "é" * 512
