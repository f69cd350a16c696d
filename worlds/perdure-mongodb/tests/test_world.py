"""What is particular to this world: servers it refuses, cancellation, size, hints, deletion."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

import anyio
import pytest
from bson import ObjectId
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from perdure.abc import Capability
from perdure.errors import (
    HookNotFoundError,
    RunNotFoundError,
    StreamClosedError,
    UsageError,
    WorldClosedError,
    WorldContractError,
    WorldUnavailableError,
)
from perdure.model import (
    Append,
    Digest,
    EntityId,
    Event,
    EventType,
    HookClaim,
    NewMessage,
    NewRun,
    RunId,
    RunOutcome,
    RunStatus,
    Snapshot,
    TurnCommit,
)
from perdure.worlds import make_world
from perdure_mongodb import MongoWorld, _reaper
from perdure_mongodb._driver import is_duplicate, is_transient, mapped_errors
from perdure_mongodb._handle import POLL_LIVE
from perdure_mongodb._streams import MongoStreams
from perdure_mongodb._watch import bells_of
from perdure_mongodb.testing import Mongod

pytestmark = pytest.mark.anyio
RUN = RunId("run_a")


def new_run(run_id: RunId = RUN, payload: bytes = b"\x80") -> NewRun:
    return NewRun(
        run_id=run_id,
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=payload,
        created_at_ms=1,
    )


def created(n: int, payload: bytes | None = None) -> Event:
    return Event(
        type=EventType.STEP_CREATED,
        key=f"step_{n}/created",
        at_ms=1,
        entity=EntityId(f"step_{n}"),
        payload=payload,
    )


def commit_of(turn: int, **changes: object) -> TurnCommit:
    values: dict[str, object] = {
        "run_id": RUN,
        "commit_id": f"c{turn}",
        "turn": turn,
        "expected_position": 1,
        "consumed": 1,
        "log_digest": b"d",
    }
    return TurnCommit(**{**values, **changes})  # type: ignore[arg-type]  # the fields' own types


# --- opening -----------------------------------------------------------------------------------


async def test_what_was_stored_is_there_when_opened_again(url: str) -> None:
    async with MongoWorld(url) as world:
        await world.open()  # again is fine
        await world.storage.create_run(new_run())
        assert world.capabilities == {
            Capability.SHARED,
            Capability.DURABLE,
            Capability.ATOMIC_QUEUE,
        }
    async with world, MongoWorld(url) as other:
        for opened in (world, other):
            assert (await opened.storage.get_run(RUN)).workflow == "flow"


async def test_any_number_may_open_a_new_database_at_once(motor_url: str) -> None:
    worlds = [MongoWorld(motor_url) for _ in range(4)]
    async with anyio.create_task_group() as group:
        for world in worlds:
            group.start_soon(world.open)
    assert (await worlds[0].storage.create_run(new_run()))[1]
    for world in worlds:
        await world.aclose()


async def test_a_closed_world_refuses(url: str) -> None:
    world = MongoWorld(url)
    with pytest.raises(WorldClosedError):
        await world.storage.get_run(RUN)
    async with world:
        pass
    await world.aclose()
    with pytest.raises(WorldClosedError):
        await world.storage.create_run(new_run())
    with pytest.raises(WorldClosedError):
        await world.queue.claim_wakes(limit=1, visibility_ms=1)


async def test_closing_ends_who_waits(url: str) -> None:
    world = MongoWorld(url)
    await world.open()
    refused = anyio.Event()

    async def wait() -> None:
        with pytest.raises(WorldClosedError):
            await world.queue.claim_wakes(limit=1, visibility_ms=1, wait_ms=60_000)
        refused.set()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(0.05)  # until it waits, or at least looks
        await world.aclose()
        with anyio.fail_after(5):
            await refused.wait()


def test_the_world_is_found_by_its_scheme(server: Mongod) -> None:
    points = entry_points(group="perdure.worlds", name="mongodb")
    assert [point.value for point in points] == ["perdure_mongodb:MongoWorld"]
    assert isinstance(make_world(server.url("x")), MongoWorld)


@pytest.mark.parametrize(
    "wrong",
    [
        "mongodb://",
        "mongodb://host",
        "mongodb://host/",
        "mongodb://host/a/b",
        "sqlite:///x",
        "mongodb://host/x?driver=mongoengine",
    ],
)
def test_a_wrong_url_says_how_to_write_it(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"mongodb://host:27017/database|motor and pymongo"):
        MongoWorld(wrong)


def test_a_url_is_shown_without_its_secrets() -> None:
    world = MongoWorld("mongodb://me:secret@h1:1,h2:2/shop?replicaSet=rs0&authSource=admin")
    assert world.url == "mongodb://h1:1,h2:2/shop"
    assert "secret" not in repr(world)
    with pytest.raises(UsageError) as caught:
        MongoWorld("mongodb://me:secret@h1/")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "replicaSet=rs0&"])
async def test_a_standalone_server_is_refused_and_told_how_to_change(
    tmp_path: Path, driver: str, query: str
) -> None:
    alone = Mongod(tmp_path, replica_set=None)
    alone.start()
    try:
        with pytest.raises(WorldContractError, match=r"--replSet rs0.*rs\.initiate"):
            await MongoWorld(f"mongodb://{alone.address}/x?{query}driver={driver}").open()
    finally:
        alone.kill()


@pytest.mark.slow
async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path, driver: str) -> None:
    nobody = Mongod(tmp_path).url("x")
    with pytest.raises(WorldUnavailableError) as caught:
        await MongoWorld(f"{nobody}&driver={driver}&serverSelectionTimeoutMS=200").open()
    assert caught.value.retryable


async def test_another_layout_is_refused(motor_url: str, server: Mongod, database: str) -> None:
    async with MongoWorld(motor_url):
        pass
    with server.client() as client:
        client[database]["meta"].update_one({}, {"$set": {"version": 99}})
    with pytest.raises(WorldContractError, match="layout 99"):
        await MongoWorld(motor_url).open()


# --- cancellation and races --------------------------------------------------------------------


async def test_a_cancelled_write_is_told_truly_when_asked_again(url: str) -> None:
    """Cancelled at 30 moments; then each commit either stands or can still be made, once."""
    async with MongoWorld(url) as world:
        await world.storage.create_run(new_run())
        for turn in range(30):
            commit = commit_of(turn, events=(created(turn),))
            with anyio.move_on_after(turn * 0.0003):
                await world.storage.commit(commit)
            done = await world.storage.commit(commit)
            assert (done.turn, done.position) == (turn + 1, turn + 2)
        events = await world.storage.read_events(RUN)
        assert [e.event.key for e in events[1:]] == [f"step_{n}/created" for n in range(30)]
        await world.settle()


async def test_closing_waits_for_a_write_whose_caller_was_cancelled(url: str) -> None:
    async with MongoWorld(url) as world:
        await world.storage.create_run(new_run())
        task = asyncio.create_task(world.storage.commit(commit_of(0)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with MongoWorld(url) as world:
        assert (await world.storage.get_run(RUN)).turn == 1


async def test_results_that_come_together_share_transactions(
    motor_url: str, server: Mongod
) -> None:
    def transactions() -> int:
        with server.client() as client:
            status = client.admin.command("serverStatus")
        return int(status["transactions"]["totalCommitted"])

    async with MongoWorld(motor_url) as world:
        await world.storage.create_run(new_run())
        before = transactions()
        async with anyio.create_task_group() as group:
            for n in range(300):
                group.start_soon(world.storage.append, Append(run_id=RUN, event=created(n)))
        assert transactions() - before <= 4
        assert (await world.storage.get_run(RUN)).position == 301
        assert len(await world.queue.claim_wakes(limit=9, visibility_ms=1000)) == 1


async def test_two_processes_share_a_run_and_lose_nothing(motor_url: str) -> None:
    """Two clients append to one run at once: each refused write is made again."""
    async with MongoWorld(motor_url) as one, MongoWorld(motor_url) as two:
        await one.storage.create_run(new_run())

        async def append(world: MongoWorld, first: int) -> None:
            for n in range(first, 40, 2):
                await world.storage.append(Append(run_id=RUN, event=created(n)))

        async with anyio.create_task_group() as group:
            group.start_soon(append, one, 0)
            group.start_soon(append, two, 1)
        events = await one.storage.read_events(RUN)
        assert sorted(e.event.key for e in events[1:]) == sorted(
            f"step_{n}/created" for n in range(40)
        )
        assert one.statistics()["retries"] + two.statistics()["retries"] > 0


async def test_of_many_runs_that_want_a_token_one_has_it(motor_url: str) -> None:
    async with MongoWorld(motor_url) as one, MongoWorld(motor_url) as two:
        runs = [RunId(f"run_{n}") for n in range(8)]
        conflicts: list[int] = []

        async def claim(world: MongoWorld, run_id: RunId) -> None:
            await world.storage.create_run(new_run(run_id))
            hook = HookClaim(hook_id=EntityId("hook_1"), token="t")
            done = await world.storage.commit(commit_of(0, run_id=run_id, hooks_claimed=(hook,)))
            conflicts.append(len(done.conflicts))

        async with anyio.create_task_group() as group:
            for n, run_id in enumerate(runs):
                group.start_soon(claim, (one, two)[n % 2], run_id)
        assert sorted(conflicts) == [0] + [1] * 7
        holder = (await one.storage.get_hook("t")).run_id
        outcome = RunOutcome(status=RunStatus.COMPLETED, payload=None, at_ms=1)
        await one.storage.commit(commit_of(1, run_id=holder, outcome=outcome))
        with pytest.raises(HookNotFoundError):
            await two.storage.get_hook("t")


async def test_a_batch_that_one_spoils_lands_without_it(motor_url: str) -> None:
    """A run's own work goes on when one piece of it is more than BSON can hold."""
    async with MongoWorld(motor_url) as world:
        await world.storage.create_run(new_run())
        failures: list[BaseException] = []

        async def append(n: int, key: str) -> None:
            event = Event(type=EventType.STEP_CREATED, key=key, at_ms=1, payload=None)
            try:
                await world.storage.append(Append(run_id=RUN, event=event))
            except WorldContractError as exc:
                failures.append(exc)

        async with anyio.create_task_group() as group:
            for n in range(5):
                group.start_soon(append, n, "k" * (17 << 20) if n == 2 else f"key{n}")
        assert len(failures) == 1
        assert (await world.storage.get_run(RUN)).position == 5


