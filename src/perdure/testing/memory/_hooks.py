"""Hooks: who holds which token.

Synchronous; the caller holds the store's lock.
"""

from __future__ import annotations

from collections.abc import Collection

from ..._core.hooks import (
    hook_changes,
    hook_record,
    is_blocking,
    revocation,
    takes_over,
)
from ..._model.commit import TurnCommit
from ..._model.hooks import HookClaim, HookRecord
from ..._model.ids import EntityId, RunId
from ._store import Store, write_event

__all__ = ("claim_hooks", "find_hook", "free_hooks", "keep_hooks")


def find_hook(store: Store, token: str, *, now_ms: int) -> HookRecord | None:
    """The hook that holds the token now: its run is live, or keeps it."""
    hook = store.hooks.get(token)
    if hook is None:
        return None
    has_ended = store.live_run(hook.run_id) is None
    return hook if is_blocking(hook, has_ended=has_ended, now_ms=now_ms) else None


def free_hooks(store: Store, run_id: RunId, hook_ids: Collection[EntityId] | None) -> None:
    """Free the tokens of these hooks of the run; None means all."""
    for token, hook in list(store.hooks.items()):
        if hook.run_id == run_id and (hook_ids is None or hook.hook_id in hook_ids):
            del store.hooks[token]


def keep_hooks(store: Store, run_id: RunId, *, now_ms: int) -> None:
    """Free the tokens of a run that has ended, but for those that it keeps."""
    for token, hook in list(store.hooks.items()):
        if hook.run_id == run_id and not is_blocking(hook, has_ended=True, now_ms=now_ms):
            del store.hooks[token]


def _revoke(store: Store, hook: HookRecord, taker: RunId, *, now_ms: int) -> None:
    """Tell the run that another takes its token; an ended one absorbs nothing."""
    run = store.live_run(hook.run_id)
    if run is not None and run.wake is not None:
        write_event(run, revocation(hook, taker, now_ms=now_ms).event)
        run.wake.arm(now_ms)


def claim_hooks(store: Store, commit: TurnCommit, *, now_ms: int) -> dict[EntityId, HookRecord]:
    """Claim and free tokens as the commit says. Returns the holders of the others, by our hook."""
    conflicts: dict[EntityId, HookRecord] = {}
    for change in hook_changes(commit):
        if not isinstance(change, HookClaim):
            free_hooks(store, commit.run_id, {change})
            continue
        holder = find_hook(store, change.token, now_ms=now_ms)
        if holder is not None and takes_over(change, holder, commit.run_id):
            _revoke(store, holder, commit.run_id, now_ms=now_ms)
            holder = None
        if holder is None:
            level = store.run(commit.run_id).record.level
            hook = hook_record(change, commit.run_id, now_ms=now_ms, level=level)
            store.hooks[change.token] = hook
        elif (holder.run_id, holder.hook_id) != (commit.run_id, change.hook_id):
            conflicts[change.hook_id] = holder
    return conflicts
