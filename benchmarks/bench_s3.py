"""The S3 world: commit latency and throughput, queue latency, steps/s, requests a step.

    python benchmarks/bench_s3.py [--server ministack|seaweed|URL] [--delay-ms 40]

Starts the server itself, unless a world's URL is given (with {n} where fresh storage differs).
``--delay-ms`` adds that much, ± a quarter, to each request, as a store far away would. Client and
server share the machine. Prints a JSON line for each figure; asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import anyio

from perdure import Worker, Workflow, start, step
from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    NewMessage,
    NewRun,
    RunId,
    Snapshot,
    TurnCommit,
)
from perdure_s3 import S3World
from perdure_s3._cas import Client

sys.path.insert(0, str(Path(__file__).parents[1] / "worlds/perdure-s3/tests"))

from servers import (  # type: ignore[import-not-found]  # found by the path above, not by mypy
    KEYS,
    running_ministack,
    running_seaweed,
)

SOURCE = """
import { add } from "python:bench";
export async function seq(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, 1);
  return total;
}
"""


@step(name="bench:add")
async def add(a: int, b: int) -> int:
    """The empty step."""
    return a + b


class Far:
    """A client whose requests take longer."""

    def __init__(self, inner: Any, delay_ms: float) -> None:
        self._inner = inner
        self._delay_ms = delay_ms

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        async def late(**named: Any) -> Any:
            await anyio.sleep(self._delay_ms * random.uniform(0.75, 1.25) / 1000)
            return await call(**named)

        return late


def report(figure: str, value: float) -> None:
    print(json.dumps({"who": "perdure-s3", "figure": figure, "value": round(value, 3)}), flush=True)


def new_run(name: str, now_ms: int) -> NewRun:
    return NewRun(
        run_id=RunId(name),
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"x" * 100,
        created_at_ms=now_ms,
    )


def commit_of(name: str, turn: int) -> TurnCommit:
    """What a sequential step writes: two events, a message, a snapshot of 1.5 KB."""
    entity = EntityId(f"step_{turn}")
    kinds = (EventType.STEP_CREATED, "created"), (EventType.STEP_COMPLETED, "end")
    return TurnCommit(
        run_id=RunId(name),
        commit_id=f"{name}/{turn}",
        turn=turn,
        expected_position=1 + 2 * turn,
        consumed=1 + 2 * turn,
        log_digest=b"d" * 16,
        events=tuple(
            Event(type=kind, key=f"{entity}/{end}", at_ms=1, entity=entity, payload=b"p" * 100)
            for kind, end in kinds
        ),
        snapshot=Snapshot(turn=turn + 1, parent_turn=None, consumed=1, data=os.urandom(1500)),
    )


async def commits(world: S3World, writers: int, each: int) -> None:
    """Commit latency and throughput."""
    times: list[float] = []

    async def write(name: str) -> None:
        await world.storage.create_run(new_run(name, world.now_ms()))
        for turn in range(each):
            began = time.perf_counter()
            await world.storage.commit(commit_of(name, turn))
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for n in range(writers):
            group.start_soon(write, f"w{writers}_{n}")
    took = time.perf_counter() - began
    times.sort()
    report(f"commit p50 ms, {writers} writers", statistics.median(times) * 1000)
    report(f"commit p99 ms, {writers} writers", times[int(len(times) * 0.99)] * 1000)
    report(f"commits/s, {writers} writers", len(times) / took)


async def queue_latency(world: S3World, rounds: int) -> None:
    """From ``send`` to a claim in the same process that waits for it."""
    name = RunId("queue")
    await world.storage.create_run(new_run(name, world.now_ms()))
    times: list[float] = []
    for n in range(rounds):
        heard: list[float] = []

        async def wait(heard: list[float] = heard) -> None:
            await world.queue.claim_messages(["t"], limit=1, visibility_ms=60_000, wait_ms=20_000)
            heard.append(time.perf_counter())

        began = 0.0
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0.05)
            began = time.perf_counter()
            message = NewMessage(
                message_id=f"{name}/{n}", run_id=name, topic="t", body=b"b", due_ms=0
            )
            await world.queue.send([message])
        times.append(heard[0] - began)
    report("send to claim p50 ms", statistics.median(times) * 1000)


async def steps(world: S3World, count: int) -> None:
    """Sequential inline steps, and what they cost."""
    made = Workflow.from_source(SOURCE, name="seq")
    async with Worker(world, steps=[add]):
        await (await start(made, [5], world=world)).result()
        before, began = world.statistics(), time.perf_counter()
        await (await start(made, [count], world=world)).result()
        report("sequential steps/s", count / (time.perf_counter() - began))
        await world.settle()
        after = world.statistics()
        for verb in ("PUT", "GET", "DELETE", "LIST"):
            report(f"{verb} a step, {count} steps", (after[verb] - before[verb]) / count)


def far_world(url: str, delay_ms: float) -> S3World:
    """A world whose every request takes *delay_ms* longer."""
    world = S3World(url)
    if delay_ms:
        world._handle.wrap = lambda client: cast("Client", Far(client, delay_ms))
    return world


async def measure(url: Callable[[], str], delay_ms: float) -> None:
    """Everything."""
    scale = 4 if delay_ms else 1
    async with far_world(url(), delay_ms) as world:
        for writers, each in ((1, 200 // scale), (8, 50 // scale), (64, 12 // scale)):
            await commits(world, writers, each)
        await queue_latency(world, 20)
    async with far_world(url(), delay_ms) as world:  # without runs that no worker can carry
        await steps(world, 400 // scale)


@contextmanager
def running(server: str) -> Generator[Callable[[], str], None, None]:
    """URLs of fresh storage on the server."""
    numbers = iter(range(10**6))
    if "://" in server:
        yield lambda: server.replace("{n}", str(next(numbers)))
        return
    os.environ.update(KEYS)
    with tempfile.TemporaryDirectory() as folder:
        made = running_ministack() if server == "ministack" else running_seaweed(Path(folder))
        with made as started:
            yield started.url


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="seaweed")
    parser.add_argument("--delay-ms", type=float, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with running(options.server) as url:
        anyio.run(measure, url, options.delay_ms)


if __name__ == "__main__":
    main()
