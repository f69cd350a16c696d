"""Mutants that break under races, faults and cancellation: each is sound for one call at a time."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
from mutants import mutant, swap

from perdure.model import (
    Append,
    HookRecord,
    LeaseEnd,
    NewRun,
    RunId,
    RunPage,
    RunStatus,
    Snapshot,
    TurnCommit,
)
from perdure.testing.memory import MemoryWorld
from perdure.testing.memory._runs import fresh_run


async def others() -> None:
    """Let the others go first."""
    for _ in range(3):
        await anyio.lowlevel.checkpoint()


@mutant
def lost_update(world: MemoryWorld) -> None:
    """An append writes back the run as it was before it waited."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            run = world._store.runs.get(asked.run_id)
            stale = None if run is None else run.copied()
            await others()
            if stale is not None and asked.run_id in world._store.runs:
                world._store.runs[asked.run_id] = stale
            return await inner(asked)

        return append

    swap(world.storage, "append", make)


@mutant
def commit_checks_then_waits(world: MemoryWorld) -> None:
    """A commit looks at the run's turn, waits, and lands whatever the turn is by then."""

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            run = world._store.runs.get(asked.run_id)
            right = run is not None and run.record.turn == asked.turn
            await others()
            run = world._store.runs.get(asked.run_id)
            known = run is not None and run.last_commit and run.last_commit[0] == asked.commit_id
            if right and run is not None and not known and not run.record.status.is_ended:
                asked = replace(asked, turn=run.record.turn)
            return await inner(asked)

        return commit

    swap(world.storage, "commit", make)


@mutant
def delivery_checked_then_waits(world: MemoryWorld) -> None:
    """A commit looks at the log's end, waits, and lands behind what came meanwhile."""

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            run = world._store.runs.get(asked.run_id)
            right = run is not None and run.record.position <= asked.expected_position
            await others()
            return await inner(replace(asked, expected_position=10**9) if right else asked)

        return commit

    swap(world.storage, "commit", make)


@mutant
def create_checks_then_waits(world: MemoryWorld) -> None:
    """Two that create one run at once both do; the second's is kept."""

    def make(inner: Any) -> Any:
        async def create_run(new: NewRun) -> Any:
            missing = new.run_id not in world._store.runs
            await others()
            if not missing:
                return await inner(new)
            run = world._store.runs[new.run_id] = fresh_run(new, due_ms=world.now_ms())
            return run.record, True

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def claim_checks_then_waits(world: MemoryWorld) -> None:
    """Two that claim at once get the same wake."""

    def make(inner: Any) -> Any:
        async def claim_wakes(**asked: Any) -> Any:
            now = world.now_ms()
            due = [
                r.wake for r in world._store.runs.values() if r.wake and r.wake.is_claimable(now)
            ]
            await others()
            for wake in due:
                wake.lease, wake.due_ms = None, now
            return await inner(**asked)

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def token_checked_then_waits(world: MemoryWorld) -> None:
    """Two runs that claim a free token at once are both told that they have it."""

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            free = [c.token for c in asked.hooks_claimed if c.token not in world._store.hooks]
            if not free:
                return await inner(asked)
            await others()
            for token in free:
                world._store.hooks.pop(token, None)
            storage: Any = world.storage  # its private parts are what mutants change
            return storage._commit(asked)

        return commit

    swap(world.storage, "commit", make)


@mutant
def chunks_checked_then_wait(world: MemoryWorld) -> None:
    """The same write twice at once adds its chunks twice."""

    def make(inner: Any) -> Any:
        async def append(
            run_id: RunId,
            name: str,
            chunks: Any,
            *,
            writer: str,
            sequence: int,
            attempt: int = 1,
        ) -> Any:
            write = writer, attempt, sequence
            run = world._store.runs.get(run_id)
            stream = run.streams.get(name) if run else None
            new = stream is not None and write not in stream.writes
            await others()
            if new and stream is not None and not stream.closed:
                stream.writes.pop(write, None)
            return await inner(
                run_id, name, chunks, writer=writer, sequence=sequence, attempt=attempt
            )

        return append

    swap(world.streams, "append", make)


@mutant
def chain_read_torn(world: MemoryWorld) -> None:
    """A chain is read link by link, beside who writes it."""

    def make(inner: Any) -> Any:
        async def load(run_id: RunId) -> Any:
            first = await inner(run_id)
            await others()
            return (*first[:-1], *(await inner(run_id))[-1:]) if first else first

        return load

    swap(world.snapshots, "load", make)


@mutant
def newest_snapshot_by_arrival(world: MemoryWorld) -> None:
    """A save looks for a newer one, waits, and overwrites what came meanwhile."""

    def make(inner: Any) -> Any:
        async def save(run_id: RunId, snapshot: Snapshot) -> None:
            run = world._store.runs.get(run_id)
            newest = run.snapshots[-1].turn if run and run.snapshots else 0
            fits = snapshot.parent_turn is None and snapshot.turn > newest
            await others()
            if fits and run is not None and not run.record.status.is_ended:
                run.snapshots = []
            await inner(run_id, snapshot)

        return save

    swap(world.snapshots, "save", make)


