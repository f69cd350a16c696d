"""The server is killed under load; nothing acknowledged is lost.

Workers are killed by the acceptance tests of the whole suite, on this world as on every other.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from perdure import Worker, Workflow, start, step
from perdure.errors import WorldUnavailableError
from perdure.model import Digest, EntityId, Event, EventType, NewRun, RunId, TurnCommit
from perdure.worlds import open_world
from perdure_mongodb import MongoWorld
from perdure_mongodb.testing import replica_set

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.crash]

SOURCE = """
import { sleep } from "workflow";
import { add } from "python:mongo";

export async function flow(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, i);
  const parts = await Promise.all(Array.from({ length: 20 }, (_, i) => add(i, 1)));
  await sleep(30);
  return total + parts.length;
}
"""


@step(name="mongo:add")
async def add(a: int, b: int) -> int:
    return a + b


async def test_a_workflow_runs_through(url: str) -> None:
    async with open_world(url) as world, Worker(world, steps=[add]):
        run = await start(Workflow.from_source(SOURCE, name="flow"), [8], world=world)
        assert await run.result(timeout=30) == 48
        kinds = [logged.event.type async for logged in run.events()]
        assert kinds.count(EventType.STEP_COMPLETED) == 28
        assert set((await world.queue.count_waiting()).values()) == {0}


class Writers:
    """Runs that are committed to one turn after another, and what was acknowledged of them."""

    def __init__(self, world: MongoWorld) -> None:
        self.world = world
        self.acknowledged: Counter[RunId] = Counter()
        self.refused = 0
        self.ending = False
        self._landed = anyio.Event()

    async def write(self, run_id: RunId) -> None:
        """Commit until told to end; an unknown outcome is asked for again."""
        storage = self.world.storage
        new = NewRun(
            run_id=run_id,
            workflow="w",
            bundle=Digest("b"),
            engine=Digest("e"),
            input=b"\x80",
            created_at_ms=1,
        )
        await storage.create_run(new)
        turn = 0
        while not self.ending:
            event = Event(
                type=EventType.STEP_CREATED,
                key=f"step_{turn}/created",
                at_ms=1,
                entity=EntityId(f"step_{turn}"),
                payload=b"p" * 50,
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
            try:
                done = await storage.commit(commit)
            except WorldUnavailableError:
                self.refused += 1
                await anyio.sleep(0.05)
                continue
            assert (done.turn, done.position) == (turn + 1, turn + 2)
            turn += 1
            self.acknowledged[run_id] = turn
            self._landed.set()

    async def more(self) -> None:
        """Wait until every run has had ten more commits."""
        wanted = {run_id: count + 10 for run_id, count in self.acknowledged.items()}
        with anyio.fail_after(60):
            while any(self.acknowledged[run_id] < count for run_id, count in wanted.items()):
                self._landed = anyio.Event()
                await self._landed.wait()

    async def check(self) -> None:
        """Everything acknowledged is there, once and in order."""
        for run_id, turns in self.acknowledged.items():
            record = await self.world.storage.get_run(run_id)
            assert record.turn == turns
            events = await self.world.storage.read_events(run_id, limit=100_000)
            assert [e.event.key for e in events[1:]] == [f"step_{n}/created" for n in range(turns)]


async def test_a_server_killed_under_load_loses_nothing_acknowledged(
    tmp_path: Path, driver: str
) -> None:
    with replica_set(tmp_path) as (server,):
        async with MongoWorld(f"{server.url('load')}&driver={driver}") as world:
            writers = Writers(world)
            async with anyio.create_task_group() as group:
                for n in range(8):
                    run_id = RunId(f"run_{n}")
                    writers.acknowledged[run_id] = 0
                    group.start_soon(writers.write, run_id)
                await writers.more()
                server.kill()
                await anyio.to_thread.run_sync(server.start)
                await writers.more()
                writers.ending = True
            await writers.check()
            print(f"{sum(writers.acknowledged.values())} commits, {writers.refused} unknown")
