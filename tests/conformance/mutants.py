"""Mutants: memory worlds that break one promise each. The conformance kit must tell every one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

from perdure.model import (
    Append,
    Event,
    EventType,
    Lease,
    LeaseEnd,
    RunId,
    RunPage,
    Snapshot,
    TurnCommit,
)
from perdure.testing.memory import MemoryWorld

__all__ = ("MUTANTS",)

Mutate: TypeAlias = Callable[[MemoryWorld], None]
MUTANTS: dict[str, Mutate] = {}


def mutant(function: Mutate) -> Mutate:
    """Register it under its name."""
    MUTANTS[function.__name__.replace("_", " ")] = function
    return function


def swap(target: Any, name: str, make: Callable[[Any], Callable[..., Awaitable[Any]]]) -> None:
    """Replace a method of one world's object."""
    setattr(target, name, make(getattr(target, name)))


def on_commit(world: MemoryWorld, change: Callable[[TurnCommit], TurnCommit]) -> None:
    """Change every commit on its way in."""
    storage: Any = world.storage  # its private parts are what mutants change
    inner = storage._commit

    def changed(commit: TurnCommit) -> Any:
        return inner(change(commit))

    storage._commit = changed


@mutant
def no_fencing(world: MemoryWorld) -> None:
    """A stale turn number is let through."""

    def now(commit: TurnCommit) -> TurnCommit:
        run = world._store.runs.get(commit.run_id)
        return commit if run is None else replace(commit, turn=run.record.turn)

    on_commit(world, now)


@mutant
def commit_takes_a_run_over(world: MemoryWorld) -> None:
    """A commit that creates its run is let through though the run is there."""

    def forget(commit: TurnCommit) -> TurnCommit:
        there = commit.run_id in world._store.runs
        return replace(commit, new=None) if there else commit

    on_commit(world, forget)


@mutant
def deliveries_behind_unseen_events(world: MemoryWorld) -> None:
    """A commit with deliveries lands behind events that its guest has not seen."""
    on_commit(world, lambda commit: replace(commit, expected_position=10**9))


@mutant
def commit_forgets_the_snapshot(world: MemoryWorld) -> None:
    """The commit lands without its snapshot."""
    on_commit(world, lambda commit: replace(commit, snapshot=None))


@mutant
def commit_forgets_a_message(world: MemoryWorld) -> None:
    """The last message of a commit is lost."""
    on_commit(world, lambda commit: replace(commit, messages=commit.messages[:-1]))


@mutant
def commit_forgets_the_timer(world: MemoryWorld) -> None:
    """A commit does not arm the wake."""
    on_commit(world, lambda commit: replace(commit, wake_at_ms=None))


@mutant
def commit_keeps_its_leases(world: MemoryWorld) -> None:
    """A commit does not end leases."""
    on_commit(world, lambda commit: replace(commit, leases=()))


@mutant
def commit_keeps_released_hooks(world: MemoryWorld) -> None:
    """A disposed hook's token stays taken."""
    on_commit(world, lambda commit: replace(commit, hooks_released=()))


@mutant
def commit_loses_an_event(world: MemoryWorld) -> None:
    """The last event of a commit is lost."""
    on_commit(world, lambda commit: replace(commit, events=commit.events[:-1]))


@mutant
def commit_reorders_events(world: MemoryWorld) -> None:
    """Events come before the deliveries."""
    on_commit(
        world,
        lambda c: (
            replace(c, deliveries=(), events=(*c.events, *c.deliveries)) if c.outcome is None else c
        ),
    )


@mutant
def commit_is_not_idempotent(world: MemoryWorld) -> None:
    """The same commit id again is a new commit."""
    count = iter(range(10**9))
    on_commit(world, lambda c: replace(c, commit_id=f"{c.commit_id}/{next(count)}"))


@mutant
def token_stolen(world: MemoryWorld) -> None:
    """A token that another run holds goes to the last who asks."""

    def steal(commit: TurnCommit) -> TurnCommit:
        for claim in commit.hooks_claimed:
            world._store.hooks.pop(claim.token, None)
        return commit

    on_commit(world, steal)


@mutant
def utf8_mangled(world: MemoryWorld) -> None:
    """Payloads go through text."""

    def mangle(commit: TurnCommit) -> TurnCommit:
        return replace(commit, events=tuple(map(mangled, commit.events)))

    def mangled(event: Event) -> Event:
        payload = event.payload
        return event if payload is None else replace(event, payload=through_text(payload))

    on_commit(world, mangle)

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            return await inner(replace(asked, event=mangled(asked.event)))

        return append

    swap(world.storage, "append", make)