@mutant
def pages_by_offset(world: MemoryWorld) -> None:
    """A list goes on after so many runs, whatever was created meanwhile."""

    def make(inner: Any) -> Any:
        async def list_runs(where: Any, *, cursor: str | None = None, limit: int = 100) -> Any:
            page = await inner(where, limit=10**6)
            start = int(cursor or 0)
            more = start + limit < len(page.runs)
            following = str(start + limit) if more else None
            return RunPage(runs=page.runs[start : start + limit], cursor=following)

        return list_runs

    swap(world.catalogue, "list_runs", make)


@mutant
def commit_lands_in_two_halves(world: MemoryWorld) -> None:
    """A commit's messages and snapshot follow its events after a wait; a cancel parts them."""

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            leased = any(message.lease_ms for message in asked.messages)
            if leased or asked.outcome is not None:
                return await inner(asked)
            run = world._store.runs.get(asked.run_id)
            done = run is not None and run.last_commit and run.last_commit[0] == asked.commit_id
            committed = await inner(replace(asked, messages=(), snapshot=None))
            if not done:
                await others()
                await world.queue.send(asked.messages)
                if asked.snapshot is not None:
                    await world.snapshots.save(asked.run_id, asked.snapshot)
            return committed

        return commit

    swap(world.storage, "commit", make)


@mutant
def intent_taken_for_done(world: MemoryWorld) -> None:
    """A commit's id is noted before it lands; cancelled between, it is answered and never lands."""
    noted: dict[str, Any] = {}

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            if asked.commit_id in noted:
                return noted[asked.commit_id]
            trial: Any = world.copy().storage  # its private parts are what mutants change
            try:
                noted[asked.commit_id] = trial._commit(asked)
            except Exception:
                return await inner(asked)
            await others()
            noted[asked.commit_id] = answer = await inner(asked)
            return answer

        return commit

    swap(world.storage, "commit", make)


@mutant
def cancellation_swallowed(world: MemoryWorld) -> None:
    """A cancelled append goes on and answers."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            try:
                return await inner(asked)
            except asyncio.CancelledError:
                return await inner(asked)

        return append

    swap(world.storage, "append", make)


@mutant
def acknowledged_before_durable(world: MemoryWorld) -> None:
    """The last commit is in a buffer that a kill takes along."""
    before: list[Any] = []

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            saved = copy.copy(world._store.runs.get(asked.run_id))
            saved = saved and saved.copied()
            answer = await inner(asked)
            before[:] = [asked.run_id, saved]
            return answer

        return commit

    def reopen(inner: Any) -> Any:
        async def open_again() -> None:
            if before and before[1] is not None:
                world._store.runs[before[0]] = before[1]
            before.clear()
            await inner()

        return open_again

    swap(world.storage, "commit", make)
    swap(world, "open", reopen)


@mutant
def repeated_commit_forgets_leases(world: MemoryWorld) -> None:
    """The same commit again answers without the leases it gave."""

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            run = world._store.runs.get(asked.run_id)
            again = run is not None and run.last_commit and run.last_commit[0] == asked.commit_id
            answer = await inner(asked)
            return replace(answer, leases=()) if again else answer

        return commit

    swap(world.storage, "commit", make)


@mutant
def repeated_create_wakes_again(world: MemoryWorld) -> None:
    """Creating a run that is there makes it due."""

    def make(inner: Any) -> Any:
        async def create_run(new: NewRun) -> Any:
            answer = await inner(new)
            run = world._store.runs[new.run_id]
            if not answer[1] and run.wake is not None:
                run.wake.arm(world.now_ms())
            return answer

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def delete_cannot_be_repeated(world: MemoryWorld) -> None:
    """Deleting a run that is gone is an error: a failed deletion is never finished."""

    def make(inner: Any) -> Any:
        async def delete_run(run_id: RunId) -> None:
            world._store.run(run_id)
            await inner(run_id)

        return delete_run

    swap(world.catalogue, "delete_run", make)


@mutant
def repeated_chunks_give_the_present_length(world: MemoryWorld) -> None:
    """A repeated write answers how long the stream is now."""

    def make(inner: Any) -> Any:
        async def append(run_id: RunId, name: str, chunks: Any, **asked: Any) -> Any:
            await inner(run_id, name, chunks, **asked)
            return len(world._store.runs[run_id].streams[name].chunks)

        return append

    swap(world.streams, "append", make)


@mutant
def a_tail_sleeps_through(world: MemoryWorld) -> None:
    """A reader that waits for a chunk hears of it when its time is up."""

    def make(inner: Any) -> Any:
        async def read(run_id: RunId, name: str, *, wait_ms: int = 0, **asked: Any) -> Any:
            page = await inner(run_id, name, **asked)
            if wait_ms and not page.chunks and not page.done:
                await anyio.sleep(wait_ms / 1000)
            return page

        return read

    swap(world.streams, "read", make)


@mutant
def waiting_does_not_wait(world: MemoryWorld) -> None:
    """Who waits for an end is told at once that there is none."""

    def make(inner: Any) -> Any:
        async def wait_ended(run_id: RunId, *, wait_ms: int) -> Any:
            return await inner(run_id, wait_ms=0)

        return wait_ended

    swap(world.storage, "wait_ended", make)


@mutant
def one_byte_over_a_chunk(world: MemoryWorld) -> None:
    """Of a snapshot one byte longer than 64 KiB the last byte is lost."""

    def make(inner: Any) -> Any:
        async def save(run_id: RunId, snapshot: Snapshot) -> None:
            if len(snapshot.data) == 65_537:
                snapshot = replace(snapshot, data=snapshot.data[:-1])
            await inner(run_id, snapshot)

        return save

    swap(world.snapshots, "save", make)


@mutant
def trailing_nul_lost(world: MemoryWorld) -> None:
    """A chunk's NULs at the end are taken for padding."""

    def make(inner: Any) -> Any:
        async def append(run_id: RunId, name: str, chunks: Any, **asked: Any) -> Any:
            return await inner(run_id, name, [c.rstrip(b"\x00") for c in chunks], **asked)

        return append

    swap(world.streams, "append", make)


