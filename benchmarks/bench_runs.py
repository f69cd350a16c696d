"""Whole runs: what a durable step and a durable run cost, beside DBOS on SQLite in the same hour.

    python benchmarks/bench_runs.py [--peer PYTHON]

*PYTHON* is an interpreter that has ``dbos``; without it the peer's rows are left out. Steps are
empty (they add two integers), everything else is default. Prints a JSON line for each figure;
asserts nothing about time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from subprocess import PIPE

import anyio
import anyio.to_thread
from machine import fdatasync_us  # type: ignore[import-not-found]  # beside this file

from perdure import Worker, Workflow, start, step
from perdure._runtime.inspect.audit import measure_run
from perdure.worlds import open_world

SOURCE = """
import { add } from "python:bench";
import { sleep } from "workflow";
export async function seq(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, 1);
  return total;
}
export async function one(n: number): Promise<number> {
  "use workflow";
  return await add(n, 1);
}
export async function fan(n: number): Promise<number> {
  "use workflow";
  return (await Promise.all(Array.from({ length: n }, (_, i) => add(i, 1)))).length;
}
"""

PEER = """
import asyncio, json, sys, time
from dbos import DBOS
folder = sys.argv[1]
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.db",
             "run_admin_server": False, "log_level": "CRITICAL"})
@DBOS.step()
async def add(a, b): return a + b
@DBOS.workflow()
async def seq(n):
    total = 0
    for i in range(n): total = await add(total, 1)
    return total
@DBOS.workflow()
async def one(n): return await add(n, 1)
@DBOS.workflow()
async def fan(n): return len(await asyncio.gather(*[add(i, 1) for i in range(n)]))
async def timed(count, made):
    began = time.perf_counter()
    await made
    return count / (time.perf_counter() - began)
async def begin(_=0): return await (await DBOS.start_workflow_async(one, 1)).get_result()
async def crowd():
    gate = asyncio.Semaphore(50)
    async def gated():
        async with gate: await begin()
    await asyncio.gather(*[gated() for _ in range(200)])
async def series():
    for _ in range(100): await begin()
async def main():
    DBOS.launch()
    await seq(10)
    for name, count, made in (
        ("sequential steps/s, n=100", 100, lambda: seq(100)),
        ("sequential steps/s, n=1000", 1000, lambda: seq(1000)),
        ("one-step runs/s, one at a time", 100, series),
        ("one-step runs/s, 50 at once", 200, crowd),
        ("fan-out of 500, steps/s", 500, lambda: fan(500)),
    ):
        values = sorted([await timed(count, made()) for _ in range(5)])
        print(json.dumps({"who": "dbos", "figure": name, "value": values[2]}), flush=True)
asyncio.run(main())
DBOS.destroy()
"""


@step(name="bench:add")
async def add(a: int, b: int) -> int:
    """The empty step."""
    return a + b


WORKFLOWS = {name: Workflow.from_source(SOURCE, name=name) for name in ("seq", "one", "fan")}


async def run_one() -> None:
    await (await start(WORKFLOWS["one"], [1])).result()


async def crowd() -> None:
    gate = asyncio.Semaphore(50)  # as in the peer's

    async def gated() -> None:
        async with gate:
            await run_one()

    await asyncio.gather(*[gated() for _ in range(200)])


async def series() -> None:
    for _ in range(100):
        await run_one()


async def loop(name: str, count: int) -> None:
    await (await start(WORKFLOWS[name], [count])).result()


def report(figure: str, value: float) -> None:
    print(json.dumps({"who": "perdure", "figure": figure, "value": value}), flush=True)


async def measure(folder: Path) -> None:
    """Everything that needs a world."""
    path = folder / "bench.db"
    async with open_world(f"sqlite:///{path}") as world, Worker(world, steps=[add]):
        await loop("seq", 10)
        for figure, count, made in (
            ("sequential steps/s, n=100", 100, partial(loop, "seq", 100)),
            ("sequential steps/s, n=1000", 1000, partial(loop, "seq", 1000)),
            ("one-step runs/s, one at a time", 100, series),
            ("one-step runs/s, 50 at once", 200, crowd),
            ("fan-out of 500, steps/s", 500, partial(loop, "fan", 500)),
        ):
            rates: list[float] = []
            for _ in range(5):
                began = time.perf_counter()
                await made()
                rates.append(count / (time.perf_counter() - began))
            report(figure, statistics.median(rates))
        run = await start(WORKFLOWS["seq"], [20])
        await run.result()
        costs = await measure_run(world, run.id)
        report("snapshot bytes, loop", statistics.median(c.snapshot_bytes for c in costs))
        report("freeze ms, loop", statistics.median(c.freeze_ms for c in costs))
        report("thaw ms, loop", statistics.median(c.thaw_ms for c in costs))
    async with open_world(f"sqlite:///{folder}/steps.db") as world, Worker(world, steps=[add]):
        sizes: list[int] = []
        for count in (10, 10_000):
            began = time.perf_counter()
            await loop("seq", count)
            report(f"sequential steps/s, n={count}", count / (time.perf_counter() - began))
            await anyio.to_thread.run_sync(_checkpoint, folder / "steps.db")
            sizes.append((folder / "steps.db").stat().st_size)
        report("stored bytes per step", (sizes[1] - sizes[0]) / 10_000)


def _checkpoint(path: Path) -> None:

    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    db.close()


def cold_start(folder: Path) -> float:
    """Milliseconds from a new process to its first one-step result, bytecode and module cached."""
    script = folder / "cold.py"
    script.write_text(
        "import anyio\n"
        "from perdure import Worker, Workflow, start, step, open_world\n"
        "@step(name='bench:add')\n"
        "async def add(a: int, b: int) -> int: return a + b\n"
        f"SOURCE = {SOURCE!r}\n"
        "async def main():\n"
        f"    async with open_world('sqlite:///{folder}/cold.db') as w, Worker(w, steps=[add]):\n"
        "        run = await start(Workflow.from_source(SOURCE, name='one'), [1])\n"
        "        assert await run.result() == 2\n"
        "        print('done', flush=True)\n"
        "anyio.run(main)\n"
    )
    # As for anybody who installed it: Python may keep the bytecode of what it imported before.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times: list[float] = []
    for _ in range(7):
        began = time.perf_counter()
        with subprocess.Popen([sys.executable, str(script)], env=env, stdout=PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
            times.append(time.perf_counter() - began)
        assert process.returncode == 0
    return statistics.median(times[2:]) * 1000


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="an interpreter that has dbos")
    parser.add_argument("--folder", default=".", help="where the files go: a disk, not a tmpfs")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    folder = Path(tempfile.mkdtemp(dir=str(options.folder))).absolute()
    try:
        report("fdatasync us, file grows", fdatasync_us(folder, grow=True))
        report("fdatasync us, file does not", fdatasync_us(folder, grow=False))
        anyio.run(measure, folder)
        report("process start to first result, ms", cold_start(folder))
        if options.peer:
            subprocess.run([options.peer, "-c", PEER, str(folder)], check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
