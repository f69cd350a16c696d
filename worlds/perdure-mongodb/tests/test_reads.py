"""Reads and waits: hints and polling, streams, deletion, elections."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio
import pytest
from bson import ObjectId
from mongo_values import RUN, apart, commit_of, left_over, new_run, wait_live
from pymongo.errors import (
    AutoReconnect,
    OperationFailure,
)

from perdure.errors import (
    RunNotFoundError,
    StreamClosedError,
    WorldUnavailableError,
)
from perdure.model import (
    Append,
    Event,
    EventType,
    NewMessage,
    RunOutcome,
    RunStatus,
)
from perdure.testing.conformance._cancel import Moment, run_cancelled
from perdure_mongodb import MongoWorld
from perdure_mongodb._handle import POLL_LIVE
from perdure_mongodb._streams import MongoStreams
from perdure_mongodb._watch import bells_of
from perdure_mongodb.testing import Mongod

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_another_clients_writes_are_heard_of_before_the_next_look(url: str) -> None:
    one, other = apart(url)
    async with MongoWorld(one) as writer, MongoWorld(other) as waiter:
        await writer.storage.create_run(new_run())
        heard: dict[str, float] = {}

        async def wait(what: str) -> None:
            queue = waiter.queue
            if what == "wake":
                assert await queue.claim_wakes(limit=1, visibility_ms=9, wait_ms=20_000)
            elif what == "message":
                assert await queue.claim_messages(["t"], limit=1, visibility_ms=9, wait_ms=20_000)
            elif what == "chunk":
                assert (await waiter.streams.read(RUN, "s", wait_ms=20_000)).chunks
            else:
                ended = await waiter.storage.wait_ended(RUN, wait_ms=20_000)
                assert ended.status.is_ended
            heard[what] = anyio.current_time()

        (claim,) = await writer.queue.claim_wakes(limit=1, visibility_ms=60_000)
        message = NewMessage(message_id="run_a/m", run_id=RUN, topic="t", body=b"", due_ms=0)
        outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"", at_ms=1)
        writes: dict[str, Callable[[], Awaitable[object]]] = {
            "message": lambda: writer.queue.send([message]),
            "wake": lambda: writer.queue.release(claim.lease),
            "chunk": lambda: writer.streams.append(RUN, "s", [b"x"], writer="w", sequence=0),
            "end": lambda: writer.storage.commit(commit_of(0, outcome=outcome)),
        }
        began = 0.0
        for what, write in writes.items():
            async with anyio.create_task_group() as group:
                group.start_soon(wait, what)
                await wait_live(waiter)
                await anyio.sleep(0.05)  # for the waiter to look and to find nothing
                began = anyio.current_time()
                await write()
            assert heard[what] - began < POLL_LIVE / 2, what


@pytest.mark.slow
async def test_without_hints_looking_finds_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = apart(url)
    async with MongoWorld(one) as writer, MongoWorld(other) as waiter:
        driver = waiter._handle.driver

        async def broken(*_: object, **__: object) -> None:
            raise OperationFailure("not authorised to watch", 13)

        monkeypatch.setattr(driver, "watch", broken)
        await writer.storage.create_run(new_run())
        (claim,) = await writer.queue.claim_wakes(limit=1, visibility_ms=60_000)
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                with anyio.fail_after(10):
                    assert await waiter.queue.claim_wakes(limit=1, visibility_ms=9, wait_ms=20_000)

            group.start_soon(wait)
            await anyio.sleep(0.05)
            await writer.queue.release(claim.lease)


def test_a_claim_or_ones_own_document_rings_nobody() -> None:
    def change(kind: str, where: str, **fields: object) -> dict[str, object]:
        what = {"updateDescription": {"updatedFields": fields}}
        return {"operationType": kind, "ns": {"coll": where}, "documentKey": {"_id": "r"}, **what}

    assert bells_of(change("update", "runs", wake_at_ms=5, wake_token="t")) == []
    assert bells_of(change("update", "runs", wake_at_ms=5)) == ["wakes"]
    assert bells_of(change("update", "runs", wake_at_ms=None, status="failed")) == ["r"]
    assert bells_of(change("delete", "runs")) == ["r"]
    assert bells_of(change("update", "messages", token="t")) == []
    assert bells_of(change("update", "messages", token=None)) == ["messages"]
    inserted = {"operationType": "insert", "documentKey": {"_id": 1}, "ns": {"coll": "streams"}}
    assert bells_of({**inserted, "fullDocument": {"run": "r"}}) == ["r"]


async def test_writers_of_one_stream_come_one_after_another(motor_url: str) -> None:
    async with MongoWorld(motor_url) as one, MongoWorld(motor_url) as two:
        await one.storage.create_run(new_run())

        async def write(world: MongoWorld, writer: str) -> None:
            for n in range(10):
                line = f"{writer}{n}".encode()
                await world.streams.append(RUN, "s", [line], writer=writer, sequence=n)

        async with anyio.create_task_group() as group:
            for n in range(4):
                group.start_soon(write, (one, two)[n % 2], "abcd"[n])
        page = await one.streams.read(RUN, "s")
        assert len(page.chunks) == 40
        for writer in b"abcd":
            mine = [chunk for chunk in page.chunks if chunk[0] == writer]
            assert mine == [b"%c%d" % (writer, n) for n in range(10)]
        await two.streams.close(RUN, "s")
        with pytest.raises(StreamClosedError):
            await one.streams.append(RUN, "s", [b"late"], writer="e", sequence=0)


@pytest.mark.parametrize("looks", [0, 1, 2])
async def test_a_write_that_landed_is_found_though_the_stream_is_closed(
    motor_url: str, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another makes the same write and closes the stream, after as many of the writer's looks."""
    async with MongoWorld(motor_url) as world, MongoWorld(motor_url) as other:
        await world.storage.create_run(new_run())
        collection = type(world._handle.db.streams)
        find_one, looked = collection.find_one, itertools.count()

        async def meanwhile(self: Any, *asked: Any, **named: Any) -> Any:
            if next(looked) == looks:
                await other.streams.append(RUN, "s", [b"x"], writer="w", sequence=0)
                await other.streams.close(RUN, "s")
            return await find_one(self, *asked, **named)

        monkeypatch.setattr(collection, "find_one", meanwhile)
        assert await world.streams.append(RUN, "s", [b"x"], writer="w", sequence=0) == 1
        assert next(looked) > looks
        assert (await world.streams.read(RUN, "s")).chunks == (b"x",)


