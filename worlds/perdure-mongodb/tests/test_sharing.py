"""Worlds of one process on one database share a connection, and with it one change stream."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from subprocess import PIPE
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mongo_values import RUN, apart, new_run, wait_live
from pymongo.errors import OperationFailure

from perdure.errors import WorldContractError
from perdure_mongodb import MongoWorld, _connection, _watch
from perdure_mongodb._connection import Connection
from perdure_mongodb._driver import MotorDriver
from perdure_mongodb.testing import Mongod

pytestmark = pytest.mark.anyio
Append = Callable[[int], Awaitable[object]]
WRITER = """
import sys, anyio
from perdure_mongodb import MongoWorld

async def main():
    async with MongoWorld(sys.argv[1]) as world:
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            await world.streams.append("run_a", "s", [b"x"], writer="w", sequence=int(line))

anyio.run(main)
"""


@asynccontextmanager
async def another_process(url: str) -> AsyncGenerator[Append, None]:
    """A process that appends a chunk to the run's stream when it is told to."""
    command = [sys.executable, "-c", WRITER, url]
    async with await anyio.open_process(command, stdin=PIPE, stderr=None) as process:
        assert process.stdin is not None
        stdin = process.stdin
        yield lambda n: stdin.send(f"{n}\n".encode())
        await stdin.aclose()
        assert await process.wait() == 0


