"""Hooks: the tokens that a run holds, by token. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import TypeAlias

from .._model.commit import TurnCommit
from .._model.hooks import HookClaim, HookRecord
from .._model.ids import EntityId, RunId

__all__ = ("Holder", "Hooks", "claim_hooks", "free_hooks", "hook_record", "is_held")

Hooks: TypeAlias = "MutableMapping[str, HookRecord]"
Holder: TypeAlias = Callable[
    [str], "HookRecord | None"
]  # the hook of another run that holds a token


def hook_record(claim: HookClaim, run_id: RunId, *, now_ms: int) -> HookRecord:
    """The hook that a claim makes."""
    return HookRecord(
        run_id=run_id,
        hook_id=claim.hook_id,
        token=claim.token,
        metadata=claim.metadata,
        is_webhook=claim.is_webhook,
        created_at_ms=now_ms,
        keep_until_ms=claim.keep_until_ms,
    )


def claim_hooks(
    hooks: Hooks, commit: TurnCommit, holder: Holder, *, now_ms: int
) -> dict[EntityId, HookRecord]:
    """Take the tokens that are free. Returns the holders of the others, by our hook."""
    free_hooks(hooks, commit.hooks_released)
    conflicts: dict[EntityId, HookRecord] = {}
    for claim in commit.hooks_claimed:
        record = hooks.get(claim.token) or holder(claim.token)
        if record is not None and record.run_id == commit.run_id and claim.token not in hooks:
            record = None  # the store's word on a token that this commit has just released
        if record is None:
            hooks[claim.token] = hook_record(claim, commit.run_id, now_ms=now_ms)
        elif (record.run_id, record.hook_id) != (commit.run_id, claim.hook_id):
            conflicts[claim.hook_id] = record
    free_hooks(hooks, commit.hooks_released)  # those claimed just now, too
    return conflicts


def free_hooks(hooks: Hooks, hook_ids: Collection[EntityId]) -> None:
    """Free the tokens of these hooks."""
    for token, hook in list(hooks.items()):
        if hook.hook_id in hook_ids:
            del hooks[token]


def is_held(hooks: Mapping[str, HookRecord], hook_id: EntityId | None) -> bool:
    """Whether this hook is live."""
    return any(hook.hook_id == hook_id for hook in hooks.values())
