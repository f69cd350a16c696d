"""Resuming a cold run, and what snapshots cost end to end.

    python benchmarks/bench_resume.py [--steps 10 1000 100000] [--folder .]

A run is brought to its n-th step and left there. A new process opens the world, starts a worker and
is warmed up by another run; then the result of the step is delivered, and the time until the run's
end is taken. Prints a JSON line for each figure; asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio

from perdure import Run, Worker, Workflow, get_run, start, step
from perdure._core.turn import end_key
from perdure._protocol.codec import encode
from perdure.abc import World
from perdure.model import Append, EntityId, Event, EventType
from perdure.worlds import open_world

SOURCE = """
import { add, held, slow } from "python:resume";
export async function long(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, 1);
  return await held(total);
}
export async function seq(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, 1);
  return total;
}
export async function slowly(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await slow(total);
  return total;
}
"""
WORKFLOWS = {n: Workflow.from_source(SOURCE, name=n) for n in ("long", "seq", "slowly")}
REPEATS = 9
NEVER = 10**9  # turns without a snapshot


@step(name="resume:add")
async def add(a: int, b: int) -> int:
    """The empty step."""
    return a + b


@step(name="resume:slow")
async def slow(a: int) -> int:
    """A step of five milliseconds."""
    await anyio.sleep(0.005)
    return a + 1


def report(figure: str, value: float) -> None:
    """Print one figure."""
    print(json.dumps({"who": "perdure", "figure": figure, "value": round(value, 3)}), flush=True)


async def bring_to(world: World, steps: int) -> Run:
    """A run that waits for the step after *steps* others, which no worker here has."""
    run = await start(WORKFLOWS["long"], [steps])
    waiting = EntityId(f"step_{steps + 1}")
    position = 0
    while True:
        async for logged in run.events(after=position):
            position = logged.position
            if logged.event.entity == waiting:
                return run
        await anyio.sleep(0.01)


async def prepare(url: str, steps: int) -> None:
    """Leave runs at their last step; prints their ids."""
    async with open_world(url) as world, Worker(world, steps=[add]):
        # The longest is made once: it takes a minute.
        count = 1 if steps > 10_000 else REPEATS
        print(json.dumps([(await bring_to(world, steps)).id for _ in range(count)]))


async def resume(url: str, steps: int, ids: list[str]) -> None:
    """Deliver each run's last result and time its way to the end; prints milliseconds."""
    times: list[float] = []
    async with open_world(url) as world, Worker(world, steps=[add]):
        await (await start(WORKFLOWS["seq"], [3])).result()
        warm = await bring_to(world, 3)
        for run in (warm, *(get_run(found) for found in ids)):
            entity = EntityId(f"step_{3 + 1 if run is warm else steps + 1}")
            event = Event(
                type=EventType.STEP_COMPLETED,
                key=end_key(entity),
                at_ms=world.now_ms(),
                entity=entity,
                payload=encode(7, where="result"),
            )
            began = time.perf_counter()
            await world.storage.append(Append(run_id=run.id, event=event))
            assert await run.result() == 7
            times.append((time.perf_counter() - began) * 1000)
    print(json.dumps(times[1:]))


def in_process(*arguments: str) -> list[str]:
    """What a new process of this script prints."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    # JSON of our own.
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


async def rate(folder: Path, name: str, count: int, lag: int) -> float:
    """Seconds a run of *count* steps takes with this snapshot lag."""
    url = f"sqlite:///{folder}/{name}-{lag}.db"
    async with open_world(url) as world, Worker(world, steps=[add, slow], snapshot_lag=lag):
        await (await start(WORKFLOWS[name], [20])).result()
        began = time.perf_counter()
        await (await start(WORKFLOWS[name], [count])).result()
        return time.perf_counter() - began


async def snapshot_cost(folder: Path) -> None:
    """Runs with snapshots beside runs without, in turns, and each of them as often first."""
    for label, name, count, lag, pairs in (
        ("5 ms steps, every turn", "slowly", 150, 0, 8),
        ("empty steps, lag 128", "seq", 390, 128, 80),
        ("empty steps, every turn", "seq", 1000, 0, 8),
    ):
        ratios: list[float] = []
        for number in range(pairs):
            took: dict[int, float] = {}
            for which in (NEVER, lag) if number % 2 else (lag, NEVER):
                took[which] = await rate(folder, name, count, which)
            ratios.append(took[lag] / took[NEVER])
        report(f"snapshots against never, {label}, %", (statistics.median(ratios) - 1) * 100)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="*", default=[10, 1000, 100_000])
    parser.add_argument("--folder", default=".", help="where the files go: a disk, not a tmpfs")
    parser.add_argument("--prepare", nargs=2, metavar=("URL", "STEPS"), help=argparse.SUPPRESS)
    parser.add_argument("--resume", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if options.prepare:
        anyio.run(prepare, options.prepare[0], int(options.prepare[1]))
        return
    if options.resume:
        url, steps, ids = options.resume
        anyio.run(resume, url, int(steps), json.loads(ids))
        return
    where: str = options.folder
    folder = Path(tempfile.mkdtemp(dir=where)).absolute()
    try:
        for steps in options.steps:
            url = f"sqlite:///{folder}/{steps}.db"
            ids = in_process("--prepare", url, str(steps))
            times = in_process("--resume", url, str(steps), json.dumps(ids))
            report(f"resume after {steps} steps, ms", statistics.median(map(float, times)))
        anyio.run(snapshot_cost, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
