"""Outbox: what a run has for another arrives though its writer dies on the way."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from s3_values import commit_of, new_run

from perdure.errors import (
    NameTooLongError,
    RunNotFoundError,
    RunWatchedError,
    WorldUnavailableError,
)
from perdure.model import (
    Append,
    ChildStart,
    Departure,
    EntityId,
    Event,
    EventType,
    HookClaim,
    RunId,
    RunOutcome,
    RunStatus,
    Watch,
)
from perdure.testing.clock import ManualClock
from perdure_s3 import S3World, sweep
from perdure_s3._cas import Found
from perdure_s3._heads import Heads
from perdure_s3._outbox import deliver
from perdure_s3._page import Page
from perdure_s3._schema import Layout

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

VICTIM, TAKER, CHILD = RunId("run_v"), RunId("run_t"), RunId("run_c")
HOOK = EntityId("hook_0")
CREATED = Event(type=EventType.HOOK_CREATED, key="hook_0/created", at_ms=1, entity=HOOK)
FORCED = commit_of(
    0,
    run_id=TAKER,
    events=(CREATED,),
    hooks_claimed=(HookClaim(hook_id=HOOK, token="t", force=True),),
)
DONE = RunOutcome(status=RunStatus.COMPLETED, payload=b"done", at_ms=1)
CANCELLED = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1)


@dataclass(frozen=True, slots=True)
class Sending:
    """A write of the taker that has something for another run."""

    write: Callable[[S3World], Awaitable[object]]
    has_arrived: Callable[[S3World], Awaitable[bool]]
    ends: bool = False


def watch(run_id: RunId) -> Watch:
    return Watch(entity=EntityId("watch_1"), run_id=run_id, at_ms=1)


def committing(**changes: Any) -> Callable[[S3World], Awaitable[object]]:
    commit = commit_of(0, run_id=TAKER, **changes)
    return lambda world: world.storage.commit(commit)


def end(world: S3World) -> Awaitable[object]:
    return world.storage.append(Append(run_id=TAKER, event=CANCELLED))


async def is_revoked(world: S3World) -> bool:
    events = await world.storage.read_events(VICTIM)
    return [logged.event.key for logged in events][-1:] == ["hook_0/revoked"]


async def is_created(world: S3World) -> bool:
    return await world._handle.runs.read(CHILD) is not None


async def is_watched(world: S3World) -> bool:
    watchers = (await world._handle.runs.get(VICTIM)).family.watchers
    return [watcher.run_id for watcher in watchers] == [TAKER]


async def is_told(world: S3World) -> bool:
    events = await world.storage.read_events(VICTIM)
    return [logged.event.key for logged in events][-1:] == ["watch_1/end"]


START = ChildStart(
    entity=EntityId("child_0"),
    new=replace(new_run(CHILD), attributes={"$parentRunId": TAKER}),
)
SENDINGS: Mapping[str, Sending] = {
    "revocation": Sending(lambda world: world.storage.commit(FORCED), is_revoked),
    "start": Sending(committing(starts=(START,)), is_created),
    "watch": Sending(committing(watches=(watch(VICTIM),)), is_watched),
    "notice": Sending(committing(outcome=DONE), is_told, ends=True),
    "notice of a cancellation": Sending(end, is_told, ends=True),
}
EACH = pytest.mark.parametrize("kind", SENDINGS)
GOING = [name for name in SENDINGS if name != "watch"]  # a run that ends watches no other


async def begin(world: S3World, kind: str = "revocation") -> None:
    claim = HookClaim(hook_id=HOOK, token="t")
    await world.storage.create_run(replace(new_run("run_v"), hook=claim))
    await world.storage.create_run(new_run("run_t"))
    if SENDINGS[kind].ends:
        watching = commit_of(0, run_id=VICTIM, position=2, watches=(watch(TAKER),))
        await world.storage.commit(watching)


async def die_on_the_way(
    world: S3World, monkeypatch: pytest.MonkeyPatch, kind: str, *, ending: bool = False
) -> None:
    """Write, and die before the other run is told."""

    async def killed(*_: object) -> None:
        raise WorldUnavailableError("killed")

    sending = SENDINGS[kind]
    await begin(world, kind)
    with monkeypatch.context() as patch:
        patch.setattr("perdure_s3._storage.deliver_written", killed)
        with pytest.raises(WorldUnavailableError, match="killed"):
            await sending.write(world)
        if ending and not sending.ends:
            with pytest.raises(WorldUnavailableError, match="killed"):
                await end(world)
    assert not await sending.has_arrived(world)


@EACH
async def test_who_claims_wakes_later_brings_it_there(
    url: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    clock, sending = ManualClock(1), SENDINGS[kind]  # as in what is written
    async with S3World(url, clock=clock) as world, S3World(url, clock=clock) as other:
        ending = kind in GOING  # its own wake is no cover
        await die_on_the_way(world, monkeypatch, kind, ending=ending)
        await world.queue.claim_wakes(limit=9, visibility_ms=60_000)
        assert not await sending.has_arrived(other), "its writer has some seconds for itself"
        clock.advance(5_000)
        await other.queue.claim_wakes(limit=9, visibility_ms=60_000)
        assert await sending.has_arrived(other)
        head = await other._handle.runs.get(TAKER)
        assert head.letters == ()
        assert not ending or head.cover == {}


@EACH
async def test_the_same_write_again_brings_it_there(
    url: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    sending = SENDINGS[kind]
    async with S3World(url) as world:
        await die_on_the_way(world, monkeypatch, kind)
        await sending.write(world)
        assert await sending.has_arrived(world)
        before = await world.storage.read_events(VICTIM)
        await deliver(world._handle, TAKER)  # and again: there is nothing
        assert await world.storage.read_events(VICTIM) == before


@pytest.mark.parametrize("kind", GOING)
@pytest.mark.parametrize("how", ["delete", "purge"])
async def test_a_run_goes_after_what_it_has_for_others(
    url: str, monkeypatch: pytest.MonkeyPatch, how: str, kind: str
) -> None:
    async with S3World(url) as world:
        await die_on_the_way(world, monkeypatch, kind, ending=True)
        if how == "delete":
            await world.catalogue.delete_run(TAKER)
        else:
            assert await world.catalogue.purge(ended_before_ms=2) == 1
        with pytest.raises(RunNotFoundError):
            await world.storage.get_run(TAKER)
        assert await SENDINGS[kind].has_arrived(world)


@pytest.mark.parametrize("kind", ["revocation", "start", "watch"])
async def test_a_run_departs_after_what_it_has_for_others(
    url: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with S3World(url) as world:
        await die_on_the_way(world, monkeypatch, kind)
        departure = Departure(run_id=TAKER, to="there://")
        if kind == "watch":
            with pytest.raises(RunWatchedError):
                await world.transfer.depart(departure)
        else:
            await world.transfer.depart(departure)
        assert await SENDINGS[kind].has_arrived(world)


LONG = RunId("語" * 200)  # a guest may choose it


async def test_a_child_that_cannot_be_named_is_refused_with_its_turn(url: str) -> None:
    async with S3World(url) as world:
        await begin(world)
        start = replace(START, new=new_run(LONG))
        with pytest.raises(NameTooLongError):
            await world.storage.commit(commit_of(0, run_id=TAKER, starts=(START, start)))
        assert (await world.storage.get_run(TAKER)).turn == 0
        assert not await is_created(world)


async def test_a_run_that_cannot_be_named_is_missing(url: str) -> None:
    async with S3World(url) as world:
        await begin(world)
        await world.storage.commit(commit_of(0, run_id=TAKER, watches=(watch(LONG),)))
        event = (await world.storage.read_events(TAKER))[-1].event
        assert (event.type, event.facts["status"]) == (EventType.CHILD_ENDED, "missing")


async def test_letters_that_cannot_be_brought_bar_nobody(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run that is watched is damaged: others go on, and a warning says which is the trouble."""
    clock = ManualClock(1)
    async with S3World(url, clock=clock) as world, S3World(url, clock=clock) as other:
        await die_on_the_way(world, monkeypatch, "watch")
        key = Layout.head(VICTIM)
        found = await other._handle.cas.get(key)
        assert isinstance(found, Found)
        await other._handle.cas.put(key, b"damaged")
        clock.advance(5_000)
        for _ in range(2):
            claims = await other.queue.claim_wakes(limit=9, visibility_ms=1)
            assert [claim.run_id for claim in claims] == [TAKER]
            clock.advance(1)
        told = [one.getMessage() for one in caplog.records if one.name == "perdure"]
        assert len(told) == 2, told
        assert f"run {TAKER} has something for others that cannot be brought" in "".join(told)
        assert f"run {VICTIM}: a run's head cannot be read" in "".join(told)
        await other._handle.cas.put(key, found.body)
        clock.advance(60_000)
        await other.queue.claim_wakes(limit=9, visibility_ms=1)
        assert await is_watched(other)


