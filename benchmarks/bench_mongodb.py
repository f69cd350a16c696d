"""What the MongoDB world costs, beside the same writes made by hand with the driver.

    python benchmarks/bench_mongodb.py [--driver motor|pymongo] [--seconds 3] [--failover]

Starts a mongod of its own (see ``perdure_mongodb.testing``). A commit is that of a sequential step:
the result of the last, the next step's two events, its message sent leased, the last one's ended, a
snapshot of 1.5 KB. The floor writes the same documents in one transaction and reads nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bson import ObjectId

from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    LeaseEnd,
    NewMessage,
    NewRun,
    RunId,
    Snapshot,
    TurnCommit,
)
from perdure_mongodb import MongoWorld
from perdure_mongodb._driver import DRIVERS, transaction
from perdure_mongodb.testing import Mongod, replica_set, wait_primary

Once = Callable[[], Awaitable[None]]


def event(kind: EventType, entity: EntityId, ending: str, payload: bytes | None) -> Event:
    return Event(type=kind, key=f"{entity}/{ending}", at_ms=1, entity=entity, payload=payload)


def new_run(name: str) -> NewRun:
    return NewRun(
        run_id=RunId(name),
        workflow="bench",
        bundle=Digest("b" * 64),
        engine=Digest("e" * 64),
        input=b"\x80",
        created_at_ms=1,
    )


async def stepping(world: MongoWorld, name: str) -> Once:
    """A run of its own; each call commits its next sequential step."""
    await world.storage.create_run(new_run(name))
    turn, position = 0, 1
    lease: LeaseEnd | None = None

    async def once() -> None:
        nonlocal turn, position, lease
        entity, last = EntityId(f"step_{turn + 1}"), EntityId(f"step_{turn}")
        result = (event(EventType.STEP_COMPLETED, last, "end", b"r" * 40),) if turn else ()
        commit = TurnCommit(
            run_id=RunId(name),
            commit_id=os.urandom(8).hex(),
            turn=turn,
            expected_position=position,
            consumed=position + len(result),
            log_digest=os.urandom(32),
            deliveries=result,
            events=(
                event(EventType.STEP_CREATED, entity, "created", b"a" * 40),
                event(EventType.STEP_STARTED, entity, "start/1", None),
            ),
            snapshot=Snapshot(
                turn=turn + 1, parent_turn=None, consumed=position, data=os.urandom(1500)
            ),
            messages=(
                NewMessage(
                    message_id=f"{name}/{entity}",
                    run_id=RunId(name),
                    topic="default/step",
                    body=b"m" * 120,
                    due_ms=1,
                    lease_ms=60_000,
                ),
            ),
            leases=(lease,) if lease is not None else (),
        )
        done = await world.storage.commit(commit)
        turn, position, lease = done.turn, done.position, LeaseEnd(lease=done.leases[0])

    return once


async def by_hand(server: Mongod, driver: str, name: str) -> Once:
    """The same documents, written without asking anything."""
    client = DRIVERS[driver](f"mongodb://{server.address}/?replicaSet=rs0")
    db = client.database("byhand")
    n, turn, position = ObjectId(), 0, 1
    await db["runs"].insert_one({"_id": name, "n": n, "v": 0})

    async def once() -> None:
        nonlocal turn, position
        fields = {"v": turn + 1, "turn": turn, "position": position, "digest": os.urandom(32)}
        events = [
            {"_id": {"n": n, "p": position + i}, "key": f"step_{turn}/{i}", "payload": b"a" * 40}
            for i in range(3)
        ]
        message = {"_id": f"{name}/{turn}", "n": n, "topic": "t", "at_ms": 1, "body": b"m" * 120}
        async with transaction(client) as session:
            await db["runs"].update_one(
                {"_id": name, "v": turn},
                {"$set": {**fields, "snapshot": os.urandom(1500)}},
                session=session,
            )
            await db["events"].insert_many(events, session=session)
            await db["messages"].delete_one({"_id": f"{name}/{turn - 1}"}, session=session)
            await db["messages"].insert_one(message, session=session)
        turn, position = turn + 1, position + 3

    return once


async def measured(makers: list[Once], seconds: float) -> tuple[float, float, float]:
    """Median and 95th percentile in ms, and calls a second, of these, each one after another."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def repeat(once: Once) -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            await once()
            took.append(time.perf_counter() - began)

    for once in makers:
        await once()
    began = time.perf_counter()
    until = began + seconds
    await asyncio.gather(*(repeat(once) for once in makers))
    rate = len(took) / (time.perf_counter() - began)
    took.sort()
    return statistics.median(took) * 1000, took[len(took) * 95 // 100] * 1000, rate


async def commits(server: Mongod, driver: str, seconds: float) -> None:
    async with MongoWorld(f"{server.url('bench')}&driver={driver}") as world:
        for writers in (1, 8, 64):
            ours = [await stepping(world, f"run_{writers}_{i}") for i in range(writers)]
            hand = [await by_hand(server, driver, f"run_{writers}_{i}") for i in range(writers)]
            for what, makers in (("by hand", hand), ("commit", ours)):
                p50, p95, rate = await measured(makers, seconds)
                print(
                    f"{driver:8} {what:8} {writers:3} at once: p50 {p50:6.2f} ms,"
                    f" p95 {p95:6.2f} ms, {rate:6.0f}/s",
                    flush=True,
                )


async def queue_latency(server: Mongod, driver: str, count: int = 100) -> None:
    """From ``send`` in one world to the claim in another, which waits for it."""
    url = f"{server.url('latency')}&driver={driver}"
    took: list[float] = []
    async with MongoWorld(url) as sender, MongoWorld(url) as claimer:
        await sender.storage.create_run(new_run("run"))
        for i in range(count):
            waiting = asyncio.create_task(
                claimer.queue.claim_messages(["t"], limit=1, visibility_ms=60_000, wait_ms=10_000)
            )
            await asyncio.sleep(0.03 if i else 1)
            message = NewMessage(
                message_id=f"run/{i}", run_id=RunId("run"), topic="t", body=b"", due_ms=0
            )
            began = time.perf_counter()
            await sender.queue.send([message])
            await waiting
            took.append(time.perf_counter() - began)
    took.sort()
    print(
        f"{driver:8} send to claim elsewhere: p50 {statistics.median(took) * 1000:.1f} ms,"
        f" p95 {took[len(took) * 95 // 100] * 1000:.1f} ms"
    )


async def failover(members: list[Mongod], driver: str) -> None:
    """The longest time without a commit when the primary of three is killed under 8 writers."""
    seeds = ",".join(member.address for member in members)
    url = f"mongodb://{seeds}/failover?replicaSet=rs0&driver={driver}"
    async with MongoWorld(url) as world:
        makers = [await stepping(world, f"run_{i}") for i in range(8)]
        landed: list[float] = []
        stop = asyncio.Event()

        async def repeat(once: Once) -> None:
            while not stop.is_set():
                await once()
                landed.append(time.perf_counter())

        tasks = [asyncio.create_task(repeat(once)) for once in makers]
        await asyncio.sleep(2)
        primary = await asyncio.to_thread(wait_primary, members)
        primary.kill()
        await asyncio.sleep(5)
        stop.set()
        await asyncio.gather(*tasks)
    landed.sort()
    pause = max(b - a for a, b in itertools.pairwise(landed))
    print(f"{driver:8} primary of three killed: {len(landed)} commits, pause {pause:.2f} s")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", choices=sorted(DRIVERS), default="motor")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--failover", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.failover:
            with replica_set(Path(folder), nodes=3) as members:
                await failover(members, given.driver)
            return
        with replica_set(Path(folder)) as (server,):
            await commits(server, given.driver, given.seconds)
            await queue_latency(server, given.driver)


if __name__ == "__main__":
    asyncio.run(main())