@mutant
def names_folded(world: MemoryWorld) -> None:
    """Event keys are compared without their case."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            key = asked.event.key.lower()
            return await inner(replace(asked, event=replace(asked.event, key=key)))

        return append

    swap(world.storage, "append", make)


@mutant
def negative_start_off_by_one(world: MemoryWorld) -> None:
    """Counted from the end, a read begins one chunk late."""

    def make(inner: Any) -> Any:
        async def read(run_id: RunId, name: str, *, start: int = 0, **asked: Any) -> Any:
            return await inner(run_id, name, start=start + 1 if start < -1 else start, **asked)

        return read

    swap(world.streams, "read", make)


@mutant
def lost_claims_uncounted(world: MemoryWorld) -> None:
    """A claim whose lease ran out is not counted as lost."""

    def make(inner: Any) -> Any:
        async def claim_messages(*topics: Any, **asked: Any) -> Any:
            return tuple(replace(claim, losses=0) for claim in await inner(*topics, **asked))

        return claim_messages

    swap(world.queue, "claim_messages", make)


@mutant
def the_ended_go_on(world: MemoryWorld) -> None:
    """A run that has ended takes events."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            run = world._store.runs.get(asked.run_id)
            if run is None or not run.record.status.is_ended:
                return await inner(asked)
            ended, run.record = run.record, replace(run.record, status=RunStatus.RUNNING)
            try:
                return await inner(asked)
            finally:
                position = len(run.events)
                run.record = replace(ended, position=position)

        return append

    swap(world.storage, "append", make)


@mutant
def an_end_keeps_its_hooks(world: MemoryWorld) -> None:
    """The tokens of a run that completed stay taken."""

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            kept: dict[str, HookRecord] = {
                t: replace(h, keep_until_ms=2**50)
                for t, h in world._store.hooks.items()
                if h.run_id == asked.run_id
            }
            answer = await inner(asked)
            if asked.outcome is not None:
                world._store.hooks.update(kept)
            return answer

        return commit

    swap(world.storage, "commit", make)


@mutant
def a_closed_world_answers(world: MemoryWorld) -> None:
    """After ``aclose`` everything goes on."""

    def make(inner: Any) -> Any:
        async def aclose() -> None:
            await inner()
            world._handle.is_open = True

        return aclose

    swap(world, "aclose", make)


@mutant
def nothing_from_other_threads(world: MemoryWorld) -> None:
    """A commit from another thread lands, and nobody is told."""

    def make(inner: Any) -> Any:
        def untold(answer: object) -> None:
            pass

        def commit_soon(asked: TurnCommit, done: Any) -> None:
            inner(asked, untold)
            done(RuntimeError("there is no event loop in this thread"))

        return commit_soon

    swap(world.storage, "commit_soon", make)


@mutant
def anybody_ends_a_claim(world: MemoryWorld) -> None:
    """A claim is ended by whoever held one on the item before."""

    def make(inner: Any) -> Any:
        async def finish(end: LeaseEnd) -> None:
            run = world._store.runs.get(RunId(end.lease.item))
            held = run.wake.lease if end.lease.is_wake and run and run.wake else None
            stored = None if end.lease.is_wake else world._store.messages.get(end.lease.item)
            held = stored.lease if stored is not None else held
            await inner(end if held is None else replace(end, lease=held))

        return finish

    swap(world.queue, "finish", make)


@mutant
def own_token_is_a_conflict(world: MemoryWorld) -> None:
    """A run that claims a token again, for the same hook, is told that it is taken."""

    def make(inner: Any) -> Any:
        async def commit(asked: TurnCommit) -> Any:
            hooks = world._store.hooks
            own = [c.hook_id for c in asked.hooks_claimed if c.token in hooks]
            own = [h for h in own if any(r.hook_id == h for r in hooks.values())]
            answer = await inner(asked)
            return replace(answer, conflicts=(*answer.conflicts, *own))

        return commit

    swap(world.storage, "commit", make)