async def test_a_stream_of_a_run_that_goes_leaves_nothing(
    motor_url: str, server: Mongod, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is deleted after the writer has found it, and before it writes."""
    async with MongoWorld(motor_url) as world, MongoWorld(motor_url) as other:
        await world.storage.create_run(new_run())
        streams = world.streams
        assert isinstance(streams, MongoStreams)
        found = streams._last

        async def late(n: object, name: str) -> object:
            cancelled = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1)
            await other.storage.append(Append(run_id=RUN, event=cancelled))
            await other.catalogue.delete_run(RUN)
            return await found(cast("ObjectId", n), name)

        monkeypatch.setattr(streams, "_last", late)
        with pytest.raises(RunNotFoundError):
            await world.streams.append(RUN, "s", [b"x"], writer="w", sequence=0)
        assert left_over(server, database) == {}


async def test_a_deletion_that_was_cut_short_is_finished_by_the_next(
    motor_url: str, server: Mongod, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MongoWorld(motor_url) as world:
        await world.storage.create_run(new_run())
        await world.storage.append(
            Append(run_id=RUN, event=Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1))
        )

        async def cut_short() -> None:
            raise AutoReconnect("gone")

        with monkeypatch.context() as patch:
            patch.setattr(world.catalogue, "_sweep", cut_short)
            with pytest.raises(WorldUnavailableError):
                await world.catalogue.delete_run(RUN)
        with pytest.raises(RunNotFoundError):
            await world.storage.get_run(RUN)
        assert (await world.storage.create_run(new_run()))[1]  # shares nothing with the last
        assert len(await world.storage.read_events(RUN)) == 1
        assert await world.catalogue.purge(ended_before_ms=10) == 0
        assert left_over(server, database) == {"runs": 1, "events": 1}


async def test_what_was_read_while_the_primary_changed_is_read_again(
    motor_url: str, server: Mongod, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new primary must know what the old one acknowledged before it is believed."""

    def settled() -> int:
        with server.client() as client:
            found = client[database]["meta"].find_one({"_id": "schema"}) or {}
        return int(found.get("terms", 0))

    async with MongoWorld(motor_url) as world:
        await world.storage.create_run(new_run())
        handle, reads = world._handle, list[int]()
        await handle.read(lambda: handle.db.runs.find_one({}))
        assert settled() == 1
        # Unknown; the second is settled; it changes during the read; the third is settled.
        terms = iter([None, "second", "second", "third", "third", "third", "third"])
        monkeypatch.setattr(handle.driver, "term", lambda: next(terms))

        async def read() -> int:
            reads.append(settled())
            if len(reads) == 1:
                raise RunNotFoundError(RUN)  # an error is no more to be believed than an answer
            return len(reads)

        assert await handle.read(read) == 2
        assert reads == [3, 4]


async def test_a_cancellation_that_comes_with_the_answer_is_heard(url: str) -> None:
    async with MongoWorld(url) as world:
        await world.storage.create_run(new_run())
        for at in (1, 2, 3):
            cancelled, record = await run_cancelled(
                lambda: world.storage.get_run(RUN), at, Moment.LATE
            )
            assert cancelled or record is not None
            assert cancelled or at > 1
