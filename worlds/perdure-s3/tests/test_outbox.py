"""Outbox: an event for another run arrives though its writer dies on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from s3_values import commit_of, new_run

from perdure.errors import RunNotFoundError, WorldUnavailableError
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
from perdure_s3 import S3World, sweep
from perdure_s3._outbox import deliver
from perdure_s3._page import Page

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


async def begin(world: S3World) -> None:
    claim = HookClaim(hook_id=HOOK, token="t")
    await world.storage.create_run(replace(new_run("run_v"), hook=claim))
    await world.storage.create_run(new_run("run_t"))


async def die_on_the_way(world: S3World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the token, and die before the victim is told."""

    async def killed(*_: object) -> None:
        raise WorldUnavailableError("killed")

    await begin(world)
    with monkeypatch.context() as patch:
        patch.setattr("perdure_s3._storage.deliver", killed)
        with pytest.raises(WorldUnavailableError, match="killed"):
            await world.storage.commit(FORCED)
    assert (await world.storage.get_hook("t")).run_id == TAKER
    assert not await told(world)


async def told(world: S3World) -> bool:
    events = await world.storage.read_events(VICTIM)
    return [logged.event.key for logged in events][2:] == ["hook_0/revoked"]


async def end(world: S3World, run_id: RunId) -> None:
    cancelled = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1)
    await world.storage.append(Append(run_id=run_id, event=cancelled))


async def test_who_claims_wakes_later_brings_it_there(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with S3World(url, clock=clock) as world, S3World(url, clock=clock) as other:
        await die_on_the_way(world, monkeypatch)
        await end(world, TAKER)  # its own wake is no cover
        await world.queue.claim_wakes(limit=9, visibility_ms=60_000)
        assert not await told(other), "its writer has some seconds for itself"
        clock.advance(5_000)
        await other.queue.claim_wakes(limit=9, visibility_ms=60_000)
        assert await told(other)
        head = await other._handle.runs.get(TAKER)
        assert (head.outbox, head.cover) == ((), {})


async def test_the_same_commit_again_brings_it_there(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with S3World(url) as world:
        await die_on_the_way(world, monkeypatch)
        assert not (await world.storage.commit(FORCED)).conflicts
        assert await told(world)
        await deliver(world._handle.runs, TAKER)  # and again: there is nothing


@pytest.mark.parametrize("how", ["delete", "purge", "depart"])
async def test_a_run_goes_after_what_it_has_for_others(
    url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with S3World(url) as world:
        await die_on_the_way(world, monkeypatch)
        if how == "depart":
            await world.transfer.depart(Departure(run_id=TAKER, to="there://"))
        else:
            await end(world, TAKER)
            if how == "delete":
                await world.catalogue.delete_run(TAKER)
            else:
                assert await world.catalogue.purge(ended_before_ms=2) == 1
            with pytest.raises(RunNotFoundError):
                await world.storage.get_run(TAKER)
        assert await told(world)


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
        assert await told(world)
