"""Killed servers and killed workers: what was acknowledged is there, nothing counts twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from servers import Server, running_seaweed

from perdure import start, workflow
from perdure._runtime.audit import verify_run
from perdure._runtime.handles import Run
from perdure.errors import WorldError
from perdure.model import Append, Digest, EntityId, Event, EventType, NewRun, RunFilter, RunId
from perdure_s3 import S3World

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.crash]

FULL = os.environ.get("PERDURE_TIER") == "full"
ACCEPTANCE = Path(__file__).parents[3] / "tests/acceptance"
EXPECTED: dict[str, tuple[int, object]] = {"loop": (20, 190), "fan": (10, 45)}


async def write_until_killed(
    world: S3World, name: str, acknowledged: dict[str, int], dead: anyio.Event
) -> None:
    """Create a run and append to it, one event after another, noting what was acknowledged."""
    run_id = RunId(name)
    new = NewRun(
        run_id=run_id,
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"x" * 100,
        created_at_ms=1,
    )
    try:
        await world.storage.create_run(new)
        acknowledged[name] = 1
        while not dead.is_set():
            n = acknowledged[name] + 1
            event = Event(
                type=EventType.STEP_COMPLETED,
                key=f"step_{n}/end",
                at_ms=n,
                entity=EntityId(f"step_{n}"),
                payload=b"%d" % n,
            )
            answer = await world.storage.append(Append(run_id=run_id, event=event))
            assert answer.position == n
            acknowledged[name] = n
    except WorldError:
        return  # the server is gone; what the last call did is unknown


async def test_kill_9_of_the_server_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with running_seaweed(tmp_path) as server:
        url, acknowledged = server.url("&timeout=5"), dict[str, int]()
        for trial in range(3 if FULL else 1):
            dead = anyio.Event()
            async with S3World(url) as world, anyio.create_task_group() as group:
                for n in range(8):
                    name = f"run_{trial}_{n}"
                    group.start_soon(write_until_killed, world, name, acknowledged, dead)
                await anyio.sleep(1.0 + trial)  # the moment of the kill is what varies
                server.kill()
                dead.set()
            await anyio.to_thread.run_sync(server.start)
        assert sum(acknowledged.values()) > 100
        async with S3World(url) as world:
            for name, last in acknowledged.items():
                events = await world.storage.read_events(RunId(name), limit=100_000)
                assert last <= len(events) <= last + 1  # the one that was under way, perhaps
                assert [e.position for e in events] == list(range(1, len(events) + 1))
                assert [e.event.payload for e in events[1:]] == [
                    b"%d" % n for n in range(2, len(events) + 1)
                ]
            page = await world.catalogue.list_runs(RunFilter(), limit=1000)
            assert {record.run_id for record in page.runs} >= set(acknowledged)
            claims = await world.queue.claim_wakes(limit=1000, visibility_ms=60_000)
            assert {claim.run_id for claim in claims} >= set(acknowledged)  # every one is due


class Workers:
    """Real worker processes."""

    def __init__(self, url: str, effects: Path) -> None:
        self.command = [sys.executable, "-m", "perdure", "worker", "--world", url]
        self.command += ["--steps", "acceptance_steps"]
        paths = [str(ACCEPTANCE), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            "EFFECTS": str(effects),
            "PYTHONPATH": os.pathsep.join(paths),
        }

    def spawn(self) -> subprocess.Popen[bytes]:
        """A worker process."""
        return subprocess.Popen(
            self.command, env=self.environment, stderr=subprocess.PIPE, cwd=ACCEPTANCE
        )

    async def up(self) -> subprocess.Popen[bytes]:
        """A worker that has opened its world."""
        process = self.spawn()
        assert process.stderr is not None
        line = await anyio.to_thread.run_sync(process.stderr.readline)
        assert b"working on" in line, line
        return process


@pytest.mark.parametrize("name", ["ministack", "seaweed"] if FULL else ["ministack"])
async def test_nothing_is_lost_or_doubled_when_workers_are_killed(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    server: Server = request.getfixturevalue(name)
    rng, url, effects = random.Random(1), server.url("&poll=0.3"), tmp_path / "effects"
    effects.touch()
    runs: list[tuple[str, Run]] = []
    async with S3World(url) as world:
        workers = Workers(url, effects)
        for _ in range(20 if FULL else 3):
            for flow, (count, _) in EXPECTED.items():
                made = workflow(ACCEPTANCE / f"flows.ts#{flow}")
                runs.append((flow, await start(made, [count], world=world)))
            process = await workers.up()
            await anyio.sleep(rng.uniform(0.0, 0.6))  # the moment of the kill is what varies
            os.kill(process.pid, signal.SIGKILL)
            await anyio.to_thread.run_sync(process.communicate)
        last = await workers.up()
        try:
            with anyio.fail_after(120):
                for flow, run in runs:
                    assert await run.result() == EXPECTED[flow][1]
        finally:
            last.terminate()
            await anyio.to_thread.run_sync(last.communicate)
        assert last.returncode == 0
        counted = Counter(line.split()[0] for line in effects.read_text().splitlines())
        for _, run in runs:
            await check(world, run, counted)
        await world.settle()
        assert set((await world.queue.count_waiting()).values()) == {0}


async def check(world: S3World, run: Run, effects: Counter[str]) -> None:
    """Each step's result counts once and has a body that ran; the log replays."""
    events = [e.event for e in await world.storage.read_events(RunId(run.id), limit=10_000)]
    made = [e.entity for e in events if e.type is EventType.STEP_CREATED]
    ended = Counter(e.entity for e in events if e.type is EventType.STEP_COMPLETED)
    assert all(ended[entity] == 1 for entity in made)
    assert all(effects[f"{run.id}/{entity}"] >= 1 for entity in made)
    assert sum(e.type is EventType.RUN_COMPLETED for e in events) == 1
    assert not (await verify_run(world, run.id)).problems
