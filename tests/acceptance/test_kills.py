"""Workers are killed with SIGKILL at random moments; nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from perdure import list_runs, start, workflow
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.inspect.inspection import inspect_run
from perdure._runtime.run import Run
from perdure.abc import World
from perdure.model import EventType, RunId, RunStatus
from perdure.worlds import open_world
from tests.acceptance.streams import check_stream
from tests.acceptance.workers import Workers

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.crash,
    pytest.mark.reopened,
    pytest.mark.worlds("sqlite", "mongodb", "s3"),
]

HERE = Path(__file__).parent
SPEAK = "acceptance_steps:speak"
ENDED = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)
EXPECTED: dict[str, tuple[int, object]] = {
    "loop": (40, 780),
    "fan": (30, 435),
    "mixed": (
        4,
        "1,no0,0,3,no1,2,5,no2,4,7,no3,6,x",
    ),
    "stateful": (15, 1605),
    "family": (1, 4),
    "talks": (4, "0,0,1,1,2,2,3,3"),
}
KILLS = {"sqlite": 100, "mongodb": 10, "s3": 10}  # with each of the seeds


def kills_on(world_name: str) -> int:
    """How many kills, by ``PERDURE_KILLS`` or the world."""
    return int(os.environ.get("PERDURE_KILLS", KILLS[world_name]))


async def damage(world: World, run: Run, rng: random.Random) -> None:
    """Take the run's snapshots away, or flip a bit in each of them."""
    run_id = RunId(run.id)
    chain = await world.snapshots.load(run_id)
    await world.snapshots.delete(run_id)
    if rng.random() < 0.5:
        return
    for snapshot in chain:
        data, at = snapshot.data, rng.randrange(len(snapshot.data))
        flipped = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        await world.snapshots.save(run_id, replace(snapshot, data=flipped))


async def check(run: Run, name: str, effects: Counter[str], *, damaged: bool) -> None:
    """The run ended as it should; each step's result counts once and has a body that ran."""
    assert run._world is not None
    shown = await inspect_run(run._world, run.id)
    assert await run.result(timeout=1) == EXPECTED[name][1]
    events = [logged.event for logged in shown.events]
    assert [logged.position for logged in shown.events] == list(range(1, len(events) + 1))
    ended = Counter(event.entity for event in events if event.type in ENDED)
    made = [event.entity for event in events if event.type is EventType.STEP_CREATED]
    assert all(ended[entity] == 1 for entity in made)
    assert all(effects[f"{run.id}/{entity}"] >= 1 for entity in made)
    assert sum(event.type is EventType.RUN_COMPLETED for event in events) == 1
    spoken = {f"{run.id}/{one.id}" for one in shown.entities if one.name == SPEAK}
    await check_stream(run, "spoken", spoken)
    audit = await verify_run(run._world, run.id)
    # What was damaged and never used again is still there, and is all that may be found.
    known = "does not match its bytes" if damaged else None
    assert [p for p in audit.problems if known is None or known not in p] == []
    assert audit.deliveries > 0


async def check_descendants(run: Run, count: int) -> None:
    """Each was started once, and its end was told once to the run that waited for it."""
    world = run._world
    assert world is not None
    page = await list_runs(attributes={"$rootRunId": run.id}, limit=count + 1, world=world)
    records = page.runs
    assert Counter(record.status for record in records) == Counter({RunStatus.COMPLETED: count})
    for parent in (run.id, *(record.run_id for record in records)):
        ours = [one.run_id for one in records if one.attributes["$parentRunId"] == parent]
        log = await world.storage.read_events(RunId(parent))
        ends = [logged.event for logged in log if logged.event.type is EventType.CHILD_ENDED]
        assert Counter(event.facts["run_id"] for event in ends) == Counter(ours)


@asynccontextmanager
async def surviving(workers: Workers) -> AsyncGenerator[None, None]:
    """One worker that nobody kills, and that leaves in good order."""
    last = await workers.up()
    try:
        yield
    finally:
        last.terminate()
        await anyio.to_thread.run_sync(last.wait)
    assert last.returncode == 0


@pytest.mark.parametrize(("seed", "damaging"), [(1, False), (2, True)])
async def test_nothing_is_lost_or_doubled_when_workers_are_killed(
    world_name: str, url: str, tmp_path: Path, seed: int, damaging: bool
) -> None:
    """Two places at once where a worker is killed and another begun, while runs begin all along.

    With *damaging* snapshots are deleted or altered all the while.
    """
    rng, wanted = random.Random(seed), kills_on(world_name)
    print(f"seed {seed}, {wanted} kills")
    effects = tmp_path / "effects"
    effects.touch()
    runs: list[tuple[str, Run]] = []
    async with open_world(url) as world:
        workers = Workers(url, effects)

        async def begin(count: int) -> None:
            for _ in range(count):
                name = rng.choice(list(EXPECTED))
                made = workflow(HERE / f"flows.ts#{name}")
                runs.append((name, await start(made, [EXPECTED[name][0]], world=world)))

        async def place() -> None:
            while workers.kills < wanted:
                await begin(2)
                await workers.kill_after(rng.uniform(0.0, 0.25))
                if damaging:
                    for _, run in rng.sample(runs, len(runs) // 3):
                        await damage(world, run, rng)

        async with anyio.create_task_group() as group:
            group.start_soon(place)
            group.start_soon(place)
        assert workers.kills >= wanted
        async with surviving(workers):
            with anyio.fail_after(120):
                for _, run in runs:
                    await run.result()
        counted = Counter(line.split()[0] for line in effects.read_text().splitlines())
        for name, run in runs:
            await check(run, name, counted, damaged=damaging)
            if name == "family":
                await check_descendants(run, 2)
        await world.settle()
        waiting = await world.queue.count_waiting()
        assert set(waiting.values()) == {0}
