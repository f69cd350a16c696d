"""Workers are killed with SIGKILL at random moments; nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from perdure import start, workflow
from perdure._runtime.audit import verify_run
from perdure._runtime.handles import Run
from perdure._runtime.inspection import inspect_run
from perdure.model import EventType
from perdure.worlds import open_world

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.crash]

HERE = Path(__file__).parent
ENDED = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)
EXPECTED: dict[str, tuple[int, object]] = {
    "loop": (40, 780),
    "fan": (30, 435),
    "mixed": (
        4,
        "1,no0,0,3,no1,2,5,no2,4,7,no3,6,x",
    ),
    "stateful": (15, 1605),
}


class Workers:
    """Real worker processes, one after another on each of two places."""

    def __init__(self, url: str, effects: Path) -> None:
        self.command = [sys.executable, "-m", "perdure", "worker", "--world", url]
        self.command += ["--steps", "acceptance_steps"]
        self.environment = {**os.environ, "EFFECTS": str(effects)}
        self.environment["PYTHONPATH"] = os.pathsep.join(
            [str(HERE), os.environ.get("PYTHONPATH", "")]
        )
        self.kills = 0

    def spawn(self) -> subprocess.Popen[bytes]:
        """A worker process."""
        return subprocess.Popen(
            self.command, env=self.environment, stderr=subprocess.PIPE, cwd=HERE
        )

    async def up(self) -> subprocess.Popen[bytes]:
        """A worker that has opened its world."""
        process = self.spawn()
        assert process.stderr is not None
        line = await anyio.to_thread.run_sync(process.stderr.readline)
        assert b"working on" in line, (line, process.wait(5))
        return process

    async def kill_after(self, delay: float) -> None:
        """Start one and kill it *delay* seconds after it is up."""
        process = await self.up()
        await anyio.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        self.kills += 1


def damage(database: Path, run: Run, rng: random.Random) -> None:
    """Take the run's snapshots away, or flip a byte in each of them."""
    db = sqlite3.connect(database, timeout=30, isolation_level=None)
    of_run = "WHERE n = (SELECT n FROM runs WHERE run_id = ?)"
    if rng.random() < 0.5:
        db.execute(f"DELETE FROM snapshots {of_run}", (run.id,))
    else:
        rows = db.execute(f"SELECT n, turn, data FROM snapshots {of_run}", (run.id,)).fetchall()
        for n, turn, data in rows:
            at = rng.randrange(len(data))
            flipped = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
            db.execute(
                "UPDATE snapshots SET data = ? WHERE n = ? AND turn = ? AND data = ?",
                (flipped, n, turn, data),
            )
    db.close()


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
    audit = await verify_run(run._world, run.id)
    # What was damaged and never used again is still there, and is all that may be found.
    known = "does not match its bytes" if damaged else None
    assert [p for p in audit.problems if known is None or known not in p] == []
    assert audit.deliveries > 0


@pytest.mark.parametrize(("seed", "damaging"), [(1, False), (2, False), (3, True), (4, True)])
async def test_nothing_is_lost_or_doubled_when_workers_are_killed(
    tmp_path: Path, seed: int, damaging: bool
) -> None:
    """50 kills for each seed, two places at once, over runs that begin all along.

    With *damaging* snapshots are deleted or altered all the while.
    """
    rng = random.Random(seed)
    print(f"seed {seed}")
    effects = tmp_path / "effects"
    effects.touch()
    url = f"sqlite:///{tmp_path}/perdure.db"
    runs: list[tuple[str, Run]] = []
    async with open_world(url) as world:
        workers = Workers(url, effects)

        async def begin(count: int) -> None:
            for _ in range(count):
                name = rng.choice(list(EXPECTED))
                made = workflow(HERE / f"flows.ts#{name}")
                runs.append((name, await start(made, [EXPECTED[name][0]], world=world)))

        async def place() -> None:
            while workers.kills < 50:
                await begin(2)
                await workers.kill_after(rng.uniform(0.0, 0.25))
                if damaging:
                    for _, run in rng.sample(runs, len(runs) // 3):
                        await anyio.to_thread.run_sync(damage, tmp_path / "perdure.db", run, rng)

        async with anyio.create_task_group() as group:
            group.start_soon(place)
            group.start_soon(place)
        assert workers.kills >= 50
        last = await workers.up()
        try:
            with anyio.fail_after(120):
                for _, run in runs:
                    await run.result()
        finally:
            last.terminate()
            await anyio.to_thread.run_sync(last.communicate)
        assert last.returncode == 0
        counted = Counter(line.split()[0] for line in effects.read_text().splitlines())
        for name, run in runs:
            await check(run, name, counted, damaged=damaging)
        waiting = await world.queue.count_waiting()
        assert set(waiting.values()) == {0}
