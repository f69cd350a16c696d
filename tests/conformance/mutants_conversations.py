"""Mutants that break a promise about levels or hook tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio.lowlevel
from mutants import mutant, on_commit, swap

from perdure.errors import HookConflictError, HookNotFoundError, StaleTurnError
from perdure.model import LEVEL, Appended, EventType, LoggedEvent, TurnCommit
from perdure.testing.memory import MemoryWorld
from perdure.testing.memory._hooks import free_hooks
from perdure.testing.memory._store import write_event
from perdure.worldkit.pure import revocation

__all__ = ()


@mutant
def levels_are_ignored(world: MemoryWorld) -> None:
    """A worker is handed a run that it does not know how to carry."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            return await inner(replace(new, level=min(new.level, LEVEL)))

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def higher_runs_starve_ours(world: MemoryWorld) -> None:
    """Runs above our level take the places of a claim, though they are not handed out."""

    def make(inner: Any) -> Any:
        async def claim_wakes(*, limit: int, **asked: Any) -> Any:
            runs = world._store.runs.values()
            hidden = sum(not run.record.is_known for run in runs)
            return await inner(limit=limit - hidden, **asked)

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def secrets_are_anew(world: MemoryWorld) -> None:
    """A run that is started again has the secret of the second start."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            _, is_new = await inner(new)
            run = world._store.runs[new.run_id]
            run.record = replace(run.record, secret=new.secret)
            return run.record, is_new

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def a_keyed_start_checks_then_waits(world: MemoryWorld) -> None:
    """Two that start with one free token at once both do."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            if new.hook is None or new.run_id in world._store.runs:
                return await inner(new)
            is_free = new.hook.token not in world._store.hooks
            await anyio.lowlevel.checkpoint()
            try:
                return await inner(new)
            except HookConflictError:
                if not is_free:
                    raise
                del world._store.hooks[new.hook.token]
                return await inner(new)

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def a_refused_start_leaves_a_run(world: MemoryWorld) -> None:
    """A run whose token another has is there all the same."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            try:
                return await inner(new)
            except HookConflictError:
                await inner(replace(new, hook=None))
                raise

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def a_keyed_start_is_not_logged(world: MemoryWorld) -> None:
    """The token is claimed, and the log does not say so."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            _, is_new = await inner(new)
            run = world._store.runs[new.run_id]
            if is_new and new.hook is not None:
                del run.events[1:], run.positions["hook_0/created"]
                run.record = replace(run.record, position=1)
            return run.record, is_new

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def releases_come_first(world: MemoryWorld) -> None:
    """A turn's releases apply before its claims, whatever the order of its events."""

    def change(commit: Any) -> Any:
        events = sorted(commit.events, key=lambda e: e.type is not EventType.HOOK_DISPOSED)
        others = [e for e in commit.events if e.type is not EventType.HOOK_DISPOSED]
        return replace(commit, events=tuple(others if len(others) > 2 else events))

    on_commit(world, change)


@mutant
def claims_come_first(world: MemoryWorld) -> None:
    """A turn's claims apply before its releases, whatever the order of its events."""

    def change(commit: Any) -> Any:
        events = sorted(commit.events, key=lambda e: e.type is EventType.HOOK_DISPOSED)
        return replace(commit, events=tuple(events))

    on_commit(world, change)


@mutant
def retention_is_ignored(world: MemoryWorld) -> None:
    """A run's end frees a token that was to be kept."""
    on_commit(world, lambda commit: replace(commit, hooks_claimed=_unkept(commit.hooks_claimed)))


def _unkept(claims: Any) -> Any:
    return tuple(replace(claim, keep_until_ms=None) for claim in claims)


@mutant
def a_kept_token_is_kept_for_ever(world: MemoryWorld) -> None:
    """The time of a token that is kept never comes."""

    def change(commit: Any) -> Any:
        claims = [
            replace(claim, keep_until_ms=claim.keep_until_ms and 2**50)
            for claim in commit.hooks_claimed
        ]
        return replace(commit, hooks_claimed=tuple(claims))

    on_commit(world, change)


@mutant
def a_kept_token_outlives_its_disposal(world: MemoryWorld) -> None:
    """A token that is to be kept is not freed by its disposal."""

    def change(commit: Any) -> Any:
        hooks = world._store.hooks.values()
        kept = {h.hook_id for h in hooks if h.keep_until_ms and h.run_id == commit.run_id}
        released = [hook for hook in commit.hooks_released if hook not in kept]
        return replace(commit, hooks_released=tuple(released))

    on_commit(world, change)


@mutant
def a_deleted_run_keeps_its_token(world: MemoryWorld) -> None:
    """A run that is deleted blocks its token for as long as it was to be kept."""

    def make(inner: Any) -> Any:
        async def delete_run(run_id: Any) -> Any:
            hooks = {t: h for t, h in world._store.hooks.items() if h.run_id == run_id}
            await inner(run_id)
            world._store.hooks.update(hooks)

        return delete_run

    swap(world.catalogue, "delete_run", make)