def through_text(data: bytes) -> bytes:
    return data.decode("utf-8", "ignore").encode()


@mutant
def append_swallows_the_wake(world: MemoryWorld) -> None:
    """An appended event does not make its run due."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            return await inner(replace(asked, wake=False))

        return append

    swap(world.storage, "append", make)


@mutant
def append_ignores_its_lease(world: MemoryWorld) -> None:
    """A stale lease's holder may append."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            return await inner(replace(asked, lease=None))

        return append

    swap(world.storage, "append", make)


@mutant
def append_writes_duplicates(world: MemoryWorld) -> None:
    """A key that is there already is written again."""
    count = iter(range(10**9))

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            event = replace(asked.event, key=f"{asked.event.key}/{next(count)}")
            return await inner(replace(asked, event=event))

        return append

    swap(world.storage, "append", make)


@mutant
def reading_skips_one(world: MemoryWorld) -> None:
    """Reading after a position leaves out the next event."""

    def make(inner: Any) -> Any:
        async def read_events(run_id: RunId, *, after: int = 0, limit: int = 1000) -> Any:
            return await inner(run_id, after=after + 1 if after else 0, limit=limit)

        return read_events

    swap(world.storage, "read_events", make)


@mutant
def reading_is_stale(world: MemoryWorld) -> None:
    """A run's record is what it was when first read."""
    seen: dict[RunId, Any] = {}

    def make(inner: Any) -> Any:
        async def get_run(run_id: RunId) -> Any:
            if run_id not in seen:
                seen[run_id] = await inner(run_id)
            return seen[run_id]

        return get_run

    swap(world.storage, "get_run", make)


@mutant
def create_overwrites(world: MemoryWorld) -> None:
    """The same id with another input is taken for the same run."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            found = world._store.runs.get(new.run_id)
            if found is not None:
                return found.record, False
            return await inner(new)

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def early_delivery(world: MemoryWorld) -> None:
    """Messages are handed out before they are due."""

    def make(inner: Any) -> Any:
        async def send(messages: Any) -> None:
            await inner([replace(message, due_ms=0) for message in messages])

        return send

    swap(world.queue, "send", make)


@mutant
def duplicate_dispatch(world: MemoryWorld) -> None:
    """A claimed wake can be claimed again."""

    def make(inner: Any) -> Any:
        async def claim_wakes(**asked: Any) -> Any:
            claims = await inner(**asked)
            for claim in claims:
                wake = world._store.runs[claim.run_id].wake
                if wake is not None:
                    wake.lease, wake.due_ms = None, 0
            return claims

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def wake_swallowed_in_a_claim(world: MemoryWorld) -> None:
    """A wake that comes while the run is claimed is lost."""

    def make(inner: Any) -> Any:
        async def wake(run_id: RunId, *, due_ms: int) -> None:
            run = world._store.runs.get(run_id)
            if run is None or run.wake is None or run.wake.lease is None:
                await inner(run_id, due_ms=due_ms)

        return wake

    swap(world.queue, "wake", make)


@mutant
def attempts_start_anew(world: MemoryWorld) -> None:
    """A message's attempts are forgotten when it is given back."""

    def make(inner: Any) -> Any:
        async def release(lease: Lease, **asked: Any) -> None:
            await inner(lease, **asked)
            stored = world._store.messages.get(lease.item)
            if stored is not None:
                stored.claims = 0

        return release

    swap(world.queue, "release", make)


@mutant
def returned_is_not_counted(world: MemoryWorld) -> None:
    """Claims given back unrun count as executions."""

    def make(inner: Any) -> Any:
        async def release(lease: Lease, *, delay_ms: int = 0, ran: bool = False) -> None:
            await inner(lease, delay_ms=delay_ms, ran=True)

        return release

    swap(world.queue, "release", make)


@mutant
def generation_ignored(world: MemoryWorld) -> None:
    """Ending a claim forgets what its run was woken for meanwhile."""

    def make(inner: Any) -> Any:
        async def finish(end: LeaseEnd) -> None:
            await inner(replace(end, generation=10**9) if not end.lease.is_wake else end)
            run = world._store.runs.get(RunId(end.lease.item))
            if end.lease.is_wake and run is not None and run.wake is not None:
                run.wake.due_ms = end.next_due_ms

        return finish

    swap(world.queue, "finish", make)