# --- size --------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_values_beyond_the_servers_limit_come_back_exact_and_go_with_their_run(
    server: Mongod, database: str
) -> None:
    url = server.url(database)
    big = os.urandom(17 << 20)
    async with MongoWorld(url) as world:
        await world.storage.create_run(new_run(payload=big))
        hook = HookClaim(hook_id=EntityId("hook_1"), token="t", metadata=big)
        message = NewMessage(message_id="run_a/m", run_id=RUN, topic="t", body=big, due_ms=0)
        position = 0
        for turn in range(2):  # the second root replaces the first
            snapshot = Snapshot(turn=turn + 1, parent_turn=None, consumed=1, data=big[turn:])
            done = commit_of(
                turn,
                events=(created(turn, big),),
                snapshot=snapshot,
                messages=(message,),
                hooks_claimed=(hook,),
            )
            position = (await world.storage.commit(done)).position
        state = await world.storage.load_run(RUN)
        assert [s.data for s in state.chain] == [big[1:]]
        assert [e.event.payload for e in state.events] == [big, big]
        assert (await world.storage.get_hook("t")).metadata == big
        (claim,) = await world.queue.claim_messages(["t"], limit=2, visibility_ms=1000)
        assert claim.message.body == big
        digest = Digest(hashlib.sha256(big).hexdigest())
        await world.blobs.put(digest, big, run_id=RUN)
        await world.blobs.put(digest, big, run_id=RUN)
        assert await world.blobs.get(digest, run_id=RUN) == big
        await world.streams.append(RUN, "s", [big, b"x"], writer="w", sequence=0)
        assert (await world.streams.read(RUN, "s", start=1)).chunks == (b"x",)
        assert (await world.streams.read(RUN, "s")).chunks == (big, b"x")
        outcome = RunOutcome(status=RunStatus.COMPLETED, payload=big, at_ms=1)
        await world.storage.commit(commit_of(2, outcome=outcome, expected_position=position))
        assert (await world.storage.get_run(RUN)).payload == big
        with server.client() as client:
            snapshots = {"_id.ref": {"$regex": "^snapshot/"}}
            assert client[database]["chunks"].count_documents(snapshots) == 3  # one of 17 MB
        await world.catalogue.delete_run(RUN)
        assert left_over(server, database) == {}


