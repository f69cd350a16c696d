"""What a claim costs against how much is due: SQLite's one writer must not read through a backlog.

    python benchmarks/bench_backlog.py [--backlogs 100 20000 200000] [--topics 1 8]

Messages of one run, all due, are claimed one at a time and ended, while as many wait; so are wakes
of as many runs, which are given back. ``synchronous=normal``: no sync hides the cost. Prints a JSON
line for each figure; asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable

import anyio

from perdure.abc import World
from perdure.model import Digest, LeaseEnd, NewMessage, NewRun, RunId
from perdure.worlds import open_world

BATCH = 1000
ROUNDS = 200
VISIBILITY_MS = 600_000


async def fill(world: World, backlog: int, topics: int) -> None:
    """A run with so many messages, and as many runs that are due."""
    now_ms = world.now_ms()
    for first in range(0, backlog, BATCH):
        numbers = range(first, min(first + BATCH, backlog))
        async with anyio.create_task_group() as group:
            for n in numbers:
                group.start_soon(world.storage.create_run, new_run(f"run{n:09}", now_ms))
        await world.queue.send(
            [
                NewMessage(
                    message_id=f"run{0:09}/step_{n}/1",
                    run_id=RunId(f"run{0:09}"),
                    topic=f"t{n % topics}",
                    body=b"x" * 300,
                    due_ms=now_ms,
                )
                for n in numbers
            ]
        )


def new_run(name: str, now_ms: int) -> NewRun:
    return NewRun(
        run_id=RunId(name),
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"x" * 100,
        created_at_ms=now_ms,
    )


async def lap(work: Callable[[], Awaitable[Callable[[], Awaitable[None]]]]) -> float:
    """The median milliseconds of *work*, which says what is to be done untimed after it."""
    laps = list[float]()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        after = await work()
        laps.append(time.perf_counter() - began)
        await after()
    return statistics.median(laps) * 1000


async def measure(backlog: int, topics: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_world(f"sqlite:///{folder}/p.db?synchronous=normal") as world:
            await fill(world, backlog, topics)
            asked = [f"t{n}" for n in range(topics)]

            async def message() -> Callable[[], Awaitable[None]]:
                (claim,) = await world.queue.claim_messages(
                    asked, limit=1, visibility_ms=VISIBILITY_MS
                )
                again = NewMessage(
                    message_id=claim.message.message_id,
                    run_id=claim.message.run_id,
                    topic=claim.message.topic,
                    body=claim.message.body,
                    due_ms=world.now_ms(),
                )

                async def after() -> None:
                    await world.queue.finish(LeaseEnd(lease=claim.lease))
                    await world.queue.send([again])

                return after

            async def wake() -> Callable[[], Awaitable[None]]:
                (claim,) = await world.queue.claim_wakes(limit=1, visibility_ms=VISIBILITY_MS)
                return lambda: world.queue.release(claim.lease)

            for what, work in (("message", message), ("wake", wake)):
                print(
                    json.dumps(
                        {
                            "claim": what,
                            "backlog": backlog,
                            "topics": topics,
                            "p50_ms": round(await lap(work), 3),
                        }
                    ),
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlogs", type=int, nargs="+", default=[100, 20_000, 200_000])
    parser.add_argument("--topics", type=int, nargs="+", default=[1, 8])
    given = parser.parse_args()
    for topics in given.topics:
        for backlog in given.backlogs:
            anyio.run(measure, backlog, topics)


if __name__ == "__main__":
    main()
