"""Families: children are born with their parent's turn, and ends are told at any size."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

import itertools
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from faulty_driver import fail_commands
from mongo_values import apart, commit_of, new_run

from perdure.model import (
    Append,
    ChildStart,
    EntityId,
    Event,
    EventType,
    HookClaim,
    RunId,
    RunOutcome,
    RunStatus,
    Watch,
)
from perdure.testing.conformance import MakeWorld, Tier, certify
from perdure_mongodb import MongoWorld
from perdure_mongodb._outbox import Post
from perdure_mongodb.testing import Mongod

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PARENT, CHILD = RunId("run_parent"), RunId("run_child")


def child(n: int, payload: bytes = b"\x80", hook: HookClaim | None = None) -> ChildStart:
    new = replace(new_run(RunId(f"run_{n}"), payload), hook=hook)
    return ChildStart(entity=EntityId(f"child_{n}"), new=new, asks=True)


def watch(n: int, run_id: RunId = CHILD) -> Watch:
    return Watch(entity=EntityId(f"watch_{n}"), run_id=run_id, at_ms=1)


async def document(world: MongoWorld, run_id: RunId) -> dict[str, Any]:
    found = await world._handle.db.runs.find_one({"_id": run_id})
    assert found is not None
    return found


async def ends(world: MongoWorld, run_id: RunId) -> list[bytes | None]:
    events = [logged.event for logged in await world.storage.read_events(run_id)]
    return [event.payload for event in events if event.type is EventType.CHILD_ENDED]


async def test_the_inputs_of_children_need_no_room_with_their_parent(motor_url: str) -> None:
    async with MongoWorld(motor_url) as world:
        await world.storage.create_run(new_run(PARENT))
        large = [bytes([n]) * 1_000_000 for n in range(20)]
        starts = tuple(child(n, data) for n, data in enumerate(large))
        await world.storage.commit(commit_of(0, run_id=PARENT, starts=starts))
        for n, data in enumerate(large):
            (created,) = await world.storage.read_events(RunId(f"run_{n}"))
            assert created.event.payload == data
        assert (await document(world, PARENT))["outbox_at_ms"] is None


async def test_a_large_result_is_told_to_many(motor_url: str) -> None:
    async with MongoWorld(motor_url) as world:
        for name in (CHILD, PARENT):
            await world.storage.create_run(new_run(name))
        watches = tuple(watch(n) for n in range(12))
        await world.storage.commit(commit_of(0, run_id=PARENT, watches=watches))
        result = bytes(2_000_000)
        outcome = RunOutcome(status=RunStatus.COMPLETED, payload=result, at_ms=2)
        await world.storage.commit(commit_of(0, run_id=CHILD, outcome=outcome))
        await world.storage.commit(
            commit_of(1, run_id=PARENT, expected_position=14, watches=(watch(99),))
        )
        assert await ends(world, PARENT) == [result] * 13
        assert (await document(world, PARENT))["family"] is None


async def test_a_child_and_its_watch_are_one_write(motor_url: str) -> None:
    async with MongoWorld(motor_url) as world:
        await world.storage.create_run(new_run(PARENT))
        commit = commit_of(
            0, run_id=PARENT, starts=(child(1),), watches=(watch(2, RunId("run_1")),)
        )
        await world.storage.commit(commit)
        family = (await document(world, RunId("run_1")))["family"]
        assert [run_id for run_id, _, _ in family["watchers"]] == [PARENT]


async def test_a_token_passes_from_a_parent_to_its_child_in_one_turn(motor_url: str) -> None:
    async with MongoWorld(motor_url) as world:
        hook = EntityId("hook_0")
        claim = HookClaim(hook_id=hook, token="t")
        await world.storage.create_run(replace(new_run(PARENT), hook=claim))
        disposed = Event(type=EventType.HOOK_DISPOSED, key="hook_0/end", at_ms=1, entity=hook)
        commit = commit_of(
            0,
            run_id=PARENT,
            expected_position=2,
            events=(disposed,),
            hooks_released=(hook,),
            starts=(child(1, hook=claim), child(2, hook=claim)),
        )
        await world.storage.commit(commit)
        assert (await world.storage.get_hook("t")).run_id == "run_1"
        kinds = [logged.event.type for logged in await world.storage.read_events(PARENT)][3:]
        assert kinds == [EventType.CHILD_STARTED, EventType.CHILD_CONFLICT]


async def test_a_child_takes_a_token_that_an_ended_run_kept_for_long_enough(
    motor_url: str,
) -> None:
    async with MongoWorld(motor_url) as world:
        kept = HookClaim(hook_id=EntityId("hook_0"), token="t", keep_until_ms=2)
        await world.storage.create_run(replace(new_run(CHILD), hook=kept))
        end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1)
        await world._handle.db.hooks.update_one({"_id": "t"}, {"$set": {"keep_until_ms": 1 << 60}})
        await world.storage.append(Append(run_id=CHILD, event=end))
        await world._handle.db.hooks.update_one({"_id": "t"}, {"$set": {"keep_until_ms": 2}})
        await world.storage.create_run(new_run(PARENT))
        start = child(1, hook=HookClaim(hook_id=EntityId("hook_0"), token="t"))
        await world.storage.commit(commit_of(0, run_id=PARENT, starts=(start,)))
        assert (await world.storage.get_hook("t")).run_id == "run_1"


async def test_a_run_of_an_earlier_version_has_no_family(motor_url: str) -> None:
    async with MongoWorld(motor_url) as world, MongoWorld(motor_url) as other:
        for name in (PARENT, CHILD):
            await world.storage.create_run(new_run(name))
        await world._handle.db.runs.update_many({}, {"$unset": {"family": 1}})
        await other.storage.commit(commit_of(0, run_id=PARENT, watches=(watch(2),)))
        end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1, payload=b"why")
        await other.storage.append(Append(run_id=CHILD, event=end))
        assert await ends(other, PARENT) == [b"why"]


async def test_a_run_that_is_gone_when_its_end_is_asked_for_is_missing(
    motor_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, a watch finds that, and it is deleted before its result is read."""
    async with MongoWorld(motor_url) as world:
        for name in (PARENT, CHILD):
            await world.storage.create_run(new_run(name))
        end = Event(
            type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1, payload=bytes(2_000_000)
        )
        await world.storage.append(Append(run_id=CHILD, event=end))
        whole, deleted = Post._whole, list[RunId]()

        async def meanwhile(post: Post, found: dict[str, object]) -> object:
            if found["_id"] == CHILD and not deleted:
                deleted.append(CHILD)
                await world.catalogue.delete_run(CHILD)
            return await whole(post, found)

        monkeypatch.setattr(Post, "_whole", meanwhile)
        await world.storage.commit(commit_of(0, run_id=PARENT, watches=(watch(2),)))
        event = (await world.storage.read_events(PARENT))[-1].event
        assert (event.facts["status"], deleted) == ("missing", [CHILD])


@pytest.mark.parametrize(
    ("method", "check"),
    [
        ("look", "a dead runs result is told"),
        ("look", "a dead callers cancel is told"),
        ("deliver", "every end is told"),
    ],
)
def test_the_kit_tells_a_world_that_leaves_letters_behind(
    server: Mongod, database: str, monkeypatch: pytest.MonkeyPatch, method: str, check: str
) -> None:
    async def forget(*_: object) -> None:
        return

    monkeypatch.setattr(Post, method, forget)
    made = itertools.count()

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        name = f"{database}n{next(made)}"
        urls = itertools.cycle(apart(server.url(name)))
        yield lambda clock: MongoWorld(next(urls), clock=clock)
        with server.client() as client:
            client.drop_database(name)

    report = certify(store, tier=Tier.FULL, only=lambda name: name == check, fail_io=fail_commands)
    assert not report.passed
