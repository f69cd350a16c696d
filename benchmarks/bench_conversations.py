"""Conversations: from a payload to the code that waits for it, children, and what waiting costs.

    python benchmarks/bench_conversations.py [WORLD …] [--runs 1000] [--folder .]

A payload carries the time when it was sent; the code that receives it calls a step, which notes how
long ago that was: in the same process, and with the worker in another one; of a run whose heap is
at hand, and of one that was put away. Then as many runs as are asked for wait at hooks and are
resumed at once. Children are started and waited for, one after another and many at once. At last
runs wait at webhooks, and callers for the answers of others, for ten seconds each, beside a worker
with nothing to wait for: CPU time and, on SQLite, statements. Prints a JSON line for each figure,
and a table; asserts nothing about time.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import anyio
import httpx
from bench_worlds import Table, seaweed  # type: ignore[import-not-found]  # beside this file
from machine import fdatasync_us  # type: ignore[import-not-found]  # beside this file

from perdure import (
    HookNotFoundError,
    Run,
    RunFailedError,
    Worker,
    Workflow,
    get_hook,
    resume_hook,
    start,
    step,
)
from perdure.abc import Capability, World
from perdure.web import app
from perdure.worlds import open_world
from perdure_mongodb.testing import replica_set

SOURCE = """
import { createHook, createWebhook, sleep } from "workflow";
import { start } from "workflow/api";
import { mark } from "python:talk";