def left_over(server: Mongod, database: str) -> dict[str, int]:
    """How many documents each collection still has."""
    with server.client() as client:
        made = client[database]
        names = [name for name in made.list_collection_names() if name != "meta"]
        counts = {name: made[name].count_documents({}) for name in names}
    return {name: count for name, count in counts.items() if count}


# --- hints and polling -------------------------------------------------------------------------


async def wait_live(world: MongoWorld) -> None:
    """Return once its change stream is there; until then it rings nobody."""
    bells = world._handle.bells
    async for _ in bells.attempts("wakes", 10_000, check=lambda: None, poll_s=lambda: 0.01):
        watcher = world._handle._watcher
        if watcher is not None and watcher.is_live:
            return
    raise AssertionError("no change stream")


@pytest.mark.slow
async def test_another_clients_writes_are_heard_of_before_the_next_look(url: str) -> None:
    async with MongoWorld(url) as writer, MongoWorld(url) as waiter:
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
    async with MongoWorld(url) as writer, MongoWorld(url) as waiter:
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


# --- streams and deletion ----------------------------------------------------------------------


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


# --- elections ---------------------------------------------------------------------------------


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


# --- transactions left open --------------------------------------------------------------------


async def leave_open(world: MongoWorld) -> None:
    """Begin to write to a run as a process does that dies before it commits."""
    handle = world._handle
    session = await handle.driver.session()
    await handle.driver.begin(session)
    fields = {"$set": {"v": "never"}}
    await handle.db.runs.update_one({"_id": RUN}, fields, session=session)


