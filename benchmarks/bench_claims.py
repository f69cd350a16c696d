"""Claims of step messages in MongoDB: the world's, and two ways to do without the other.

    python benchmarks/bench_claims.py [--driver pymongo]

*One at a time* claims the message that is due longest by one ``find_one_and_update``, until there
are enough. *All at once* looks for what is due, claims it by one guarded update, and reads what it
got; three times if others were faster. Filters, order and updates are the world's. The server is
real, started here, and shares the machine with its client. One worker claims 1, 8 and 64 messages,
all that are due; then eight at once take 512 from each other. Prints a JSON line for each figure;
asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from pymongo import ASCENDING, ReturnDocument

from perdure.model import Digest, NewMessage, NewRun, RunId
from perdure_mongodb import MongoWorld
from perdure_mongodb._messages import claim_of
from perdure_mongodb._schema import ANY_TIME
from perdure_mongodb._values import load_values
from perdure_mongodb.testing import replica_set

SIZES = (1, 8, 64)
TOPICS = [f"default/step_{n}" for n in range(8)]
MESSAGES = 512
WORKERS = 8
ROUNDS = {1: 120, 8: 60, 64: 25}  # alone, of each way
RACES = 3
TRIES = 3
VISIBILITY_MS = 600_000
ORDER = [("at_ms", ASCENDING), ("_id", ASCENDING)]
Claim: TypeAlias = Callable[[MongoWorld, int], Awaitable[int]]


async def as_it_is(world: MongoWorld, limit: int) -> int:
    """The world's own claim."""
    found = await world.queue.claim_messages(TOPICS, limit=limit, visibility_ms=VISIBILITY_MS)
    return len(found)


async def one_at_a_time(world: MongoWorld, limit: int) -> int:
    """Nothing but ``find_one_and_update``."""
    messages, found = world._handle.db.messages, list[Any]()

    async def work() -> None:
        while len(found) < limit:
            now_ms = world.now_ms()
            document = await messages.find_one_and_update(
                due(now_ms), claiming(world), sort=ORDER, return_document=ReturnDocument.AFTER
            )
            if document is None:
                break
            found.append(document)

    await world._handle.write(work)
    return await told(world, found)


async def all_at_once(world: MongoWorld, limit: int) -> int:
    """Nothing but the guarded update, also of one."""
    messages, found = world._handle.db.messages, list[Any]()

    async def work() -> None:
        for _ in range(TRIES):
            still, update = due(world.now_ms()), claiming(world)
            seen = await messages.find(still, {"_id": 1}).sort(ORDER).limit(limit).to_list(None)
            chosen = {"_id": {"$in": [item["_id"] for item in seen]}}
            if not seen:
                return
            done = await messages.update_many({**chosen, **still}, update)
            if done.matched_count:
                ours = {**chosen, "v": update[0]["$set"]["v"]}
                found.extend(await messages.find(ours).to_list(None))
                return

    await world._handle.write(work)
    return await told(world, found)


def due(now_ms: int) -> dict[str, Any]:
    """The filter of what can be claimed."""
    return {"topic": {"$in": TOPICS}, "at_ms": {"$gte": ANY_TIME, "$lte": now_ms}}


def claiming(world: MongoWorld) -> list[dict[str, Any]]:
    """The update that claims."""
    until_ms = world.now_ms() + VISIBILITY_MS
    fields: dict[str, Any] = {
        "lost": {"$add": ["$lost", {"$cond": [{"$ne": ["$token", None]}, 1, 0]}]},
        "attempt": {"$add": ["$attempt", 1]},
        "token": {"$concat": [f"{secrets.token_hex(8)}/", "$_id"]},
        "until_ms": until_ms,
        "at_ms": until_ms,
        "v": world._handle.connection.new_version(),
    }
    return [{"$set": fields}]


async def told(world: MongoWorld, found: list[Any]) -> int:
    """Make claims of the documents, as a world has to."""
    stored: list[Any] = [(message["n"], message["body"]) for message in found]
    values = await load_values(world._handle.db.chunks, stored)
    return len([claim_of(document, values) for document in found])


async def send(world: MongoWorld) -> None:
    """As many messages as are ever due here."""
    run_id = RunId("bench")
    run = NewRun(
        run_id=run_id,
        workflow="bench",
        bundle=Digest("b" * 64),
        engine=Digest("e" * 64),
        input=b"\x80",
        created_at_ms=world.now_ms(),
    )
    await world.storage.create_run(run)
    await world.queue.send(
        [
            NewMessage(
                message_id=f"bench/{n}",
                run_id=run_id,
                topic=TOPICS[n % len(TOPICS)],
                body=b"m" * 120,
                due_ms=0,
            )
            for n in range(MESSAGES)
        ]
    )


async def make_due(world: MongoWorld, count: int) -> None:
    """As many messages are due and unclaimed, the rest is due in an hour."""
    messages = world._handle.db.messages
    now_ms = world.now_ms()
    chosen = [f"bench/{n}" for n in range(count)]
    for where, at_ms in ({"$nin": chosen}, now_ms + 3_600_000), ({"$in": chosen}, now_ms - 1000):
        fields = {"at_ms": at_ms, "due_ms": at_ms, "token": None, "until_ms": None}
        await messages.update_many({"_id": where}, {"$set": fields})


async def alone(world: MongoWorld, claim: Claim, size: int) -> float:
    """Seconds of a claim of all that are due."""
    await make_due(world, size)
    began = time.perf_counter()
    assert await claim(world, size) == size
    return time.perf_counter() - began


async def together(world: MongoWorld, claim: Claim, size: int) -> float:
    """Messages a second of workers that take them from each other."""
    taken = 0
    await make_due(world, MESSAGES)
    began = time.perf_counter()

    async def drain() -> None:
        nonlocal taken
        while taken < MESSAGES:
            found = await claim(world, size)
            taken += found

    async with anyio.create_task_group() as group:
        for _ in range(WORKERS):
            group.start_soon(drain)
    return MESSAGES / (time.perf_counter() - began)


async def measure(url: str) -> None:
    """All figures, the ways by turns: what else the machine does meets all of them."""
    ways: dict[str, Claim] = {
        "the world": as_it_is,
        "one at a time": one_at_a_time,
        "all at once": all_at_once,
    }
    async with MongoWorld(url) as world:
        await send(world)
        for claim in ways.values():
            await together(world, claim, 64)  # a server that has just been started is slow
        for size in SIZES:
            took: dict[str, list[float]] = {who: [] for who in ways}
            for _ in range(ROUNDS[size]):
                for who, claim in ways.items():
                    took[who].append(await alone(world, claim, size))
            for who, each in took.items():
                put(who, f"claim of {size}, ms", statistics.median(each) * 1000)
        for size in SIZES:
            rates: dict[str, list[float]] = {who: [] for who in ways}
            for _ in range(RACES):
                for who, claim in ways.items():
                    rates[who].append(await together(world, claim, size))
            for who, each in rates.items():
                figure = f"{WORKERS} workers, up to {size} a claim, messages/s"
                put(who, figure, statistics.median(each))


def put(who: str, figure: str, value: float) -> None:
    """Print a figure."""
    print(json.dumps({"who": who, "figure": figure, "value": round(value, 2)}), flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver", choices=("motor", "pymongo"), default="motor")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        replica_set(Path(folder).absolute()) as (server,),
    ):
        anyio.run(measure, f"{server.url('claims')}&driver={given.driver}")


if __name__ == "__main__":
    main()
