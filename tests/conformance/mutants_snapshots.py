"""Mutants that keep a snapshot as if its commit's turn were its own, or load what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mutants import mutant, on_commit, swap
from mutants_races import others

from perdure.model import RunId, TurnCommit
from perdure.testing.memory import MemoryWorld

__all__ = ()


@mutant
def an_earlier_snapshot_is_filed_under_its_commit(world: MemoryWorld) -> None:
    """A snapshot that a later turn's commit brings is kept as that turn's."""

    def file(commit: TurnCommit) -> TurnCommit:
        kept = commit.snapshot
        return (
            commit if kept is None else replace(commit, snapshot=replace(kept, turn=turn(commit)))
        )

    def turn(commit: TurnCommit) -> int:
        return commit.turn + 1

    on_commit(world, file)


@mutant
def an_earlier_snapshot_is_dropped(world: MemoryWorld) -> None:
    """A snapshot that a later turn's commit brings is passed over as stale."""

    def drop(commit: TurnCommit) -> TurnCommit:
        kept = commit.snapshot
        stale = kept is not None and kept.turn != commit.turn + 1
        return replace(commit, snapshot=None) if stale else commit

    on_commit(world, drop)


@mutant
def a_run_is_loaded_from_where_it_is(world: MemoryWorld) -> None:
    """The log is given above what the run has consumed, not above what its snapshot has."""

    def make(inner: Any) -> Any:
        async def load_run(run_id: RunId, *, after: int | None = None) -> Any:
            state = await inner(run_id, after=after)
            if after is not None or not state.chain:
                return state
            unseen = tuple(e for e in state.events if e.position > state.record.consumed)
            return replace(state, events=unseen)

        return load_run

    swap(world.storage, "load_run", make)


@mutant
def a_run_is_loaded_at_two_moments(world: MemoryWorld) -> None:
    """The chain is read first, and the log above it when others had their turn."""

    def make(inner: Any) -> Any:
        async def load_run(run_id: RunId, *, after: int | None = None) -> Any:
            chain = (await inner(run_id)).chain if after is None else ()
            await others()
            state = await inner(run_id, after=after)
            return state if state.record.status.is_ended else replace(state, chain=chain)

        return load_run

    swap(world.storage, "load_run", make)