@pytest.mark.slow
async def test_what_a_dead_worker_left_open_locks_a_run_for_seconds_only(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reaper, "IDLE_SECONDS", 0.3)
    async with MongoWorld(url) as dead, MongoWorld(url) as writer:
        await writer.storage.create_run(new_run())
        await leave_open(dead)
        with anyio.fail_after(20):  # the server itself would wait for 60
            await writer.storage.commit(commit_of(0))
        await leave_open(dead)
        with anyio.fail_after(20):
            await writer.queue.wake(RUN, due_ms=0)
            async with MongoWorld(url) as claimer:
                assert await claimer.queue.claim_wakes(limit=1, visibility_ms=1000, wait_ms=10_000)


async def test_who_may_not_look_for_the_dead_says_so_once(
    motor_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with MongoWorld(motor_url) as world:

        async def refused(*_: object) -> None:
            raise OperationFailure("not authorised", 13)

        monkeypatch.setattr(world._handle.driver, "aggregate", refused)
        reaper = world._handle._reaper
        assert reaper is not None
        for _ in range(2):
            await reaper.look()
    assert [record.message[:13] for record in caplog.records] == ["this user may"]


# --- errors ------------------------------------------------------------------------------------


def labelled(exc: PyMongoError, label: str) -> PyMongoError:
    exc._add_error_label(label)
    return exc


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (AutoReconnect("gone"), WorldUnavailableError),
        (ServerSelectionTimeoutError("nobody"), WorldUnavailableError),
        (WTimeoutError("slow", 64), WorldUnavailableError),
        (OperationFailure("stepped down", 189), WorldUnavailableError),
        (
            labelled(OperationFailure("x", 1), "UnknownTransactionCommitResult"),
            WorldUnavailableError,
        ),
        (OperationFailure("not authorised", 13), WorldContractError),
        (DocumentTooLarge("17 MB"), WorldContractError),
        (InvalidOperation("closed"), WorldClosedError),
        (ConfigurationError("no such option"), UsageError),
    ],
)
def test_foreign_errors_become_ours(raised: PyMongoError, ours: type[Exception]) -> None:
    with pytest.raises(ours) as caught, mapped_errors("mongodb://h/x"):
        raise raised
    assert caught.value.__cause__ is raised


def test_what_may_be_tried_again_is_told_apart() -> None:
    transient = labelled(OperationFailure("conflict", 112), "TransientTransactionError")
    unknown = labelled(AutoReconnect("gone"), "UnknownTransactionCommitResult")
    assert is_transient(transient)
    assert not is_transient(labelled(unknown, "TransientTransactionError"))
    assert is_transient(BulkWriteError({"writeErrors": [{"code": 112}]}))
    assert is_duplicate(DuplicateKeyError("E11000"))
    assert is_duplicate(BulkWriteError({"writeErrors": [{"code": 11000}]}))
    assert not is_duplicate(BulkWriteError({"writeErrors": [{"code": 11000}, {"code": 1}]}))
    assert not is_duplicate(BulkWriteError({"writeErrors": []}))
