"""By hand: what a sequential step writes to MongoDB, with the driver alone and nothing checked.

The same documents, the same transaction, the same write concern as the world's; it is the floor
that the world is compared with.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

__all__ = ("hand_commits", "hand_steps")

Once: TypeAlias = Callable[[], Awaitable[None]]
SNAPSHOT_LAG = 128  # turns from one snapshot to the next, while a run is busy


async def hand_commits(address: str, driver: str, name: str) -> Once:
    """A run of its own; each call writes its next step, with a snapshot."""
    return await _writer(address, driver, name, lag=1)


async def hand_steps(address: str, driver: str, name: str) -> Once:
    """The same as a worker does it: a snapshot every so many turns."""
    return await _writer(address, driver, name, lag=SNAPSHOT_LAG)


async def _writer(address: str, driver: str, name: str, *, lag: int) -> Once:
    motor = driver == "motor"
    made: Any = AsyncIOMotorClient if motor else AsyncMongoClient
    client = made(f"mongodb://{address}/?replicaSet=rs0&w=majority&journal=true")
    db = client["byhand"]
    n, turn, position = ObjectId(), 0, 1
    await db["runs"].insert_one({"_id": name, "n": n, "v": 0})

    async def once() -> None:
        nonlocal turn, position
        fields = {"v": turn + 1, "turn": turn, "position": position, "digest": os.urandom(32)}
        if turn % lag == 0:
            fields["snapshot"] = os.urandom(1500)
        events = [
            {"_id": {"n": n, "p": position + i}, "key": f"step_{turn}/{i}", "payload": b"a" * 40}
            for i in range(3)
        ]
        message = {"_id": f"{name}/{turn}", "n": n, "topic": "t", "at_ms": 1, "body": b"m" * 120}
        session = client.start_session()
        async with await session if motor else session as session:
            begun = session.start_transaction()
            async with begun if motor else await begun:
                await db["runs"].update_one(
                    {"_id": name, "v": turn}, {"$set": fields}, session=session
                )
                await db["events"].insert_many(events, session=session)
                await db["messages"].delete_one({"_id": f"{name}/{turn - 1}"}, session=session)
                await db["messages"].insert_one(message, session=session)
        turn, position = turn + 1, position + 3

    return once
