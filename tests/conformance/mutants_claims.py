"""Mutants that share claims, end those of others, or give up on what is lost again and again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mutants import mutant, on_commit, swap
from mutants_races import others

from perdure.model import Lease, LeaseEnd, TurnCommit
from perdure.testing.memory import MemoryWorld

__all__ = ()

BUDGET = 5


@mutant
def messages_become_dead_letters(world: MemoryWorld) -> None:
    """A message whose claims were lost a few times is never handed out again."""

    def make(inner: Any) -> Any:
        async def claim_messages(*topics: Any, **asked: Any) -> Any:
            stored = world._store.messages
            for name in [name for name, one in stored.items() if one.losses >= BUDGET]:
                del stored[name]
            return await inner(*topics, **asked)

        return claim_messages

    swap(world.queue, "claim_messages", make)


@mutant
def runs_become_dead_letters(world: MemoryWorld) -> None:
    """A run whose claims were lost a few times is never due again."""

    def make(inner: Any) -> Any:
        async def claim_wakes(**asked: Any) -> Any:
            for run in world._store.runs.values():
                if run.wake is not None and run.wake.claims >= BUDGET:
                    run.wake.due_ms, run.wake.lease = None, None
            return await inner(**asked)

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def fruitless_claims_uncounted(world: MemoryWorld) -> None:
    """Each claim of a wake is its first."""

    def make(inner: Any) -> Any:
        async def claim_wakes(**asked: Any) -> Any:
            return tuple(replace(claim, fruitless_claims=1) for claim in await inner(**asked))

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def message_claim_checks_then_waits(world: MemoryWorld) -> None:
    """Two that claim at once get the same message."""

    def make(inner: Any) -> Any:
        async def claim_messages(*topics: Any, **asked: Any) -> Any:
            now = world.now_ms()
            due = [m for m in world._store.messages.values() if m.is_claimable(now)]
            await others()
            for stored in due:
                stored.lease, stored.due_ms = None, now
            return await inner(*topics, **asked)

        return claim_messages

    swap(world.queue, "claim_messages", make)


@mutant
def wakes_come_early(world: MemoryWorld) -> None:
    """Runs are handed out before their timer is due."""

    def make(inner: Any) -> Any:
        async def claim_wakes(**asked: Any) -> Any:
            for run in world._store.runs.values():
                wake = run.wake
                if wake is not None and wake.due_ms is not None and wake.lease is None:
                    wake.due_ms = min(wake.due_ms, world.now_ms())
            return await inner(**asked)

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def a_commit_ends_anybodys_claim(world: MemoryWorld) -> None:
    """A commit by a lease that has run out ends the claim of who holds one now."""

    def take(commit: TurnCommit) -> TurnCommit:
        return replace(commit, leases=tuple(map(held, commit.leases)))

    def held(end: LeaseEnd) -> LeaseEnd:
        lease: Lease | None = None
        stored = world._store.messages.get(end.lease.item)
        if stored is not None and not end.lease.is_wake:
            lease = stored.lease
        return end if lease is None else replace(end, lease=lease)

    on_commit(world, take)
