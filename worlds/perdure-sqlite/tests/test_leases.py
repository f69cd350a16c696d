"""Leases on messages: found when they run out, by a bound that each run has for all of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlite_values import new_run

from perdure.model import (
    Append,
    Event,
    EventType,
    LeaseEnd,
    MessageClaim,
    NewMessage,
    RunId,
)
from perdure.testing.clock import ManualClock
from perdure_sqlite import SqliteWorld

pytestmark = pytest.mark.anyio
TOPICS = ("t",)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000)


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[SqliteWorld, None]:
    async with SqliteWorld(f"sqlite:///{tmp_path}/p.db", clock=clock) as opened:
        yield opened


async def send(world: SqliteWorld, *messages: str) -> None:
    """Queue ``run/name`` messages; makes their runs."""
    for message_id in messages:
        run_id = RunId(message_id.partition("/")[0])
        await world.storage.create_run(new_run(run_id))
        message = NewMessage(
            message_id=message_id, run_id=run_id, topic="t", body=b"", due_ms=world.now_ms()
        )
        await world.queue.send([message])


async def claim(world: SqliteWorld, visibility_ms: int, limit: int = 9) -> list[MessageClaim]:
    return list(await world.queue.claim_messages(TOPICS, limit=limit, visibility_ms=visibility_ms))


async def bounds(world: SqliteWorld) -> list[int | None]:
    rows = await world._handle.read(
        lambda db: db.execute("SELECT leased_ms FROM runs ORDER BY run_id").fetchall()
    )
    return [row[0] for row in rows]


async def test_the_first_of_several_leases_is_the_bound(
    world: SqliteWorld, clock: ManualClock
) -> None:
    await send(world, "a/1", "a/2")
    start = clock.now_ms()
    await claim(world, 900, limit=1)
    assert await bounds(world) == [start + 900]
    await claim(world, 300, limit=1)
    assert await bounds(world) == [start + 300]
    clock.advance(300)
    (again,) = await claim(world, 2000)
    assert (again.message.message_id, again.losses, again.claims) == ("a/2", 1, 2)
    assert await bounds(world) == [start + 900]
    clock.advance(600)
    (again,) = await claim(world, 2000)
    assert (again.message.message_id, again.losses) == ("a/1", 1)


async def test_a_bound_that_nothing_reaches_any_more_is_moved(
    world: SqliteWorld, clock: ManualClock
) -> None:
    await send(world, "a/1", "a/2")
    start = clock.now_ms()
    (first,) = await claim(world, 300, limit=1)
    await claim(world, 900, limit=1)
    await world.queue.finish(LeaseEnd(lease=first.lease))
    clock.advance(300)
    assert await claim(world, 300) == []
    assert await bounds(world) == [start + 900]
    assert await world.queue.count_waiting() == {"": 1}


async def test_a_lease_that_was_renewed_is_not_freed_before(
    world: SqliteWorld, clock: ManualClock
) -> None:
    await send(world, "a/1")
    start = clock.now_ms()
    (first,) = await claim(world, 300)
    await world.queue.extend([first.lease], visibility_ms=1000)
    clock.advance(300)
    assert await claim(world, 300) == []
    assert await bounds(world) == [start + 1000]
    clock.advance(700)
    assert (await world.queue.count_waiting())["t"] == 1  # before anybody claims
    (again,) = await claim(world, 300)
    assert again.losses == 1


async def test_of_many_bounds_that_are_passed_each_is_looked_at(
    world: SqliteWorld, clock: ManualClock
) -> None:
    await send(world, *[f"{run}/1" for run in "abcde"])
    start = clock.now_ms()
    held = await claim(world, 300)
    for one in held[:3]:
        await world.queue.finish(LeaseEnd(lease=one.lease))
    await world.queue.extend([held[3].lease], visibility_ms=900)
    clock.advance(300)
    (again,) = await claim(world, 600)
    assert again.message.message_id == "e/1"
    assert await bounds(world) == [None, None, None, start + 900, start + 900]


async def test_a_run_that_ends_has_no_bound(world: SqliteWorld) -> None:
    await send(world, "a/1")
    await claim(world, 300)
    end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=world.now_ms())
    await world.storage.append(Append(run_id=RunId("a"), event=end, wake=False))
    assert await bounds(world) == [None]
