"""Mutants that break a promise about runs that start and watch others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mutants import mutant, on_commit, swap

from perdure.errors import RunWatchedError
from perdure.model import Append, EventType, RunId, TurnCommit
from perdure.testing.memory import MemoryWorld
from perdure.testing.memory._runs import create_run
from perdure.worldkit.pure import watch_fence

__all__ = ()


@mutant
def children_are_not_created(world: MemoryWorld) -> None:
    """A turn's starts are in the log alone."""
    on_commit(world, lambda commit: replace(commit, starts=()))


@mutant
def an_end_starts_nothing(world: MemoryWorld) -> None:
    """A run that ends does not start what its last turn asks for."""

    def forget(commit: TurnCommit) -> TurnCommit:
        return commit if commit.outcome is None else replace(commit, starts=())

    on_commit(world, forget)


@mutant
def children_sleep(world: MemoryWorld) -> None:
    """A child is created, and due never."""
    _after_commit(world, _put_children_to_sleep)


def _put_children_to_sleep(world: MemoryWorld, commit: TurnCommit) -> None:
    for start in commit.starts:
        run = world._store.runs.get(start.new.run_id)
        if run is not None and run.wake is not None:
            run.wake.due_ms = None


@mutant
def starts_are_not_answered(world: MemoryWorld) -> None:
    """A start that asks hears nothing unless it is refused."""

    def hush(commit: TurnCommit) -> TurnCommit:
        return replace(commit, starts=tuple(replace(one, asks=False) for one in commit.starts))

    on_commit(world, hush)


@mutant
def a_child_takes_a_held_token(world: MemoryWorld) -> None:
    """A keyed start takes its token from the run that holds it."""

    def steal(commit: TurnCommit) -> TurnCommit:
        for start in commit.starts:
            if start.new.hook is not None:
                world._store.hooks.pop(start.new.hook.token, None)
        return commit

    on_commit(world, steal)


@mutant
def a_child_replaces_another_run(world: MemoryWorld) -> None:
    """A start with the id of another run has that overwritten."""

    def replace_it(commit: TurnCommit) -> TurnCommit:
        for start in commit.starts:
            world._store.runs.pop(start.new.run_id, None)
        return commit

    on_commit(world, replace_it)


@mutant
def watches_are_forgotten(world: MemoryWorld) -> None:
    """No end is told."""
    on_commit(world, lambda commit: replace(commit, watches=()))


@mutant
def an_end_that_has_come_is_not_told(world: MemoryWorld) -> None:
    """A run that has ended, or is not there, is watched for ever."""

    def wait(commit: TurnCommit) -> TurnCommit:
        live = [watch for watch in commit.watches if world._store.live_run(watch.run_id)]
        return replace(commit, watches=tuple(live))

    on_commit(world, wait)


@mutant
def a_cancel_is_not_told(world: MemoryWorld) -> None:
    """Watchers of a run that is cancelled wait for ever."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            if asked.event.type is EventType.RUN_CANCELLED:
                world._store.watchers.pop(asked.run_id, None)
            return await inner(asked)

        return append

    swap(world.storage, "append", make)


@mutant
def an_outcome_is_not_told(world: MemoryWorld) -> None:
    """Watchers of a run that completes or fails wait for ever."""

    def hush(commit: TurnCommit) -> TurnCommit:
        if commit.outcome is not None:
            world._store.watchers.pop(commit.run_id, None)
        return commit

    on_commit(world, hush)


@mutant
def one_watcher_is_enough(world: MemoryWorld) -> None:
    """Of several who watch a run only the last is told."""
    _after_commit(world, _keep_one_watcher)


def _keep_one_watcher(world: MemoryWorld, commit: TurnCommit) -> None:
    for run_id, watchers in world._store.watchers.items():
        world._store.watchers[run_id] = watchers[-1:]


@mutant
def watchers_are_told_but_not_woken(world: MemoryWorld) -> None:
    """The end is in the log, and nobody is due for it."""

    def let_sleep(world: MemoryWorld, commit: TurnCommit) -> None:
        if commit.outcome is not None:
            for run in world._store.runs.values():
                if run.wake is not None and run.events[-1].event.type is EventType.CHILD_ENDED:
                    run.wake.due_ms = None

    _after_commit(world, let_sleep)


@mutant
def another_life_is_told(world: MemoryWorld) -> None:
    """A run that was deleted and started anew hears what its former life waited for."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            _forge_fences(world, asked.run_id)
            return await inner(asked)

        return append

    swap(world.storage, "append", make)


def _forge_fences(world: MemoryWorld, run_id: RunId) -> None:
    store = world._store
    for at, watcher in enumerate(store.watchers.get(run_id, [])):
        run = store.live_run(watcher.run_id)
        if run is not None:
            fence = watch_fence(run.record, watcher.entity)
            store.watchers[run_id][at] = replace(watcher, fence=fence)


@mutant
def families_part(world: MemoryWorld) -> None:
    """A run that others wait for departs."""

    def make(inner: Any) -> Any:
        async def depart(departure: Any) -> Any:
            world._store.watchers.pop(departure.run_id, None)
            return await inner(departure)

        return depart

    swap(world.transfer, "depart", make)


@mutant
def the_dead_hold_others(world: MemoryWorld) -> None:
    """A run does not depart before its end if anybody has ever waited for it."""

    def make(inner: Any) -> Any:
        async def depart(departure: Any) -> Any:
            watchers = world._store.watchers.get(departure.run_id)
            if watchers:
                others = [watcher.run_id for watcher in watchers]
                raise RunWatchedError(departure.run_id, others=others)
            return await inner(departure)

        return depart

    swap(world.transfer, "depart", make)


@mutant
def a_commit_asked_again_starts_again(world: MemoryWorld) -> None:
    """A child that was deleted meanwhile is created anew when its parent's commit is repeated."""
    _after_commit(world, _start_again)


def _start_again(world: MemoryWorld, commit: TurnCommit) -> None:
    store = world._store
    for start in commit.starts:
        if start.new.hook is None and start.new.run_id not in store.runs:
            create_run(store, start.new, now_ms=world.now_ms())


def _after_commit(world: MemoryWorld, change: Callable[[MemoryWorld, TurnCommit], None]) -> None:
    """Change the store behind every commit that has landed."""
    storage: Any = world.storage
    inner = storage._commit

    def changed(commit: TurnCommit) -> Any:
        answer = inner(commit)
        change(world, commit)
        return answer

    storage._commit = changed