async def test_a_start_does_not_come_after_its_child_was_deleted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who dies between the two writes of a start has left nothing that could be brought."""
    real = Heads.change

    async def change(heads: Heads, run_id: RunId, *args: Any, **named: Any) -> Any:
        if run_id == TAKER:
            raise WorldUnavailableError("killed")
        return await real(heads, run_id, *args, **named)

    async with S3World(url) as world:
        await die_on_the_way(world, monkeypatch, "start")
        with monkeypatch.context() as patch:
            patch.setattr(Heads, "change", change)
            with pytest.raises(WorldUnavailableError, match="killed"):
                await deliver(world._handle, TAKER)
        assert await is_created(world)
        await world.storage.append(Append(run_id=CHILD, event=CANCELLED))
        await world.catalogue.delete_run(CHILD)
        await SENDINGS["start"].write(world)
        assert not await is_created(world)


async def test_a_token_is_its_holders_until_the_claim_by_force_lands(url: str) -> None:
    """A taker that dies between its claim and its commit has taken nothing."""
    clock = ManualClock()
    async with S3World(url, clock=clock) as world:
        await begin(world)
        head = await world._handle.runs.get(TAKER)
        page = Page(TAKER, head, now_ms=clock.now_ms())
        holder = await world._handle.tokens.claim(page, "t", force=True)
        assert holder is not None
        assert holder.run_id == VICTIM
        assert (await world.storage.get_hook("t")).run_id == VICTIM
        await sweep(world, now=datetime.now(UTC) + timedelta(days=2))
        assert (await world.storage.get_hook("t")).run_id == VICTIM
        await world.storage.create_run(new_run("run_c"))
        claim = (HookClaim(hook_id=HOOK, token="t"),)
        late = await world.storage.commit(commit_of(0, run_id="run_c", hooks_claimed=claim))
        assert late.conflicts == (HOOK,), "nor is it free"
        assert (await world.storage.get_hook("t")).run_id == VICTIM
        assert not (await world.storage.commit(FORCED)).conflicts, "it may try again"
        assert (await world.storage.get_hook("t")).run_id == TAKER
        assert await is_revoked(world)
