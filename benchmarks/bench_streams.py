"""Streams: chunks a second from one writer, and how long a chunk takes to its reader.

    python benchmarks/bench_streams.py [WORLD …] [--chunks 20000] [--folder .]

A step writes short texts as fast as it can, alone and with a reader beside it; then one at a time,
each when its reader has had the one before: in the same process, and in another one. A world's
server and its clients are on one machine. Prints a JSON line for each figure, and a table; asserts
nothing about time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import anyio
from bench_worlds import Table, seaweed  # type: ignore[import-not-found]  # beside this file
from machine import fdatasync_us  # type: ignore[import-not-found]  # beside this file

from perdure import Run, Worker, Workflow, get_run, start, step, writable
from perdure.abc import Capability, World
from perdure.worlds import open_world
from perdure_mongodb.testing import replica_set

Body: TypeAlias = Callable[[], Awaitable[object]]
FLOW = Workflow.from_source("""
import { work } from "python:bench";
export async function flow() { "use workflow"; return await work(); }
""")
PLAIN_FLOW = Workflow.from_source("""
import { plain_work } from "python:bench";
export async function flow(n: number) { "use workflow"; return await plain_work(n); }
""")
ONE_BY_ONE = 50
bodies: list[Body] = []


@step(name="bench:work")
async def work() -> object:
    """Run the body that the benchmark is at."""
    return await bodies[-1]()


@step(name="bench:plain_work")
def plain_work(count: int) -> float:
    """Seconds that a plain function takes to write so many chunks."""
    began = time.perf_counter()
    with writable() as out:
        for n in range(count):
            out.write(f"token {n} ")
    return time.perf_counter() - began


async def begun(world: World, body: Body) -> Run:
    """A run whose step is *body*."""
    bodies.append(body)
    return await start(FLOW, world=world)


async def rates(table: Table, who: str, world: World, count: int) -> None:
    """Chunks a second: written, written and read, and read."""

    async def pour() -> float:
        began = time.perf_counter()
        async with writable() as out:
            for n in range(count):
                await out.write(f"token {n} ")
        return time.perf_counter() - began

    await (await begun(world, pour)).result()  # warm
    run = await begun(world, pour)
    table.put(who, "chunks/s, one writer", count / float(str(await run.result())))
    began = time.perf_counter()
    assert sum([1 async for _ in run.readable()]) == count
    table.put(who, "chunks/s, read from the store", count / (time.perf_counter() - began))
    began = time.perf_counter()
    run = await begun(world, pour)
    assert sum([1 async for _ in run.readable()]) == count
    table.put(who, "chunks/s, written and read beside", count / (time.perf_counter() - began))
    few = count // 10
    run = await start(PLAIN_FLOW, [few], world=world)
    table.put(who, "chunks/s, a plain step's", few / float(str(await run.result())))


async def latency(world: World, read: Callable[[Run], Awaitable[list[float]]]) -> float:
    """Median milliseconds from a write to the reader's loop, of an idle stream."""
    go = anyio.Event()

    async def work() -> None:
        await go.wait()
        out = writable()
        for _ in range(ONE_BY_ONE):
            await out.write(time.time())
            await anyio.sleep(0.05)

    run = await begun(world, work)
    times: list[float] = []
    async with anyio.create_task_group() as group:

        async def take() -> None:
            times.extend(await read(run))

        group.start_soon(take)
        await anyio.sleep(2)  # the reader waits by now, in another process too
        go.set()
    return statistics.median(times) * 1000


async def delays(run: Run) -> list[float]:
    """The seconds that each chunk took; it holds the time when it was sent."""
    return [time.time() - float(str(sent)) async for sent in run.readable()]


async def delays_elsewhere(url: str, run: Run) -> list[float]:
    """The same, in another process."""
    command = [sys.executable, __file__, "--read", run.id, "--url", url]
    done = await anyio.run_process(command, stderr=None)
    return [float(value) for value in json.loads(done.stdout)]


async def measure(table: Table, who: str, url: str, count: int) -> None:
    """All figures of one world."""
    async with open_world(url) as world, Worker(world, steps=[work, plain_work]):
        await rates(table, who, world, count)
        table.put(who, "write to reader p50 ms", await latency(world, delays))
        if Capability.SHARED in world.capabilities:
            elsewhere = await latency(world, lambda run: delays_elsewhere(url, run))
            table.put(who, "write to reader p50 ms, another process", elsewhere)


async def read_here(url: str, run_id: str) -> None:
    """Read a run's stream in this process; prints what each chunk took, in seconds."""
    async with open_world(url) as world:
        print(json.dumps(await delays(get_run(run_id, world))))


def run_world(table: Table, name: str, folder: Path, count: int) -> None:
    """Measure one world, with its server."""
    numbers = itertools.count()
    if name == "mongodb":
        with replica_set(folder) as (server,):
            anyio.run(measure, table, name, server.url("streams"), count)
    elif name == "s3":
        with seaweed(folder) as url:
            anyio.run(measure, table, name, url.replace("{n}", str(next(numbers))), count)
    else:
        url = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/streams.db"}[name]
        anyio.run(measure, table, name, url, count)


def main() -> None:
    """Measure, and print."""
    names = ("memory", "sqlite", "mongodb", "s3")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("worlds", nargs="*", metavar="WORLD", help=", ".join(names))
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--folder", default=".", help="where the files go: a disk, not a tmpfs")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if options.read:
        anyio.run(read_here, options.url, options.read)
        return
    table = Table()
    folder = Path(tempfile.mkdtemp(dir=str(options.folder))).absolute()
    try:
        sync_us = fdatasync_us(folder, grow=False)
        for name in options.worlds or names:
            (folder / name).mkdir()
            run_world(table, name, folder / name, options.chunks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{table}\n\nfdatasync us, file does not grow: {sync_us:.0f}")


if __name__ == "__main__":
    main()
