"""Mutants that give up on what workers lost again and again, without a word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mutants import mutant, swap

from perdure.testing.memory import MemoryWorld

__all__ = ()

BUDGET = 5


@mutant
def messages_become_dead_letters(world: MemoryWorld) -> None:
    """A message whose claims were lost a few times is never handed out again."""

    def make(inner: Any) -> Any:
        async def claim_messages(*topics: Any, **asked: Any) -> Any:
            stored = world._store.messages
            for name in [name for name, one in stored.items() if one.lost >= BUDGET]:
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
                if run.wake is not None and run.wake.attempt >= BUDGET:
                    run.wake.due_ms, run.wake.lease = None, None
            return await inner(**asked)

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def fruitless_claims_uncounted(world: MemoryWorld) -> None:
    """Each claim of a wake is its first."""

    def make(inner: Any) -> Any:
        async def claim_wakes(**asked: Any) -> Any:
            return tuple(replace(claim, attempt=1) for claim in await inner(**asked))

        return claim_wakes

    swap(world.queue, "claim_wakes", make)
