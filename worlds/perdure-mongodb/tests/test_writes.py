"""Writes: cancelled, raced, batched, too large for the server, and left open by the dead."""

from __future__ import annotations

import asyncio
import hashlib
import os
from functools import partial

import anyio
import pytest
from mongo_values import RUN, apart, commit_of, created, left_over, new_run
from pymongo.errors import (
    OperationFailure,
)

from perdure.errors import (
    HookNotFoundError,
    WorldContractError,
)
from perdure.model import (
    Append,
    Digest,
    EntityId,
    Event,
    EventType,
    HookClaim,
    NewMessage,
    RunId,
    RunOutcome,
    RunStatus,
    Snapshot,
)
from perdure_mongodb import MongoWorld, _reaper
from perdure_mongodb._transaction import Call, Conversation, update
from perdure_mongodb.testing import Mongod

pytestmark = pytest.mark.anyio


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
    ours, theirs = apart(motor_url)
    async with MongoWorld(ours) as one, MongoWorld(theirs) as two:
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
    ours, theirs = apart(motor_url)
    async with MongoWorld(ours) as one, MongoWorld(theirs) as two:
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
        assert (await world.streams.read(RUN, "s")).chunks == (big,)  # a page of its own
        outcome = RunOutcome(status=RunStatus.COMPLETED, payload=big, at_ms=1)
        await world.storage.commit(commit_of(2, outcome=outcome, expected_position=position))
        assert (await world.storage.get_run(RUN)).payload == big
        with server.client() as client:
            snapshots = {"_id.ref": {"$regex": "^snapshot/"}}
            assert client[database]["chunks"].count_documents(snapshots) == 3  # one of 17 MB
        await world.catalogue.delete_run(RUN)
        assert left_over(server, database) == {}


async def leave_open(world: MongoWorld) -> None:
    """Begin to write to a run as a process does that dies before it commits."""
    handle = world._handle
    database = handle.driver.bare(handle.connection.database)
    session = handle.driver.client.start_session()
    command = update("runs", [({"_id": RUN}, {"$set": {"v": "never"}})]).body

    def talk() -> Conversation:
        yield Call("begin", session.start_transaction)
        yield Call("update", partial(database.command, command, session=session))

    await handle.driver.converse(talk())


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
        for _ in range(2):
            await world._handle.connection.reaper.look()
    assert [record.message[:13] for record in caplog.records] == ["this user may"]


async def test_a_turn_writes_more_than_one_command_may_hold(motor_url: str) -> None:
    """Sixteen megabytes are the client's limit for a command, however many documents it has."""
    async with MongoWorld(motor_url) as world:
        await world.storage.create_run(new_run())
        payloads = [bytes([n]) * (1 << 20) for n in range(20)]
        events = tuple(created(n, payload) for n, payload in enumerate(payloads))
        await world.storage.commit(commit_of(0, events=events))
        stored = await world.storage.read_events(RUN, after=1)
        assert [logged.event.payload for logged in stored] == payloads
