"""What is particular to this world: URLs, conditions, parts, tokens, the due index, the sweeper."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from servers import Server, free_ports
from wrapped import Fault, wrapped_world

from perdure.abc import Capability
from perdure.errors import (
    HookNotFoundError,
    LeaseLostError,
    RunNotFoundError,
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
    Lease,
    LeaseEnd,
    NewMessage,
    NewRun,
    RunFilter,
    RunId,
    RunOutcome,
    RunStatus,
    Snapshot,
    TurnCommit,
)
from perdure.testing.clock import ManualClock, SystemClock
from perdure_s3 import S3World, sweep
from perdure_s3._head import Head
from perdure_s3._index import GUARD_MS, Item, View
from perdure_s3._runs import Txn
from perdure_s3._schema import Layout

pytestmark = pytest.mark.anyio
RUN = RunId("run_a")
LATER = timedelta(days=2)


def new_run(name: str = RUN, payload: bytes = b"\x80", created_at_ms: int = 1) -> NewRun:
    return NewRun(
        run_id=RunId(name),
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=payload,
        created_at_ms=created_at_ms,
    )


def event(key: str, size: int = 1) -> Event:
    return Event(
        type=EventType.STEP_COMPLETED,
        key=key,
        at_ms=2,
        entity=EntityId(key.partition("/")[0]),
        payload=b"p" * size,
    )


def commit_of(turn: int, position: int = 1, run_id: str = RUN, **changes: Any) -> TurnCommit:
    values: dict[str, Any] = {
        "run_id": run_id,
        "commit_id": f"c{turn}",
        "turn": turn,
        "expected_position": position,
        "consumed": position,
        "log_digest": b"d",
    }
    return TurnCommit(**{**values, **changes})


async def names(world: S3World, prefix: str = "") -> list[str]:
    return [listed.key async for listed in world._handle.cas.names(prefix)]


@pytest.mark.parametrize(
    "wrong",
    [
        "s3://",
        "s3:///prefix",
        "http://bucket/x",
        "s3://key:secret@bucket/x",
        "s3://bucket/x?shards=0",
        "s3://bucket/x?shards=many",
        "s3://bucket/x?poll=0",
        "s3://bucket/x?timeout=90",
        "s3://bucket/x?colour=red",
    ],
)
def test_a_wrong_url_says_how_to_write_it(wrong: str) -> None:
    with pytest.raises(UsageError):
        S3World(wrong)


async def test_a_closed_world_refuses_and_ends_who_waits(url: str) -> None:
    world = S3World(url)
    with pytest.raises(WorldClosedError):
        await world.storage.get_run(RUN)
    await world.open()
    await world.open()  # again is fine
    assert world.capabilities == {Capability.SHARED, Capability.DURABLE, Capability.ATOMIC_QUEUE}
    refused = anyio.Event()

    async def wait() -> None:
        with pytest.raises(WorldClosedError):
            await world.queue.claim_wakes(limit=1, visibility_ms=1, wait_ms=60_000)
        refused.set()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await world.aclose()
        with anyio.fail_after(5):
            await refused.wait()
    await world.aclose()
    with pytest.raises(WorldClosedError):
        await world.storage.create_run(new_run())


async def test_a_bucket_or_server_that_is_not_there_is_named(ministack: Server) -> None:
    with pytest.raises(WorldContractError, match="not-there"):
        await S3World(ministack.url().replace("s3://tests", "s3://not-there")).open()
    (port,) = free_ports(1)
    with pytest.raises(WorldUnavailableError, match=r"127\.0\.0\.1"):
        await S3World(f"s3://b/x?endpoint_url=http://127.0.0.1:{port}&region=r").open()


async def test_a_wrong_secret_is_an_operators_error(
    seaweed: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(WorldContractError, match="SignatureDoesNotMatch"):
        await S3World(seaweed.url()).open()


async def test_no_credentials_are_an_operators_error(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(WorldContractError, match="no credentials"):
        await S3World(url).open()


async def test_a_later_format_asks_for_an_upgrade(url: str) -> None:
    async with S3World(url) as world:
        await world._handle.cas.put(Layout.WORLD, b"\x82\x18\x63\x01")  # [99, 1]
    with pytest.raises(WorldContractError, match="upgrade perdure-s3"):
        await S3World(url).open()


class WrongClock(SystemClock):  # type: ignore[misc]  # a test's
    """A minute ahead."""

    def now_ms(self) -> int:
        return super().now_ms() + 60_000


async def test_a_clock_that_is_wrong_is_warned_of(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with S3World(url):
        assert not caplog.messages
    async with S3World(url, clock=WrongClock()):
        assert "differ by" in caplog.text


@asynccontextmanager
async def careless_server(*, heeds_none_match: bool) -> AsyncGenerator[str, None]:
    """A server that takes every PUT but, perhaps, one that must not overwrite."""
    taken: set[str] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            verb, path, _ = line.decode().split()
            headers: dict[str, str] = {}
            while (header := (await reader.readline()).decode().strip()) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            await reader.readexactly(int(headers.get("content-length", "0")))
            refused = heeds_none_match and "if-none-match" in headers and path in taken
            if verb == "PUT":
                taken.add(path)
            status = "412 Precondition Failed" if refused else "200 OK"
            writer.write(f'HTTP/1.1 {status}\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'.encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(("heeds", "ignored"), [(False, "If-None-Match"), (True, "If-Match")])
async def test_a_server_that_ignores_conditions_is_refused(heeds: bool, ignored: str) -> None:
    async with careless_server(heeds_none_match=heeds) as endpoint:
        world = S3World(f"s3://b/x?endpoint_url={endpoint}&region=r")
        with anyio.fail_after(20), pytest.raises(WorldContractError, match=f"ignores {ignored}"):
            await world.open()
        with pytest.raises(WorldClosedError):
            await world.storage.get_run(RUN)


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
        txn = Txn(RunId("run_b"), txn_head, now_ms=clock.now_ms())
        assert await world._handle.tokens.claim(txn, "t") is None
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


async def test_a_claim_for_a_run_that_is_not_there_is_doubt_until_it_is_old(url: str) -> None:
    clock = ManualClock()
    async with S3World(url, clock=clock) as world:
        txn = Txn(RunId("run_x"), None, now_ms=clock.now_ms())
        assert await world._handle.tokens.claim(txn, "t") is None
        await world.storage.create_run(new_run())
        made = commit_of(0, hooks_claimed=(HookClaim(hook_id=EntityId("hook_1"), token="t"),))
        with pytest.raises(WorldUnavailableError, match="not there yet"):
            await world.storage.commit(made)
        clock.advance(GUARD_MS)
        assert not (await world.storage.commit(made)).conflicts


async def test_a_writer_that_dies_after_its_guard_leaves_a_look_in_vain(url: str) -> None:
    """The index is written before the head: between the two nothing is lost, nothing is there."""
    clock, dying = ManualClock(), False

    def plan(number: int, verb: str, key: str) -> Fault:
        return Fault.TIMEOUT if dying and verb == "PUT" and key.endswith("/head") else Fault.NONE

    async with wrapped_world(url, plan, clock=clock) as (world, _):
        await world.storage.create_run(new_run("run_b"))
        dying = True
        with pytest.raises(WorldUnavailableError):
            await world.storage.create_run(new_run())
        dying = False
    async with S3World(url, clock=clock) as world:
        (found,) = await world.queue.claim_wakes(limit=9, visibility_ms=10 * GUARD_MS)
        assert found.run_id == "run_b"
        assert RUN in [run_id for _, run_id in world._handle.due.candidates({""})]
        clock.advance(GUARD_MS)
        await world.queue.claim_wakes(limit=9, visibility_ms=1, wait_ms=300)
        await world.settle()
        assert [run for _, run in world._handle.due.candidates({""})] == []
        with pytest.raises(RunNotFoundError):
            await world.storage.get_run(RUN)


async def test_an_append_whose_writer_dies_is_acted_on(url: str) -> None:
    """The head has the event and the wake, and whoever wrote it is gone."""
    clock = ManualClock()
    async with S3World(url, clock=clock) as world:
        await world.storage.create_run(new_run())
        (claim,) = await world.queue.claim_wakes(limit=1, visibility_ms=1000)
        await world.queue.finish(LeaseEnd(lease=claim.lease, generation=claim.generation))
        await world.settle()
        assert not world._handle.due.candidates({""})
    dead = S3World(url, clock=clock)
    await dead.open()
    await dead.storage.append(Append(run_id=RUN, event=event("step_1/end")))
    async with S3World(url, clock=clock) as world:  # the dead one neither settled nor closed
        (again,) = await world.queue.claim_wakes(limit=1, visibility_ms=1000)
        assert (again.run_id, again.attempt) == (RUN, 2)
    await dead.aclose()


async def test_what_is_due_far_ahead_is_kept_apart_and_moved_when_it_comes_near(url: str) -> None:
    clock = ManualClock()
    hour = 3_600_000
    async with S3World(url, clock=clock) as world:
        for n in range(3):
            await world.storage.create_run(new_run(f"run_{n}"))
        for claim in await world.queue.claim_wakes(limit=9, visibility_ms=1000):
            due = clock.now_ms() + 24 * hour + int(claim.run_id[4:]) * hour
            end = LeaseEnd(lease=claim.lease, generation=claim.generation, next_due_ms=due)
            await world.queue.finish(end)
        await world.settle()
        assert len(await names(world, Layout.later(0))) == 3
        assert not world._handle.due._shelves[0].items()
        clock.advance(23 * hour)
        assert not await world.queue.claim_wakes(limit=9, visibility_ms=1000)
        clock.advance(hour)
        (claim,) = await world.queue.claim_wakes(limit=9, visibility_ms=1000)
        assert claim.run_id == "run_0"
        assert len(await names(world, Layout.later(0))) == 2
    clock.advance(48 * hour)  # nobody was there for two days
    async with S3World(url, clock=clock) as world:
        claims = await world.queue.claim_wakes(limit=9, visibility_ms=1000)
        assert [one.run_id for one in claims] == ["run_0", "run_1", "run_2"]
        await world.settle()
        assert not await names(world, Layout.later(0))


async def test_an_index_on_several_shelves_holds_the_same(url: str) -> None:
    async with S3World(f"{url}&shards=4") as world:
        for n in range(12):
            await world.storage.create_run(new_run(f"run_{n:02}", created_at_ms=n + 1))
    async with S3World(f"{url}&shards=2") as world:  # what was written down counts
        assert len(world._handle.due._shelves) == 4
        assert (await world.queue.count_waiting())[""] == 12
        claims = await world.queue.claim_wakes(limit=20, visibility_ms=60_000)
        assert {claim.run_id for claim in claims} == {f"run_{n:02}" for n in range(12)}
        assert len(await names(world, Layout.DUE)) == 4


async def test_two_processes_share_the_work(url: str) -> None:
    async with S3World(url) as world, S3World(f"{url}&poll=0.2") as other:
        heard: list[str] = []

        async def wait() -> None:
            (claim,) = await other.queue.claim_wakes(limit=1, visibility_ms=1000, wait_ms=20_000)
            heard.append(claim.run_id)
            (message,) = await other.queue.claim_messages(
                ["t"], limit=1, visibility_ms=1000, wait_ms=20_000
            )
            heard.append(message.message.message_id)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await world.storage.create_run(new_run())
            await world.queue.send(
                [
                    NewMessage(
                        message_id=f"{RUN}/m", run_id=RUN, topic="t", body=b"b" * 9_000, due_ms=0
                    )
                ]
            )
        assert heard == [RUN, f"{RUN}/m"]


async def test_leases_belong_to_runs_that_are_there(url: str) -> None:
    async with S3World(url) as world:
        lease = Lease(item="run_z/m", token="x", is_wake=False, expires_at_ms=2**45)
        assert await world.queue.extend([lease], visibility_ms=1000) == ()
        with pytest.raises(LeaseLostError):
            await world.queue.finish(LeaseEnd(lease=lease))
        with pytest.raises(LeaseLostError):
            await world.queue.release(lease)


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
        txn = Txn(RunId("run_gone"), None, now_ms=1)
        assert await world._handle.tokens.claim(txn, "u") is None
        assert (await sweep(world)).orphans == 0  # all of them are young
        now = datetime.now(UTC) + LATER
        swept = await sweep(world, now=now)
        assert (swept.orphans, swept.runs, swept.rearmed) == (7, 2, 0)
        assert sorted(await names(world)) == sorted(before)
        assert (await sweep(world, now=now)).orphans == 0


BLOB = Digest("fa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8")


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
        await world.storage.commit(commit_of(0, run_id="run_11", outcome=outcome))
        where = RunFilter(status=RunStatus.COMPLETED)
        pages: list[list[str]] = []
        cursor: str | None = None
        while True:
            page = await world.catalogue.list_runs(where, cursor=cursor)
            pages.append([record.run_id for record in page.runs])
            cursor = page.cursor
            if cursor is None:
                break
        assert pages == [[], [], ["run_11"]]


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


async def test_what_is_put_right_during_a_write_is_written_after_it(url: str) -> None:
    writes: list[str] = []
    under_way, after = anyio.Event(), anyio.Event()

    def plan(number: int, verb: str, key: str) -> Fault:
        if verb != "PUT" or "/due/" not in key:
            return Fault.NONE
        writes.append(key)
        if len(writes) == 2:
            under_way.set()
        elif len(writes) == 3:
            after.set()
        return Fault.SLOW

    async with wrapped_world(url, plan) as (world, _):
        shelf = world._handle.due._shelves[0]
        item = Item("life", 1, 1, {"": 1})
        await shelf.arm("run_x", item)
        async with anyio.create_task_group() as group:
            group.start_soon(shelf.arm, "run_y", item)
            await under_way.wait()
            shelf.tidy("run_x", View("life", 1, {}), now_ms=2)
        assert set(shelf.items()) == {"run_x", "run_y"}
        with anyio.fail_after(10):
            await after.wait()  # nobody asks for it to be settled
        await world.settle()
        assert set(shelf.items()) == {"run_y"}
    assert world.statistics()["PUT"] > 3
