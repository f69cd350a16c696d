"""Outbox: an event for another run arrives though its writer dies on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mongo_values import commit_of, new_run

from perdure.errors import WorldUnavailableError
from perdure.model import (
    Append,
    Departure,
    EntityId,
    Event,
    EventType,
    HookClaim,
    RunId,
)
from perdure.testing.clock import ManualClock
from perdure_mongodb import MongoWorld
from perdure_mongodb._outbox import Post

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

VICTIM, TAKER = RunId("run_v"), RunId("run_t")
HOOK = EntityId("hook_0")
CREATED = Event(type=EventType.HOOK_CREATED, key="hook_0/created", at_ms=1, entity=HOOK)
FORCED = commit_of(
    0,
    run_id=TAKER,
    events=(CREATED,),
    hooks_claimed=(HookClaim(hook_id=HOOK, token="t", force=True),),
)


async def die(*_: object) -> None:
    raise WorldUnavailableError("killed")


async def die_on_the_way(world: MongoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the token, and die before the victim is told."""

    claim = HookClaim(hook_id=HOOK, token="t")
    await world.storage.create_run(replace(new_run(VICTIM), hook=claim))
    await world.storage.create_run(new_run(TAKER))
    with monkeypatch.context() as patch:
        patch.setattr(Post, "deliver", die)
        with pytest.raises(WorldUnavailableError, match="killed"):
            await world.storage.commit(FORCED)
    assert (await world.storage.get_hook("t")).run_id == TAKER
    assert not await told(world)


async def told(world: MongoWorld) -> bool:
    events = await world.storage.read_events(VICTIM)
    return [logged.event.key for logged in events][2:] == ["hook_0/revoked"]


async def end(world: MongoWorld, run_id: RunId) -> None:
    cancelled = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1)
    await world.storage.append(Append(run_id=run_id, event=cancelled))


async def test_who_claims_wakes_later_brings_it_there(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure_mongodb._outbox.EVERY", 0.0)
    clock = ManualClock()
    async with MongoWorld(url, clock=clock) as world, MongoWorld(url, clock=clock) as other:
        await die_on_the_way(world, monkeypatch)
        with monkeypatch.context() as patch:  # its own wake is no cover
            patch.setattr(Post, "deliver", die)
            with pytest.raises(WorldUnavailableError, match="killed"):
                await end(world, TAKER)
        await other.queue.claim_wakes(limit=9, visibility_ms=60_000)
        assert not await told(other), "its writer has some seconds for itself"
        clock.advance(5_000)
        await other.queue.claim_wakes(limit=9, visibility_ms=60_000)
        assert await told(other)
        document = await other._handle.db.runs.find_one({"_id": TAKER})
        assert document is not None
        assert (document["outbox"], document["outbox_at_ms"]) == ([], None)
        hooks = await other._handle.db.hooks.find({}).to_list(None)
        assert hooks == [], "nothing is left of the one nor of the other"


async def test_the_same_commit_again_brings_it_there(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MongoWorld(url) as world:
        await die_on_the_way(world, monkeypatch)
        assert not (await world.storage.commit(FORCED)).conflicts
        assert await told(world)


@pytest.mark.parametrize("how", ["delete", "purge", "depart"])
async def test_a_run_goes_after_what_it_has_for_others(
    url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with MongoWorld(url) as world:
        await die_on_the_way(world, monkeypatch)
        if how == "depart":
            await world.transfer.depart(Departure(run_id=TAKER, to="there://"))
        else:
            await end(world, TAKER)
            if how == "delete":
                await world.catalogue.delete_run(TAKER)
            else:
                assert await world.catalogue.purge(ended_before_ms=2) == 1
        assert await told(world)


async def test_a_victim_that_departs_untold_leaves_the_token_behind(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MongoWorld(url) as world:
        await die_on_the_way(world, monkeypatch)
        await world.transfer.depart(Departure(run_id=VICTIM, to="there://"))
        assert (await world.storage.get_hook("t")).run_id == TAKER
