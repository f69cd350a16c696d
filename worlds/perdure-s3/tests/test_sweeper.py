"""What is left over goes, and nothing else; lists are read in pages."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from s3_values import RUN, commit_of, names, new_run

from perdure.model import (
    Digest,
    EntityId,
    HookClaim,
    RunFilter,
    RunId,
    RunOutcome,
    RunStatus,
)
from perdure.testing.clock import ManualClock
from perdure_s3 import S3World, sweep
from perdure_s3._page import Page
from perdure_s3._schema import Layout

pytestmark = pytest.mark.anyio

LATER = timedelta(days=2)
BLOB = Digest("fa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8")


async def test_the_sweeper_takes_orphans_and_nothing_else(url: str) -> None:
    outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"out", at_ms=3)
    async with S3World(url) as world:
        cas = world._handle.cas
        await world.storage.create_run(new_run(payload=b"i" * 70_000))
        await world.storage.commit(
            commit_of(0, hooks_claimed=(HookClaim(hook_id=EntityId("hook_1"), token="t"),))
        )
        await world.streams.append(RUN, "log", [b"x" * 70_000], writer="w", sequence=0)
        await world.blobs.put(BLOB, b"blob", run_id=RUN)
        await world.storage.create_run(new_run("run_b"))
        await world.storage.commit(commit_of(0, run_id="run_b", outcome=outcome))
        await world.settle()
        before = await names(world)
        birth = (await world._handle.runs.get(RUN)).birth
        orphans = [
            Layout.part(RUN, birth, "log-0000"),
            Layout.part(RUN, "0000", "log-0000"),
            Layout.part("run_gone", "0000", "image-0000"),
            Layout.blob("0" * 64, "run_gone"),
            Layout.listed(Layout.CREATED, 5, "run_gone"),
            Layout.listed(Layout.ENDED, 5, RUN),
        ]
        for key in orphans:
            await cas.put(key, b"")
        page = Page(RunId("run_gone"), None, now_ms=1)
        assert await world._handle.tokens.claim(page, "u") is None
        assert (await sweep(world)).orphans == 0  # all of them are young
        now = datetime.now(UTC) + LATER
        swept = await sweep(world, now=now)
        assert (swept.orphans, swept.runs, swept.rearmed) == (7, 2, 0)
        assert sorted(await names(world)) == sorted(before)
        assert (await sweep(world, now=now)).orphans == 0


async def test_the_sweeper_puts_the_due_index_right(url: str) -> None:
    clock = ManualClock()
    async with S3World(url, clock=clock) as world:
        await world.storage.create_run(new_run())
        await world.settle()
        await world._handle.cas.remove(Layout.due(0))
    async with S3World(url, clock=clock) as world:
        assert not await world.queue.claim_wakes(limit=1, visibility_ms=1000)
        assert (await sweep(world)).rearmed == 1
        (claim,) = await world.queue.claim_wakes(limit=1, visibility_ms=1000)
        assert claim.run_id == RUN


async def test_a_deleted_run_leaves_no_object(url: str) -> None:
    outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"out", at_ms=3)
    async with S3World(url) as world:
        before = await names(world)
        for name in ("run_a", "run é:*"):
            await world.storage.create_run(new_run(name, payload=b"i" * 70_000))
            await world.streams.append(RunId(name), "é", [b"x" * 70_000], writer="w", sequence=0)
            await world.blobs.put(BLOB, b"blob", run_id=RunId(name))
            claim = HookClaim(hook_id=EntityId("hook_1"), token=name)
            await world.storage.commit(commit_of(0, run_id=name, hooks_claimed=(claim,)))
            await world.storage.commit(commit_of(1, run_id=name, outcome=outcome))
        assert await world.catalogue.purge(ended_before_ms=4, limit=1) == 1
        assert await world.catalogue.purge(ended_before_ms=4) == 1
        await world.settle()
        assert set(await names(world)) - set(before) <= {Layout.due(0)}
        record, made = await world.storage.create_run(new_run())  # the id is free again
        assert (record.position, made) == (1, True)
        assert await world.streams.list_streams(RUN) == ()


async def test_a_list_of_few_matches_is_read_in_short_pages(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure_s3._catalogue._LOOKED_AT", 5)
    async with S3World(url) as world:
        async with anyio.create_task_group() as group:
            for n in range(12):
                group.start_soon(world.storage.create_run, new_run(f"run_{n:02}", created_at_ms=n))
        outcome = RunOutcome(status=RunStatus.COMPLETED, payload=None, at_ms=30)
        await world.storage.commit(commit_of(0, run_id="run_00", outcome=outcome))
        where = RunFilter(status=RunStatus.COMPLETED)
        pages: list[list[str]] = []
        cursor: str | None = None
        while True:
            page = await world.catalogue.list_runs(where, cursor=cursor)
            pages.append([record.run_id for record in page.runs])
            cursor = page.cursor
            if cursor is None:
                break
        assert pages == [[], [], ["run_00"]]
