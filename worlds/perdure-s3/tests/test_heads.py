"""A run's head, the parts beside it, and the tokens that one run has."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest
from s3_values import RUN, commit_of, event, names, new_run
from wrapped import Fault, wrapped_world

from perdure.errors import (
    HookNotFoundError,
    StaleTurnError,
    WorldContractError,
    WorldUnavailableError,
)
from perdure.model import (
    Append,
    EntityId,
    Event,
    EventType,
    HookClaim,
    RunId,
    Snapshot,
    TurnCommit,
)
from perdure.testing.clock import ManualClock
from perdure_s3 import S3World
from perdure_s3._head import Head
from perdure_s3._index import GUARD_MS
from perdure_s3._page import Page

pytestmark = pytest.mark.anyio


async def test_what_is_large_lies_beside_the_head_and_goes_when_it_is_not_named(url: str) -> None:
    async with S3World(url) as world, S3World(url) as other:
        await world.storage.create_run(new_run(payload=b"i" * 70_000))
        for n in range(300):
            await world.storage.append(Append(run_id=RUN, event=event(f"step_{n}/end", 300)))
        await world.snapshots.save(
            RUN, Snapshot(turn=1, parent_turn=None, consumed=1, data=b"a" * 40_000)
        )
        link = Snapshot(turn=2, parent_turn=1, consumed=2, data=b"b" * 10_000)
        await world.snapshots.save(RUN, link)
        await world.settle()
        parts = [name for name in await names(world) if "/part/" in name]
        kinds = sorted(name.rpartition("/")[2].partition("-")[0] for name in parts)
        assert kinds.count("keys") == 1  # earlier ones are gone
        assert kinds.count("image") == 1
        assert kinds.count("log") >= 3
        # Another process sees all of it, and knows the keys of what is in segments.
        events = await other.storage.read_events(RUN)
        assert [e.position for e in events] == list(range(1, 302))
        assert [e.event.key for e in events[1:]] == [f"step_{n}/end" for n in range(300)]
        middle = await other.storage.read_events(RUN, after=100, limit=150)
        assert middle == events[100:250]
        again = await other.storage.append(Append(run_id=RUN, event=event("step_7/end")))
        assert (again.position, again.duplicate) == (9, True)
        assert [s.data[:1] for s in await other.snapshots.load(RUN)] == [b"a", b"b"]
        root = Snapshot(turn=3, parent_turn=None, consumed=3, data=b"c")
        await other.snapshots.save(RUN, root)
        await other.settle()
        assert not [name for name in await names(world) if "image" in name]
        assert await world.snapshots.load(RUN) == (root,)


async def test_a_reader_of_an_old_head_reads_again_when_its_parts_are_gone(url: str) -> None:
    async def save(turn: int) -> None:
        image = Snapshot(turn=turn, parent_turn=None, consumed=1, data=b"%d" % turn * 40_000)
        await world.snapshots.save(RUN, image)
        await world.settle()

    async with S3World(url) as world, S3World(url) as other:
        await world.storage.create_run(new_run())
        await save(1)
        seen: list[int] = []

        async def look(head: Head) -> tuple[Snapshot, ...]:
            seen.append(head.seq)
            if len(seen) == 1:
                await save(2)  # just after the head was read
            return await other._handle.runs.parts.chain(head)

        chain = await other._handle.runs.view(RUN, look)
        assert [snapshot.turn for snapshot in chain] == [2]
        assert seen == [2, 3]


async def test_a_writer_with_an_old_head_reads_again_when_its_keys_are_gone(url: str) -> None:
    async with S3World(url) as world, S3World(url) as other:
        await world.storage.create_run(new_run(payload=b"i" * 70_000))
        await other.storage.get_run(RUN)  # the head is kept, the keys are not read
        spilling = Append(run_id=RUN, event=event("step_1/end", 70_000))
        assert (await world.storage.append(spilling)).position == 2
        await world.settle()
        again = await other.storage.append(spilling)
        assert (again.position, again.duplicate) == (2, True)


@pytest.mark.parametrize("where", ["/due/", "/str/", "/tok/"])
async def test_an_object_that_cannot_be_written_fails_the_call_and_no_later_one(
    url: str, where: str
) -> None:
    away = False

    def plan(number: int, verb: str, key: str) -> Fault:
        return Fault.TIMEOUT if away and verb == "PUT" and where in key else Fault.NONE

    async with wrapped_world(url, plan) as (world, _):
        await world.storage.create_run(new_run())
        claim = HookClaim(hook_id=EntityId("hook_1"), token="t")
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "/due/": lambda: world.storage.create_run(new_run("run_b")),
            "/str/": lambda: world.streams.append(RUN, "s", [b"x"], writer="w", sequence=0),
            "/tok/": lambda: world.storage.commit(commit_of(0, hooks_claimed=(claim,))),
        }
        away = True
        with anyio.fail_after(20), pytest.raises(WorldUnavailableError):
            await calls[where]()
        away = False
        await calls[where]()
        assert await world.queue.claim_wakes(limit=9, visibility_ms=1000)


async def test_a_part_that_the_store_lost_is_a_broken_promise(url: str) -> None:
    async with S3World(url) as world:
        await world.storage.create_run(new_run(payload=b"i" * 70_000))
        (log,) = [name for name in await names(world) if "/part/log" in name]
        await world._handle.cas.remove(log)
        with pytest.raises(WorldContractError, match="part of it is missing"):
            await world.storage.read_events(RUN)


async def test_many_writers_of_one_run_share_few_writes(url: str) -> None:
    async with wrapped_world(url) as (world, client):
        await world.storage.create_run(new_run())
        await world.settle()
        before = client.requests["PUT"]
        positions: list[int] = []

        async def append(n: int) -> None:
            done = await world.storage.append(Append(run_id=RUN, event=event(f"step_{n}/end")))
            positions.append(done.position)

        async with anyio.create_task_group() as group:
            for n in range(100):
                group.start_soon(append, n)
        assert sorted(positions) == list(range(2, 102))
        assert client.requests["PUT"] - before < 10


async def test_one_of_many_runs_gets_a_token_and_a_dead_claim_bars_nobody_for_long(
    url: str,
) -> None:
    claim = (HookClaim(hook_id=EntityId("hook_1"), token="t"),)
    created = Event(
        type=EventType.HOOK_CREATED, key="hook_1/created", at_ms=1, entity=EntityId("hook_1")
    )
    async with S3World(url) as world, S3World(url) as other:
        won: list[str] = []

        async def run(name: str, where: S3World) -> None:
            await where.storage.create_run(new_run(name))
            with anyio.fail_after(60):
                while True:
                    try:
                        done = await where.storage.commit(
                            commit_of(0, run_id=name, events=(created,), hooks_claimed=claim)
                        )
                        break
                    except WorldUnavailableError:  # doubt; the same may be asked again
                        continue
            if not done.conflicts:
                won.append(name)

        async with anyio.create_task_group() as group:
            for n in range(6):
                group.start_soon(run, f"run_{n}", (world, other)[n % 2])
        assert len(won) == 1
        assert (await world.storage.get_hook("t")).run_id == won[0]


async def test_a_claim_whose_commit_never_came_is_taken_over(url: str) -> None:
    """A run that claimed a token and then did not land it loses it to who asks next."""
    claim = (HookClaim(hook_id=EntityId("hook_1"), token="t"),)
    clock = ManualClock()
    async with S3World(url, clock=clock) as world:
        await world.storage.create_run(new_run("run_b"))
        txn_head = await world._handle.runs.get(RunId("run_b"))
        # run_b dies between its claim and its commit
        page = Page(RunId("run_b"), txn_head, now_ms=clock.now_ms())
        assert await world._handle.tokens.claim(page, "t") is None
        with pytest.raises(HookNotFoundError):
            await world.storage.get_hook("t")
        await world.storage.create_run(new_run("run_c"))
        done = await world.storage.commit(commit_of(0, run_id="run_c", hooks_claimed=claim))
        assert not done.conflicts
        assert (await world.storage.get_hook("t")).run_id == "run_c"
        # What run_b had in hand cannot land any more: its head was written again.
        assert (await world._handle.runs.get(RunId("run_b"))).etag != txn_head.etag
        late = await world.storage.commit(
            commit_of(
                0, run_id="run_b", hooks_claimed=(HookClaim(hook_id=EntityId("h"), token="t"),)
            )
        )
        assert late.conflicts == ("h",)


@pytest.mark.parametrize("keyed", [False, True], ids=["commit", "start"])
async def test_a_claim_for_a_run_that_is_not_there_is_doubt_until_it_is_old(
    url: str, monkeypatch: pytest.MonkeyPatch, keyed: bool
) -> None:
    """Its creator is waited for; one that died bars neither a turn nor a start for long."""
    monkeypatch.setattr("perdure_s3._hooks._CREATION", 0.1)
    clock = ManualClock()
    async with S3World(url, clock=clock) as world:
        page = Page(RunId("run_x"), None, now_ms=clock.now_ms())
        assert await world._handle.tokens.claim(page, "t") is None
        claim = HookClaim(hook_id=EntityId("hook_0"), token="t")

        async def ask() -> None:
            if keyed:
                await world.storage.create_run(replace(new_run("run_k"), hook=claim))
            else:
                commit = commit_of(0, hooks_claimed=(claim,))
                assert not (await world.storage.commit(commit)).conflicts

        await world.storage.create_run(new_run())
        with pytest.raises(WorldUnavailableError, match="not there yet"):
            await ask()
        clock.advance(GUARD_MS)
        await ask()
        assert (await world.storage.get_hook("t")).run_id == ("run_k" if keyed else "run_a")


def refused_claim() -> tuple[tuple[HookClaim], TurnCommit]:
    """A claim of a token, and a commit with it that would make its run and is refused."""
    claim = (HookClaim(hook_id=EntityId("hook_1"), token="t"),)
    again = Event(type=EventType.RUN_CREATED, key="run/created", at_ms=2)
    made = new_run("run_b")
    return claim, commit_of(0, run_id="run_b", new=made, deliveries=(again,), hooks_claimed=claim)


async def test_a_refused_commit_leaves_its_tokens_free(url: str) -> None:
    """Though the run that it would have made is not there to be asked."""
    claim, refused = refused_claim()
    async with S3World(url) as world:
        await world.storage.create_run(new_run())
        with pytest.raises(StaleTurnError):
            await world.storage.commit(refused)
        assert not (await world.storage.commit(commit_of(0, hooks_claimed=claim))).conflicts


async def test_a_refused_commit_does_not_free_what_another_of_its_run_claimed(url: str) -> None:
    """A write that another process has under way may hold the token."""
    claim, refused = refused_claim()
    async with S3World(url) as world, S3World(url) as other:
        await world.storage.create_run(new_run())
        page = Page(RunId("run_b"), None, now_ms=world._handle.now_ms())
        assert await other._handle.tokens.claim(page, "t") is None
        with pytest.raises(StaleTurnError):
            await world.storage.commit(refused)
        with pytest.raises(WorldUnavailableError, match="not there yet"):
            await world.storage.commit(commit_of(0, hooks_claimed=claim))
