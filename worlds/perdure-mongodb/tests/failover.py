"""A replica set of three loses its primary: run by ``nox -s mongodb_failover``, not with the rest.

It measures how long no commit lands, with elections as fast as ``perdure_mongodb.testing`` sets
them (the default is ten times slower).
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from perdure import Worker, Workflow, start, step
from perdure.model import Digest, EntityId, Event, EventType, NewRun, RunId, TurnCommit
from perdure_mongodb import MongoWorld
from perdure_mongodb.testing import Mongod, replica_set, wait_primary

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.crash]

SOURCE = """
import { add } from "python:failover";
export async function flow(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, i);
  return total;
}
"""


@step(name="failover:add", max_retries=20)
async def add(a: int, b: int) -> int:
    return a + b


def url_of(members: list[Mongod], driver: str) -> str:
    seeds = ",".join(member.address for member in members)
    return f"mongodb://{seeds}/failover?replicaSet=rs0&driver={driver}"


async def test_a_killed_primary_costs_a_pause_and_nothing_else(tmp_path: Path, driver: str) -> None:
    """Eight runs commit all the while; what was acknowledged is there on the new primary."""
    acknowledged: dict[RunId, int] = {}
    landed: list[float] = []
    ending, again = anyio.Event(), anyio.Event()
    killed = math.inf

    async def write(world: MongoWorld, run_id: RunId) -> None:
        new = NewRun(
            run_id=run_id,
            workflow="w",
            bundle=Digest("b"),
            engine=Digest("e"),
            input=b"\x80",
            created_at_ms=1,
        )
        await world.storage.create_run(new)
        while not ending.is_set():
            turn = acknowledged.get(run_id, 0)
            event = Event(
                type=EventType.STEP_CREATED,
                key=f"step_{turn}/created",
                at_ms=1,
                entity=EntityId(f"step_{turn}"),
            )
            commit = TurnCommit(
                run_id=run_id,
                commit_id=f"{run_id}/{turn}",
                turn=turn,
                expected_position=turn + 1,
                consumed=1,
                log_digest=b"d",
                events=(event,),
            )
            assert (await world.storage.commit(commit)).turn == turn + 1
            acknowledged[run_id] = turn + 1
            landed.append(anyio.current_time())
            if landed[-1] > killed + 2:  # what was under way when it was killed has long ended
                again.set()

    with replica_set(tmp_path, nodes=3) as members:
        async with MongoWorld(url_of(members, driver)) as world:
            async with anyio.create_task_group() as group:
                for n in range(8):
                    group.start_soon(write, world, RunId(f"run_{n}"))
                await anyio.sleep(2)
                primary = await anyio.to_thread.run_sync(wait_primary, members)
                primary.kill()
                killed = anyio.current_time()
                with anyio.fail_after(60):
                    await again.wait()
                ending.set()
            for run_id, turns in acknowledged.items():
                assert (await world.storage.get_run(run_id)).turn == turns
                events = await world.storage.read_events(run_id, limit=100_000)
                assert len(events) == turns + 1
    pause = max(after - before for before, after in itertools.pairwise(landed))
    print(f"\n{driver}: {len(landed)} commits, none lost; longest pause {pause:.2f} s")


async def test_runs_finish_though_the_primary_is_killed(tmp_path: Path, driver: str) -> None:
    with replica_set(tmp_path, nodes=3) as members:
        async with MongoWorld(url_of(members, driver)) as world, Worker(world, steps=[add]):
            made = Workflow.from_source(SOURCE, name="flow")
            runs = [await start(made, [150], world=world) for _ in range(10)]
            primary = await anyio.to_thread.run_sync(wait_primary, members)
            primary.kill()
            for run in runs:
                assert await run.result(timeout=60) == 150 * 149 // 2
                events = [logged.event async for logged in run.events()]
                ended = [e.entity for e in events if e.type is EventType.STEP_COMPLETED]
                assert len(ended) == len(set(ended)) == 150
