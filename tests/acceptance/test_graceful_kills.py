"""Runs that are asked to end while their workers are killed: one end, each cleanup counts once."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import anyio
import pytest

from perdure import cancel_runs, list_runs, start, workflow
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.run import Run
from perdure.abc import World
from perdure.errors import RunCancelledError
from perdure.model import EventType, RunStatus
from perdure.worlds import open_world
from tests.acceptance.test_kills import surviving
from tests.acceptance.workers import Workers
from tests.reference.waiting import until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.crash,
    pytest.mark.reopened,
    pytest.mark.worlds("sqlite", "mongodb", "s3"),
]

FLOW = Path(__file__).parent / "flows.ts#cleaning"
RUNS, STEPS = 3, 5
KILLS = int(os.environ.get("PERDURE_KILLS", "5"))


async def check(run: Run, count: int, effects: Counter[str]) -> None:
    """It ended once, as cancelled; each cleanup step that it made counts once."""
    assert run._world is not None
    events = [logged.event async for logged in run.events()]
    kinds = Counter(event.type for event in events)
    assert (kinds[EventType.RUN_CANCELLED], kinds[EventType.CANCEL_REQUESTED]) == (1, 1)
    assert events[-1].type is EventType.RUN_CANCELLED
    done = [event.entity for event in events if event.type is EventType.STEP_COMPLETED]
    assert len(done) == len(set(done)) == count
    assert all(effects[f"{run.id}/{entity}"] >= 1 for entity in done)
    assert (await verify_run(run._world, run.id)).problems == []


async def test_each_cleanup_counts_once_when_workers_are_killed(
    world_name: str, url: str, tmp_path: Path
) -> None:
    """They are killed between the request, its cleanup steps and the end; children as well."""
    rng, effects = random.Random(7), tmp_path / "effects"
    effects.touch()
    async with open_world(url) as world:
        workers = Workers(url, effects)
        runs = [await start(workflow(FLOW), [STEPS], world=world) for _ in range(RUNS)]
        async with surviving(workers):
            await until(lambda: all_wait(world))
        results = await cancel_runs(
            [run.id for run in runs], reason="enough", graceful=60, children="cancel", world=world
        )
        assert all(result.is_cancelled for result in results)
        for _ in range(KILLS):
            await workers.kill_after(rng.uniform(0.0, 0.15))
        async with surviving(workers):
            for run in await every_run(world):
                with anyio.fail_after(60), pytest.raises(RunCancelledError, match="enough"):
                    await run.result()
        counted = Counter(line.split()[0] for line in effects.read_text().splitlines())
        for run in await every_run(world):
            await check(run, STEPS if run.id in {one.id for one in runs} else 1, counted)
        await world.settle()
        assert set((await world.queue.count_waiting()).values()) == {0}


async def test_a_time_that_is_over_ends_runs_before_anything_of_them_is_loaded(
    world_name: str, url: str, tmp_path: Path
) -> None:
    """No worker runs while it passes."""
    effects = tmp_path / "effects"
    effects.touch()
    async with open_world(url) as world:
        workers = Workers(url, effects)
        run = await start(workflow(FLOW), [STEPS], world=world)
        async with surviving(workers):
            await until(lambda: all_wait(world, 1))
        await run.cancel("over", graceful=0.05)
        await anyio.sleep(0.1)
        async with surviving(workers):
            with anyio.fail_after(60), pytest.raises(RunCancelledError, match="over"):
                await run.result()
        assert effects.read_text() == ""


async def every_run(world: World) -> list[Run]:
    return [Run(one.run_id, world) for one in (await list_runs(limit=50, world=world)).runs]


async def all_wait(world: World, count: int = RUNS) -> bool:
    """Whether each run and its child has taken its first turn, and nothing of it is under way."""
    records = (await list_runs(status=RunStatus.RUNNING, limit=50, world=world)).runs
    return len(records) == 2 * count and all(record.turn for record in records)