export async function listener(token: string, count: number): Promise<number[]> {
  "use workflow";
  const delays: number[] = [];
  for await (const sent of createHook<number>({ token })) {
    delays.push(await mark(sent));
    if (delays.length === count) return delays;
  }
}
export async function waiter(token: string) {
  "use workflow";
  return await Promise.race([createHook({ token }), sleep("1 year")]);
}
export async function child(n: number): Promise<number> {
  "use workflow";
  return n;
}
export async function parent(rounds: number, width: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < rounds; i++) {
    const one = async (k: number) => await (await start(child, [k])).returnValue;
    const values = await Promise.all(Array.from({ length: width }, (_, k) => one(k)));
    total += values.length;
  }
  return total;
}
export async function webhook() {
  "use workflow";
  return await (await createWebhook()).text();
}
export async function silent() {
  "use workflow";
  await createWebhook({ respondWith: "manual" });
  await sleep("1 year");
}
"""
NAMES = ("listener", "waiter", "parent", "webhook", "silent")
FLOWS = {name: Workflow.from_source(SOURCE, name=name) for name in NAMES}
ROUNDS = 60
WIDTH = 100
IDLE_S = 10.0
CALLERS = 20
BASE = "http://bench.example"


@step(name="talk:mark")
async def mark(sent: float) -> float:
    """How long ago the payload was sent, in milliseconds."""
    return (time.time() - sent) * 1000


@dataclass(slots=True)
class Statements:
    """Counts what is asked of SQLite in this process."""

    count: int = 0

    @contextmanager
    def watched(self) -> Generator[None, None, None]:
        """Count within the block, in every connection that is opened there."""
        connect = sqlite3.connect

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            connection.set_trace_callback(self._note)
            return connection

        with patch.object(sqlite3, "connect", traced):
            yield

    def _note(self, statement: str) -> None:
        self.count += 1


async def hooked(world: World, token: str) -> None:
    """Return once a run waits at the token."""
    while True:
        with suppress(HookNotFoundError):
            await get_hook(token, world)
            return
        await anyio.sleep(0.005)


async def delay(world: World, *, pause: float) -> float:
    """Median milliseconds from a payload to the code that receives it."""
    token = f"listener-{time.time()}"
    run = await start(FLOWS["listener"], [token, ROUNDS], world=world)
    await hooked(world, token)
    for _ in range(ROUNDS):
        await anyio.sleep(pause)
        await resume_hook(token, time.time(), world=world)
    delays = await run.result()
    return statistics.median(cast("list[float]", delays))


async def delays(table: Table, who: str, world: World) -> None:
    """Of a heap that is at hand, and of one that was put away."""
    table.put(who, "resume to code p50 ms", await delay(world, pause=0.02))
    table.put(who, "resume to code p50 ms, put away", await delay(world, pause=0.15))


async def delays_elsewhere(table: Table, who: str, url: str) -> None:
    """The same, with the worker in another process."""
    command = [sys.executable, __file__, "--work", url]
    worker = await anyio.open_process(command, stderr=None)
    try:
        assert worker.stdout is not None
        await worker.stdout.receive()
        async with open_world(url) as world:
            figure = "resume to code p50 ms, another process"
            table.put(who, figure, await delay(world, pause=0.02))
    finally:
        worker.terminate()
        await worker.wait()


async def work(url: str) -> None:
    """Work on a world until the process is ended."""
    async with open_world(url) as world, Worker(world, steps=[mark]):
        print("open", flush=True)
        await anyio.sleep_forever()


async def many(table: Table, who: str, world: World, count: int) -> None:
    """Resumes at once, of as many runs that wait: until all have ended."""
    runs: list[Run] = []
    async with anyio.create_task_group() as group:
        for number in range(count):

            async def begin(number: int = number) -> None:
                runs.append(await start(FLOWS["waiter"], [f"waiter-{number}"], world=world))

            group.start_soon(begin)
    for number in range(count):
        await hooked(world, f"waiter-{number}")
    await anyio.sleep(1)  # all are put away
    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(send, world, f"waiter-{number}")
    table.put(who, "resumes/s", count / (time.perf_counter() - began))
    for run in runs:
        await run.result()
    table.put(who, "resumes/s, until all runs ended", count / (time.perf_counter() - began))


async def send(world: World, token: str) -> None:
    """Send to a hook."""
    await resume_hook(token, "go", world=world)


async def children(table: Table, who: str, world: World) -> None:
    """Milliseconds that a child takes, from its start to its parent having the result."""
    for rounds, width, figure in ((ROUNDS, 1, "one by one"), (3, WIDTH, f"{WIDTH} at once")):
        await (await start(FLOWS["parent"], [2, width], world=world)).result()  # warm
        began = time.perf_counter()
        try:
            await (await start(FLOWS["parent"], [rounds, width], world=world)).result()
        except RunFailedError as exc:
            print(f"{who}: no children: {exc}", file=sys.stderr)
            return
        milliseconds = (time.perf_counter() - began) * 1000 / (rounds * width)
        table.put(who, f"child to its result ms, {figure}", milliseconds)


async def idle(table: Table, who: str, statements: Statements, what: str) -> None:
    """CPU time and statements of this process while nothing comes."""
    await anyio.sleep(1)
    cpu, count = time.process_time(), statements.count
    await anyio.sleep(IDLE_S)
    table.put(who, f"CPU ms/s, {what}", (time.process_time() - cpu) * 1000 / IDLE_S)
    if who == "sqlite":
        table.put(who, f"statements/s, {what}", (statements.count - count) / IDLE_S)


async def webhooks(
    table: Table, who: str, world: World, count: int, statements: Statements
) -> None:
    """The cost of nothing, of runs that wait at webhooks, and of callers who wait for answers."""
    await idle(table, who, statements, "nothing waits")
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(begin_webhook, world)
    await idle(table, who, statements, f"{count} runs wait at webhooks")
    async with callers(world):
        await idle(table, who, statements, f"and {CALLERS} callers for answers")


async def begin_webhook(world: World) -> None:
    """A run that waits at a webhook."""
    run = await start(FLOWS["webhook"], world=world, base_url=BASE)
    while not await run.hooks():  # noqa: ASYNC110  # nobody tells
        await anyio.sleep(0.02)


@asynccontextmanager
async def callers(world: World) -> AsyncGenerator[None, None]:
    """Callers of webhooks whose runs do not answer."""
    transport = httpx.ASGITransport(app(world, base_url=BASE))
    async with (
        httpx.AsyncClient(transport=transport, base_url=BASE, timeout=60) as client,
        anyio.create_task_group() as group,
    ):
        for _ in range(CALLERS):
            run = await start(FLOWS["silent"], world=world, base_url=BASE)
            while not (hooks := await run.hooks()):  # noqa: ASYNC110  # nobody tells
                await anyio.sleep(0.02)
            group.start_soon(client.post, f"/.well-known/workflow/v1/webhook/{hooks[0].token}")
        yield
        group.cancel_scope.cancel()


async def measure(table: Table, who: str, url: str, count: int) -> None:
    """All figures of one world."""
    statements = Statements()
    async with open_world(url) as world, Worker(world, steps=[mark]):
        await delays(table, who, world)
        await children(table, who, world)
        await many(table, who, world, count)
        shared = Capability.SHARED in world.capabilities
    if shared:
        await delays_elsewhere(table, who, url)
    with statements.watched():
        async with open_world(url) as world, Worker(world, steps=[mark]):
            await webhooks(table, who, world, count, statements)


def run_world(table: Table, name: str, folder: Path, count: int) -> None:
    """Measure one world, with its server."""
    numbers = itertools.count()
    if name == "mongodb":
        with replica_set(folder) as (server,):
            anyio.run(measure, table, name, server.url("talk"), count)
    elif name == "s3":
        with seaweed(folder) as url:
            anyio.run(measure, table, name, url.replace("{n}", str(next(numbers))), count)
    else:
        url = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/talk.db"}[name]
        anyio.run(measure, table, name, url, count)


def main() -> None:
    """Measure, and print."""
    names = ("memory", "sqlite", "mongodb", "s3")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("worlds", nargs="*", metavar="WORLD", help=", ".join(names))
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--folder", default=".", help="where the files go: a disk, not a tmpfs")
    parser.add_argument("--work", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if options.work:
        anyio.run(work, options.work)
        return
    table = Table()
    folder = Path(tempfile.mkdtemp(dir=str(options.folder))).absolute()
    try:
        sync_us = fdatasync_us(folder, grow=False)
        for name in options.worlds or names:
            (folder / name).mkdir()
            run_world(table, name, folder / name, options.runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{table}\n\nfdatasync us, file does not grow: {sync_us:.0f}")


if __name__ == "__main__":
    main()
