"""Claims that race: nobody leaves with nothing while there is enough for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mongo_values import RUN, apart, new_run

from perdure.model import MessageClaim, NewMessage, RunId, WakeClaim
from perdure_mongodb import MongoWorld
from perdure_mongodb._driver import Document
from perdure_mongodb._queue import MongoQueue

pytestmark = pytest.mark.anyio
RACERS = 8
MESSAGES = 16
Claims = tuple[MessageClaim, ...] | tuple[WakeClaim, ...]


async def race(worlds: list[MongoWorld], claim: Callable[[MongoWorld], Awaitable[Claims]]) -> int:
    """How many items as many racers get as fit; each gets some, none gets another's."""
    found = await asyncio.gather(*(claim(worlds[n % len(worlds)]) for n in range(RACERS)))
    assert all(found)
    items = [one.lease.item for claims in found for one in claims]
    assert len(set(items)) == len(items)
    return len(items)


async def send(world: MongoWorld) -> None:
    await world.storage.create_run(new_run())
    await world.queue.send(
        [
            NewMessage(message_id=f"run_a/{n}", run_id=RUN, topic=f"t{n % 2}", body=b"", due_ms=0)
            for n in range(MESSAGES)
        ]
    )


@pytest.mark.parametrize("topics", [2, 400])
async def test_each_of_many_with_room_for_one_message_gets_one(url: str, topics: int) -> None:
    """Whether the server finds messages in their order, or has to sort them."""
    ours, theirs = apart(url)
    asked = [f"t{n}" for n in range(topics)]
    async with MongoWorld(ours) as one, MongoWorld(theirs) as two:
        await send(one)
        got = await race(
            [one, two], lambda w: w.queue.claim_messages(asked, limit=1, visibility_ms=60_000)
        )
        assert got == RACERS


async def test_each_of_many_with_room_for_one_run_gets_one(url: str) -> None:
    ours, theirs = apart(url)
    async with MongoWorld(ours) as one, MongoWorld(theirs) as two:
        for n in range(RACERS):
            await one.storage.create_run(new_run(RunId(f"run_{n}")))
        got = await race([one, two], lambda w: w.queue.claim_wakes(limit=1, visibility_ms=60_000))
        assert got == RACERS


async def test_of_many_with_room_for_several_each_gets_some(url: str) -> None:
    ours, theirs = apart(url)
    async with MongoWorld(ours) as one, MongoWorld(theirs) as two:
        await send(one)
        got = await race(
            [one, two],
            lambda w: w.queue.claim_messages(["t0", "t1"], limit=2, visibility_ms=60_000),
        )
        left = await one.queue.claim_messages(["t0", "t1"], limit=99, visibility_ms=60_000)
        assert len(left) == MESSAGES - got


async def test_who_comes_too_late_for_several_gets_one(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two that it has found are claimed by another before it claims them."""
    ours, theirs = apart(url)
    async with MongoWorld(ours) as late, MongoWorld(theirs) as first:
        await send(late)
        queue = late.queue
        assert isinstance(queue, MongoQueue)
        claim_all = queue._claim_all
        taken: list[str] = []

        async def overtaken(*asked: Any) -> list[Document]:
            claims = await first.queue.claim_messages(["t0", "t1"], limit=2, visibility_ms=60_000)
            taken.extend(claim.lease.item for claim in claims)
            return await claim_all(*asked)

        monkeypatch.setattr(queue, "_claim_all", overtaken)
        claims = await queue.claim_messages(["t0", "t1"], limit=2, visibility_ms=60_000)
        assert [len(taken), len(claims)] == [2, 1]
        assert claims[0].lease.item not in taken