@mutant
def extend_revives(world: MemoryWorld) -> None:
    """A lease that has run out can be renewed."""

    def make(inner: Any) -> Any:
        async def extend(leases: Any, *, visibility_ms: int) -> Any:
            until = world.now_ms() + visibility_ms
            return tuple(replace(lease, expires_at_ms=until) for lease in leases)

        return extend

    swap(world.queue, "extend", make)


@mutant
def older_snapshot_wins(world: MemoryWorld) -> None:
    """A snapshot overwrites a newer one."""

    def make(inner: Any) -> Any:
        async def save(run_id: RunId, snapshot: Snapshot) -> None:
            run = world._store.runs.get(run_id)
            if run is not None and not run.record.status.is_ended:
                run.snapshots = [snapshot]

        return save

    swap(world.snapshots, "save", make)


@mutant
def broken_chain(world: MemoryWorld) -> None:
    """A link is added though its parent is not the newest."""

    def make(inner: Any) -> Any:
        async def save(run_id: RunId, snapshot: Snapshot) -> None:
            run = world._store.runs.get(run_id)
            newest = run.snapshots[-1].turn if run and run.snapshots else None
            if newest is not None and snapshot.parent_turn is not None:
                snapshot = replace(snapshot, parent_turn=newest)
            await inner(run_id, snapshot)

        return save

    swap(world.snapshots, "save", make)


@mutant
def chunks_repeated(world: MemoryWorld) -> None:
    """The same write again adds its chunks again."""
    count = iter(range(10**9))

    def make(inner: Any) -> Any:
        async def append(run_id: RunId, name: str, chunks: Any, **asked: Any) -> Any:
            return await inner(run_id, name, chunks, writer=f"w{next(count)}", sequence=0)

        return append

    swap(world.streams, "append", make)


@mutant
def closed_streams_take_more(world: MemoryWorld) -> None:
    """Closing a stream does nothing."""

    def make(inner: Any) -> Any:
        async def close(run_id: RunId, name: str, **asked: Any) -> None:
            world._store.run(run_id)

        return close

    swap(world.streams, "close", make)


@mutant
def live_runs_are_deleted(world: MemoryWorld) -> None:
    """Deleting does not ask whether the run has ended."""

    def make(inner: Any) -> Any:
        async def delete_run(run_id: RunId) -> None:
            world._store.runs.pop(run_id, None)

        return delete_run

    swap(world.catalogue, "delete_run", make)


@mutant
def orphans_left(world: MemoryWorld) -> None:
    """A deleted run's blobs stay."""

    def make(inner: Any) -> Any:
        async def delete_run(run_id: RunId) -> None:
            kept = dict(world._store.blobs)
            await inner(run_id)
            world._store.blobs.update(kept)

        return delete_run

    swap(world.catalogue, "delete_run", make)


@mutant
def lists_begin_with_the_oldest(world: MemoryWorld) -> None:
    """Runs are listed in rising order of creation."""

    def make(inner: Any) -> Any:
        async def list_runs(where: Any, *, cursor: str | None = None, limit: int = 100) -> Any:
            if limit < 1 or not (cursor or "0").isdecimal():
                return await inner(where, cursor=cursor, limit=limit)
            page, start = await inner(where, limit=10**6), int(cursor or 0)
            following = str(start + limit) if start + limit < len(page.runs) else None
            return RunPage(runs=page.runs[::-1][start : start + limit], cursor=following)

        return list_runs

    swap(world.catalogue, "list_runs", make)


@mutant
def retention_takes_too_many(world: MemoryWorld) -> None:
    """Purging does not look at when a run ended."""

    def make(inner: Any) -> Any:
        async def purge(*, ended_before_ms: int, limit: int = 100) -> Any:
            return await inner(ended_before_ms=10**18, limit=limit)

        return purge

    swap(world.catalogue, "purge", make)


@mutant
def cancelling_keeps_hooks(world: MemoryWorld) -> None:
    """A cancelled run's tokens stay taken."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            kept = {t: replace(h, keep_until_ms=2**50) for t, h in world._store.hooks.items()}
            answer = await inner(asked)
            if asked.event.type is EventType.RUN_CANCELLED:
                world._store.hooks.update(kept)
            return answer

        return append

    swap(world.storage, "append", make)