@mutant
def a_live_run_loses_a_kept_token(world: MemoryWorld) -> None:
    """A token is freed when its time is over, also while its run lives."""

    def make(inner: Any) -> Any:
        async def get_hook(token: str) -> Any:
            hook = await inner(token)
            if hook.keep_until_ms is not None and world.now_ms() >= hook.keep_until_ms:
                raise HookNotFoundError(token)
            return hook

        return get_hook

    swap(world.storage, "get_hook", make)


@mutant
def force_is_ignored(world: MemoryWorld) -> None:
    """A forced claim of a token that another run holds is a conflict."""

    def change(commit: Any) -> Any:
        return replace(
            commit, hooks_claimed=tuple(replace(c, force=False) for c in commit.hooks_claimed)
        )

    on_commit(world, change)


def _on_victims(world: MemoryWorld, change: Callable[[Any, Any], None]) -> None:
    """Do something to each run that a commit takes a token from."""
    storage: Any = world.storage
    inner = storage._commit

    def committed(commit: Any) -> Any:
        runs = world._store.runs
        places = {run_id: len(run.events) for run_id, run in runs.items()}
        dues = {run_id: replace(run.wake) for run_id, run in runs.items() if run.wake}
        answer = inner(commit)
        for run_id, run in runs.items():
            told = [e for e in run.events[places.get(run_id, 0) :] if _is_revocation(e)]
            if told and run_id != commit.run_id:
                change(run, dues[run_id])
        return answer

    storage._commit = committed


def _is_revocation(logged: Any) -> bool:
    return logged.event.type is EventType.HOOK_REVOKED


@mutant
def a_victim_is_not_told(world: MemoryWorld) -> None:
    """A token changes hands, and the log of who had it does not say so."""

    def forget(run: Any, _: Any) -> None:
        event = run.events.pop()
        del run.positions[event.event.key]
        run.record = replace(run.record, position=run.record.position - 1)

    _on_victims(world, forget)


@mutant
def a_victim_is_not_woken(world: MemoryWorld) -> None:
    """The run that lost its token is told, and sleeps on."""

    def put_back(run: Any, wake: Any) -> None:
        run.wake = replace(wake)

    _on_victims(world, put_back)


@mutant
def a_victim_keeps_its_hook(world: MemoryWorld) -> None:
    """A hook whose token was taken takes payloads on."""

    def make(inner: Any) -> Any:
        async def append(asked: Any) -> Any:
            try:
                return await inner(asked)
            except HookNotFoundError:
                run = world._store.runs[asked.run_id]
                if not any(_is_revocation(logged) for logged in run.events):
                    raise
                write_event(run, asked.event)
                return Appended(position=run.record.position, duplicate=False)

        return append

    swap(world.storage, "append", make)


@mutant
def force_takes_from_anybody(world: MemoryWorld) -> None:
    """A run that cannot be told loses its token to force."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            return await inner(replace(new, level=max(new.level, 1)))

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def a_token_is_nobodys_meanwhile(world: MemoryWorld) -> None:
    """A token that changes hands is nobody's for a while, and payloads for it are refused."""

    def make(inner: Any) -> Any:
        async def commit(asked: Any) -> Any:
            store = world._store
            for claim in asked.hooks_claimed:
                hook = store.hooks.get(claim.token)
                if hook is None or not claim.force or hook.run_id == asked.run_id:
                    continue
                victim = store.live_run(hook.run_id)
                if victim is not None and victim.wake is not None and hook.level:
                    free_hooks(store, hook.run_id, {hook.hook_id})
                    notice = revocation(hook, asked.run_id, now_ms=world.now_ms())
                    write_event(victim, notice.event)
                    victim.wake.arm(world.now_ms())
            return await inner(asked)

        return commit

    swap(world.storage, "commit", make)


@mutant
def a_second_abort_is_logged_too(world: MemoryWorld) -> None:
    """A turn writes its abort though somebody outside was first."""

    def anew(commit: TurnCommit) -> TurnCommit:
        run = world._store.runs.get(commit.run_id)
        for event in commit.events if run is not None else ():
            if run is not None and event.type is EventType.ABORT_REQUESTED:
                run.positions.pop(event.key, None)
        return commit

    on_commit(world, anew)


@mutant
def a_second_abort_bars_its_turn(world: MemoryWorld) -> None:
    """A turn whose abort came second is refused as stale, each time."""

    def barred(commit: TurnCommit) -> TurnCommit:
        run = world._store.runs.get(commit.run_id)
        for event in commit.events if run is not None else ():
            is_abort = event.type is EventType.ABORT_REQUESTED
            if run is not None and is_abort and event.key in run.positions:
                raise StaleTurnError(commit.run_id, reason="it was aborted already")
        return commit

    on_commit(world, barred)


@mutant
def a_second_abort_replaces_the_first(world: MemoryWorld) -> None:
    """An abort from outside takes the place of that which the workflow made."""

    def make(inner: Any) -> Any:
        async def append(append: Any) -> Any:
            appended = await inner(append)
            run = world._store.runs.get(append.run_id)
            if run is not None and append.event.type is EventType.ABORT_RECEIVED:
                at = appended.position
                run.events[at - 1] = LoggedEvent(position=at, event=append.event)
            return appended

        return append

    swap(world.storage, "append", make)