class Deaf:
    """A world whose waiters look after rings only, never by themselves."""

    def __init__(self, world: MongoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self._looks = world._handle.bells.looks
        self._waits = anyio.Event()
        monkeypatch.setattr(world._handle.bells, "looks", self._only_rung)

    async def wait_vain(self) -> None:
        """Return when one of them has looked in vain since this returned last."""
        with anyio.fail_after(10):
            await self._waits.wait()
        self._waits = anyio.Event()

    def _only_rung(self, bell: str, wait_ms: int, **named: Any) -> Any:
        return self._looks(bell, wait_ms, **{**named, "poll_s": self._never})

    def _never(self) -> float:
        self._waits.set()
        return 60.0


def change_streams(server: Mongod, database: str) -> set[int]:
    """Cursors of a database's change streams; between two looks of its own one may be missed."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleCursors": True}},
        {"$match": {"cursor.tailable": True, "ns": {"$regex": f"^{database}\\."}}},
    ]
    with server.client() as client:
        looks = [list(client.admin.aggregate(stages)) for _ in range(5)]
    return {found["cursor"]["cursorId"] for look in looks for found in look}


async def until(fact: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    with anyio.fail_after(10):
        while not fact():  # noqa: ASYNC110  # see above
            await anyio.sleep(0.005)


@pytest.mark.slow
async def test_worlds_of_a_process_share_one_change_stream_to_the_last(
    url: str, server: Mongod, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    worlds = [MongoWorld(url) for _ in range(3)]
    for world in worlds:
        await world.open()
    await worlds[0].storage.create_run(new_run())
    await wait_live(worlds[0])
    deaf = [Deaf(world, monkeypatch) for world in worlds]

    async def read(world: MongoWorld, n: int) -> None:
        with anyio.fail_after(10):
            assert (await world.streams.read(RUN, "s", start=n, wait_ms=20_000)).chunks == (b"x",)

    async with another_process(url) as append:
        for n in range(3):  # the one that opened first is the first to close
            async with anyio.create_task_group() as group:
                for world in worlds[n:]:
                    group.start_soon(read, world, n)
                for one in deaf[n:]:
                    await one.wait_vain()
                assert len(change_streams(server, database)) == 1
                await append(n)
            await worlds[n].aclose()
    assert change_streams(server, database) == set()
    assert asyncio.all_tasks() == tasks
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith(("pymongo", "perdure")):  # Motor's own pool is the process's
            thread.join(10)
            assert not thread.is_alive()


async def test_what_one_world_writes_rings_for_the_others_without_a_change_stream(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MongoWorld(url) as writer, MongoWorld(url) as waiter:

        async def broken(*_: object, **__: object) -> None:
            raise OperationFailure("not authorised to watch", 13)

        monkeypatch.setattr(waiter._handle.driver, "watch", broken)
        deaf = Deaf(waiter, monkeypatch)
        await writer.storage.create_run(new_run())
        (claim,) = await writer.queue.claim_wakes(limit=1, visibility_ms=60_000)

        async def wait() -> None:
            with anyio.fail_after(10):
                assert await waiter.queue.claim_wakes(limit=1, visibility_ms=9, wait_ms=20_000)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await deaf.wait_vain()
            await writer.queue.release(claim.lease)


@pytest.mark.slow
async def test_the_server_leaves_out_what_this_process_wrote(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    bells_of = _watch.bells_of

    def heard(change: Any) -> list[str]:
        told.append(change["documentKey"]["_id"])
        return bells_of(change)

    monkeypatch.setattr(_watch, "bells_of", heard)
    ours, theirs = apart(url)
    async with MongoWorld(ours) as one, MongoWorld(ours) as two, MongoWorld(theirs) as other:
        await wait_live(one)
        for world in (one, two, one):
            await world.storage.create_run(new_run())
            await world.queue.wake(RUN, due_ms=0)
        await other.queue.wake(RUN, due_ms=0)
        await until(lambda: bool(told))
        assert told == [RUN]


@pytest.mark.slow
async def test_a_change_stream_that_fails_is_taken_up_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_watch, "AGAIN_AFTER", 0.0)
    async with MongoWorld(url) as world:
        driver, tries = world._handle.driver, list[int]()
        watch = driver.watch

        async def twice_broken(*args: Any, **named: Any) -> Any:
            tries.append(1)
            if len(tries) <= 2:
                raise OperationFailure("not now", 11600)
            return await watch(*args, **named)

        monkeypatch.setattr(driver, "watch", twice_broken)
        await wait_live(world)
        assert len(tries) == 3


async def test_what_is_not_alike_is_not_shared(
    server: Mongod, database: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{server.url(database)}&driver={driver}"
    different = [
        f"{server.url(database)}&driver={'motor' if driver == 'pymongo' else 'pymongo'}",
        f"{url}&socketTimeoutMS=1000",
        url.replace(f"/{database}", f"/{database}_2"),
        url.replace("127.0.0.1", "localhost"),
    ]
    async with MongoWorld(url) as world, MongoWorld(url) as same:
        shared = world._handle.connection
        assert same._handle.connection is shared
        assert repr(shared) == f"<Connection {database} of 2 worlds>"
        for one in different:
            async with MongoWorld(one) as other:
                assert other._handle.connection is not shared
        handle = world._handle
        with monkeypatch.context() as patch:
            patch.setattr("os.getpid", lambda: 0)
            fork = Connection.join(handle._make, handle._uri, database, handle.bells)
        assert fork is not shared
        await fork.leave(handle.bells)
    with server.client() as client:
        client.drop_database(f"{database}_2")


@pytest.mark.slow
async def test_event_loops_share_nothing_and_hear_of_each_other(
    url: str, server: Mongod, database: str
) -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def read(world: MongoWorld) -> None:
        assert (await world.streams.read(RUN, "s", wait_ms=20_000)).chunks == (b"x",)

    async def other() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        async with MongoWorld(url) as world:
            await read(world)

    async def in_thread() -> None:
        await anyio.to_thread.run_sync(anyio.run, other)

    async with MongoWorld(url) as world:
        await world.storage.create_run(new_run())
        async with anyio.create_task_group() as group:
            group.start_soon(in_thread)
            group.start_soon(read, world)
            await until(lambda: len(change_streams(server, database)) == 2)
            await world.streams.append(RUN, "s", [b"x"], writer="w", sequence=0)
        gc.collect()
        assert [loop() for loop in loops] == [None]


async def test_a_world_that_cannot_open_disturbs_none_and_leaves_nothing(
    motor_url: str, server: Mongod, database: str
) -> None:
    before = set(_connection._connections)
    async with MongoWorld(motor_url) as world:
        with server.client() as client:
            client[database]["meta"].update_one({}, {"$set": {"version": 99}})
        with pytest.raises(WorldContractError):
            await MongoWorld(motor_url).open()
        await world.storage.create_run(new_run())
    with pytest.raises(WorldContractError):
        await MongoWorld(motor_url).open()
    assert set(_connection._connections) == before


@pytest.mark.slow
async def test_a_world_may_open_while_the_last_closes(url: str) -> None:
    async with MongoWorld(url) as first:
        closing = first._handle.connection
        await wait_live(first)  # closing waits for the end of its look
        async with anyio.create_task_group() as group:
            group.start_soon(first.aclose)
            await until(lambda: first._handle._connection is None)
            async with MongoWorld(url) as second:
                assert second._handle.connection is not closing
                await second.storage.create_run(new_run())


async def test_a_connection_that_nobody_left_is_forgotten_with_its_worlds(motor_url: str) -> None:
    before = set(_connection._connections)
    world = MongoWorld(motor_url)
    uri, bells = motor_url, world._handle.bells
    connection = Connection.join(MotorDriver, uri, "x", bells)
    assert Connection.join(MotorDriver, uri, "x", bells) is connection
    await connection.driver.aclose()
    del connection
    gc.collect()
    assert set(_connection._connections) == before
