"""Deletion: a run whose head changes meanwhile goes all the same, and no later life of it does."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from s3_values import RUN, event, names, new_run
from wrapped import Fault, wrapped_world

from perdure.errors import RunLiveError, RunNotFoundError, WorldUnavailableError
from perdure.model import Append, Event, EventType, RunId
from perdure_s3 import S3World, _catalogue
from perdure_s3._handle import Handle
from perdure_s3._head import Head

pytestmark = pytest.mark.anyio
Meanwhile = Callable[[Head | None], Awaitable[object]]


async def end(world: S3World) -> None:
    cancelled = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1)
    await world.storage.append(Append(run_id=RUN, event=cancelled))


def once_before_it_is_deleted(monkeypatch: pytest.MonkeyPatch, meanwhile: Meanwhile) -> list[int]:
    """Do this between the look at a run and its deletion, the first time. Returns the tries."""
    real, tries = _catalogue.delete_objects, list[int]()

    async def delete_objects(handle: Handle, run_id: RunId, head: Head | None) -> bool:
        tries.append(len(tries))
        if len(tries) == 1:
            await meanwhile(head)
        return await real(handle, run_id, head)

    monkeypatch.setattr(_catalogue, "delete_objects", delete_objects)
    return tries


@pytest.mark.parametrize("how", ["delete", "purge"])
async def test_a_head_that_changes_meanwhile_goes_too(
    url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with S3World(url) as world, S3World(url) as other:
        await world.storage.create_run(new_run())
        await end(world)

        async def change(head: Head | None) -> None:
            assert head is not None
            assert await other._handle.runs.bump(head)

        tries = once_before_it_is_deleted(monkeypatch, change)
        if how == "delete":
            await world.catalogue.delete_run(RUN)
        else:
            assert await world.catalogue.purge(ended_before_ms=2) == 1
        assert len(tries) == 2
        for one in (world, other):
            with pytest.raises(RunNotFoundError):
                await one.storage.get_run(RUN)
        assert not await names(world, "run/")


async def test_a_later_life_is_not_touched(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with S3World(url) as world, S3World(url) as other:
        await world.storage.create_run(new_run())
        await end(world)
        record = None

        async def begin_anew(_: Head | None) -> None:
            nonlocal record
            await other.catalogue.delete_run(RUN)
            await other.storage.create_run(new_run(payload=b"i" * 70_000))
            for n in range(9):
                await other.storage.append(Append(run_id=RUN, event=event(f"step_{n}/end", 30_000)))
            record = await other.storage.get_run(RUN)

        tries = once_before_it_is_deleted(monkeypatch, begin_anew)
        await world.catalogue.delete_run(RUN)
        assert len(tries) == 2, "one of each world"
        assert await world.storage.get_run(RUN) == record
        assert len(await world.storage.read_events(RUN)) == 10
        with pytest.raises(RunLiveError):
            await world.catalogue.delete_run(RUN)
        assert await world.catalogue.purge(ended_before_ms=2) == 0


@pytest.mark.parametrize("how", ["delete", "purge"])
async def test_a_deletion_that_was_cut_short_can_be_repeated(
    url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """At each request: afterwards nothing is there, but perhaps an entry for the sweeper."""
    shots = 0

    def plan(number: int, verb: str, key: str) -> Fault:
        nonlocal shots
        shots -= 1
        return Fault.TIMEOUT if shots == 0 else Fault.NONE

    async def remove() -> None:
        if how == "delete":
            await world.catalogue.delete_run(RUN)
        else:
            await world.catalogue.purge(ended_before_ms=2)

    async with wrapped_world(url, plan) as (world, _):
        monkeypatch.setattr("perdure_s3._cas._TRIES", 1)
        at = 0
        while True:
            at += 1
            await world.storage.create_run(new_run())
            await end(world)
            await world.settle()
            shots = at
            try:
                await remove()
            except WorldUnavailableError:
                await remove()
            struck, shots = shots <= 0, 0
            with pytest.raises(RunNotFoundError):
                await world.storage.get_run(RUN)
            assert not await names(world, "run/")
            if not struck:
                break
        assert at > 4
