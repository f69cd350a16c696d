"""Bytes, waiting, and remains of ended runs: promises that one scenario shows best."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import anyio

from ..._core.stream_log import fitting
from ..._model.commit import Append
from ..._model.events import EventType
from ..._model.hooks import HookClaim
from ..._model.ids import Digest, EntityId, RunId
from ..._model.queue import NewMessage
from ..._model.runs import RunOutcome, RunStatus
from ..._model.snapshot import Snapshot
from ..._model.streams import PAGE_BYTES
from ...abc import World
from ...errors import BlobNotFoundError, HookNotFoundError, RunEndedError, RunNotFoundError
from ._case import RUN, SECRET, Case, append_of, commit_of, event_of, expect, named, new_run

__all__ = ("BYTES",)

KIB, MIB = 1 << 10, 1 << 20
LIMITS = (255, 256, 4 * KIB, 16 * KIB, 64 * KIB, 255 * KIB, 256 * KIB, MIB)
LARGE = (2 * MIB, 4 * MIB, 5 * MIB, 8 * MIB, 16_000_000 - 1)  # and one byte over each
WAIT_MS = 30_000
OVER_BSON = 16 * MIB + 1  # for what no world may keep in one document


def pattern(size: int) -> bytes:
    """Bytes that no text codec and no repeated block leaves as they are."""
    if size < 64:
        return (b"\x00\xff\xc3\x28a" * 13)[:size]
    block = hashlib.sha256(b"%d" % size).digest()
    return (b"\x00\xff\xc3\x28" + block * (size // len(block) + 1))[: size - 1] + b"\x00"


async def bytes_are_exact(case: Case) -> None:
    """Payloads, snapshots, chunks and blobs of every size come back as they went in."""
    sizes = [0, 1, *(limit + 1 for limit in LIMITS)]
    if case.thorough:
        sizes += [limit + 1 for limit in LARGE]
    async with case.open() as world:
        async with anyio.create_task_group() as group:
            for size in sizes:
                group.start_soon(_come_back, world, RunId(f"run_{size}"), pattern(size))
        whole = LIMITS if case.thorough else (LIMITS[case.seed % len(LIMITS)],)
        for size in whole:
            await _come_back(world, RunId(f"run_at_{size}"), pattern(size))


async def _come_back(world: World, run_id: RunId, data: bytes) -> None:
    size = len(data)
    await world.storage.create_run(new_run(run_id, data))
    (created,) = await world.storage.read_events(run_id)
    expect(created.event.payload == data, f"a payload of {size} bytes is exact")
    await world.streams.append(run_id, "s", [data, b""], writer="w", sequence=0)
    page = await world.streams.read(run_id, "s")
    expect(page.chunks[:1] == (data,), f"a chunk of {size} bytes is exact")
    expect(len(page.chunks) == (1 if size > PAGE_BYTES else 2), "a page has bytes up to its limit")
    await _images_come_back(world, run_id, data)


async def _images_come_back(world: World, run_id: RunId, data: bytes) -> None:
    size = len(data)
    snapshot = Snapshot(turn=1, parent_turn=None, consumed=1, data=data)
    await world.storage.commit(commit_of(0, run_id=run_id, snapshot=snapshot))
    expect(
        await world.snapshots.load(run_id) == (snapshot,),
        f"a snapshot of {size} bytes in a commit is exact",
    )
    link = Snapshot(turn=2, parent_turn=1, consumed=1, data=data)
    await world.snapshots.save(run_id, link)
    chain = await world.snapshots.load(run_id)
    expect(chain == (snapshot, link), f"a saved snapshot of {size} bytes is exact")
    digest = Digest(hashlib.sha256(data).hexdigest())
    await world.blobs.put(digest, data)
    expect(await world.blobs.get(digest) == data, f"a blob of {size} bytes is exact")


async def images_pass_sixteen_megabytes(case: Case) -> None:
    """A snapshot or blob may be larger than any document a store takes."""
    if not case.thorough:
        case.notes.append("in the full tier only")
        return
    async with case.open() as world:
        await world.storage.create_run(new_run())
        await _images_come_back(world, RUN, pattern(OVER_BSON))


async def pages_are_bounded(case: Case) -> None:
    """A page of a stream ends before the chunk with which it would have too many bytes."""
    third = PAGE_BYTES // 3
    sizes = [1, third, third, third, 5, PAGE_BYTES + 1, 0, 3, PAGE_BYTES, 1, 2 * third, third + 9]
    chunks = [pattern(size) for size in sizes]
    async with case.open() as world:
        await world.storage.create_run(new_run())
        cuts = ((0, 2), (2, 3), (3, 8), (8, 12))
        for n, (first, end) in enumerate(cuts):
            await world.streams.append(RUN, "s", chunks[first:end], writer="w", sequence=n)
        await world.streams.close(RUN, "s")
        for start in range(len(chunks) + 1):
            page = await world.streams.read(RUN, "s", start=start)
            wanted = fitting(chunks[start:])
            expect(page.chunks == wanted, f"a page from index {start} has bytes up to its limit")
            expect(page.done == (start + len(wanted) == len(chunks)), "the last page says so")
        page = await world.streams.read(RUN, "s", start=1, limit=2)
        expect(page.chunks == tuple(chunks[1:3]), "and no more chunks than its limit")


async def text_is_exact(case: Case) -> None:
    """Names, keys and attributes are any text: accents, quotes, slashes, dots, dollars."""
    odd = "é '\"$set.a/../%2e\U0001f600"
    async with case.open() as world:
        attributes = {odd: odd, "a.b": "$"}
        await world.storage.create_run(new_run(attributes=attributes, idempotency_key=odd))
        record = await world.storage.get_run(RUN)
        expect(record.attributes == attributes, "attributes are exact")
        expect(record.idempotency_key == odd, "an idempotency key is exact")
        expect(record.secret == SECRET, "a secret is exact")
        expect(record.base_url == "https://host/é", "a base url is exact")
        await world.storage.append(append_of(f"step_1/{odd}"))
        again = await world.storage.append(append_of(f"step_1/{odd}"))
        expect(again.duplicate and again.position == 2, "a key is compared exactly")
        other = await world.storage.append(append_of(f"step_1/{odd}".upper()))
        expect(not other.duplicate, "keys differ by case")
        await world.streams.append(RUN, odd, [b"x"], writer=odd, sequence=0)
        (info,) = await world.streams.list_streams(RUN)
        expect(info.name == odd, "a stream's name is exact")


async def waiting_ends(case: Case) -> None:
    """A wait for a wake, a message, a chunk or an end hears of it before the time is up."""
    async with case.open() as world:
        await world.storage.create_run(new_run())
        await world.settle()
        (claim,) = await world.queue.claim_wakes(limit=1, visibility_ms=60_000)
        names: list[str] = []
        three = anyio.Event()  # the message, the chunk and the wake: the end comes after them

        async def wait(what: str, call: Callable[[], Awaitable[object]]) -> None:
            expect(bool(await call()), f"waiting for {what} ends with it")
            names.append(what)
            if len(names) == 3:
                three.set()

        queue, streams = world.queue, world.streams
        waits: dict[str, Callable[[], Awaitable[object]]] = {
            "a message": lambda: queue.claim_messages(
                ["t"], limit=1, visibility_ms=1000, wait_ms=WAIT_MS
            ),
            "a wake": lambda: queue.claim_wakes(limit=1, visibility_ms=1000, wait_ms=WAIT_MS),
            "a chunk": lambda: _chunks(world),
            "an end": lambda: _ended(world),
        }
        with anyio.fail_after(WAIT_MS / 3000):
            async with anyio.create_task_group() as group:
                for what, call in waits.items():
                    group.start_soon(wait, what, call)
                await anyio.sleep(0.05)  # for all of them to wait, so far as that can be known
                await streams.append(RUN, "s", [b"x"], writer="w", sequence=0)
                message = NewMessage(
                    message_id="run_a/m", run_id=RUN, topic="t", body=b"", due_ms=0
                )
                await queue.send([message])
                await world.storage.create_run(new_run("run_b"))
                await three.wait()
                outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"r", at_ms=3)
                await world.storage.commit(commit_of(0, outcome=outcome))
        expect(claim.run_id == RUN and len(names) == 4, "everybody heard")


async def _chunks(world: World) -> object:
    return (await world.streams.read(RUN, "s", wait_ms=WAIT_MS)).chunks


async def _ended(world: World) -> bool:
    return (await world.storage.wait_ended(RUN, wait_ms=WAIT_MS)).status.is_ended


async def an_end_frees_what_the_run_held(case: Case) -> None:
    """Tokens are free after their disposal and after any end; an ended run absorbs nothing."""
    async with case.open() as world:
        for n, how in enumerate(("released", "disposed", "cancelled", "completed")):
            run_id = RunId(f"run_{n}")
            await world.storage.create_run(new_run(run_id))
            await _hold(world, run_id, 0)
            await _free(world, run_id, how)
            try:
                await world.storage.get_hook("t")
            except HookNotFoundError:
                pass
            else:
                raise AssertionError(f"a token is free once its hook or run is {how}")
            if how in ("cancelled", "completed"):
                await _absorbs_nothing(world, run_id)
        await world.storage.create_run(new_run("run_z"))
        conflicts = await _hold(world, RunId("run_z"), 0)
        expect(not conflicts, "a freed token can be claimed by another run")


async def _hold(world: World, run_id: RunId, turn: int) -> object:
    message = NewMessage(message_id=f"{run_id}/m", run_id=run_id, topic="t", body=b"", due_ms=0)
    commit = commit_of(
        turn,
        run_id=run_id,
        events=(event_of("hook_1/created", EventType.HOOK_CREATED),),
        hooks_claimed=(HookClaim(hook_id=EntityId("hook_1"), token="t"),),
        messages=(message,),
    )
    return (await world.storage.commit(commit)).conflicts


async def _free(world: World, run_id: RunId, how: str) -> None:
    if how == "released":
        released = (EntityId("hook_1"),)
        await world.storage.commit(commit_of(1, run_id=run_id, hooks_released=released))
    elif how == "completed":
        outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"r", at_ms=3)
        await world.storage.commit(commit_of(1, run_id=run_id, outcome=outcome))
    else:
        of_run = how == "cancelled"
        kind = EventType.RUN_CANCELLED if of_run else EventType.HOOK_DISPOSED
        event = event_of("run/ended" if of_run else "hook_1/end", kind)
        await world.storage.append(Append(run_id=run_id, event=event))


async def _absorbs_nothing(world: World, run_id: RunId) -> None:
    before = await world.storage.read_events(run_id)
    for call in (
        lambda: world.storage.append(append_of("step_7/end", run_id)),
        lambda: world.storage.commit(commit_of(2, run_id=run_id)),
    ):
        try:
            await call()
        except RunEndedError:
            continue
        raise AssertionError("an ended run absorbs nothing")
    snapshot = Snapshot(turn=9, parent_turn=None, consumed=1, data=b"late")
    await world.snapshots.save(run_id, snapshot)
    await world.queue.wake(run_id, due_ms=0)
    await world.settle()
    expect(snapshot not in await world.snapshots.load(run_id), "an ended run keeps no snapshot")
    expect(await world.storage.read_events(run_id) == before, "an ended run's log is as it was")
    wakes = await world.queue.claim_wakes(limit=99, visibility_ms=1)
    expect(run_id not in [wake.run_id for wake in wakes], "an ended run is never due")
    claims = await world.queue.claim_messages(["t"], limit=99, visibility_ms=1)
    run_ids = [claim.message.run_id for claim in claims]
    expect(run_id not in run_ids, "an ended run's messages are dropped")


async def deleting_leaves_nothing(case: Case) -> None:
    """A run made anew under a deleted one's id finds nothing of it."""
    async with case.open() as world:
        digest = Digest(hashlib.sha256(b"x").hexdigest())
        bundle = Digest(hashlib.sha256(b"bundle").hexdigest())
        await world.blobs.put(bundle, b"bundle")
        for _ in range(2):
            _, is_new = await world.storage.create_run(new_run())
            expect(is_new, "a deleted run's id is free")
            appended = await world.storage.append(append_of())
            expect(not appended.duplicate, "a deleted run's keys are free")
            expect(await world.streams.list_streams(RUN) == (), "no stream is left behind")
            expect(await world.snapshots.load(RUN) == (), "no snapshot is left behind")
            try:
                await world.blobs.get(digest, run_id=RUN)
            except BlobNotFoundError:
                pass
            else:
                raise AssertionError("no payload blob is left behind")
            length = await world.streams.append(RUN, "s", [b"x"], writer="w", sequence=0)
            expect(length == 1, "a deleted run's streams begin anew")
            snapshot = Snapshot(turn=1, parent_turn=None, consumed=1, data=b"heap")
            await world.storage.commit(commit_of(0, expected_position=2, snapshot=snapshot))
            await world.blobs.put(digest, b"x", run_id=RUN)
            cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
            await world.storage.append(Append(run_id=RUN, event=cancelled, wake=False))
            await world.catalogue.delete_run(RUN)
            await world.catalogue.delete_run(RUN)  # an unknown run is fine
            expect(await world.blobs.has(bundle), "a blob that is no run's stays")
            try:
                await world.storage.get_run(RUN)
            except RunNotFoundError:
                continue
            raise AssertionError("a deleted run is gone")


BYTES = named(
    bytes_are_exact,
    images_pass_sixteen_megabytes,
    pages_are_bounded,
    text_is_exact,
    waiting_ends,
    an_end_frees_what_the_run_held,
    deleting_leaves_nothing,
)
