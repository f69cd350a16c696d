"""Hooks: the tokens that a run holds, by token. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import TypeAlias

from .._model.commit import HookRecord, TurnCommit
from .._model.ids import EntityId

__all__ = ("Holder", "Hooks", "claim_hooks", "free_hooks", "is_held")

Hooks: TypeAlias = "MutableMapping[str, HookRecord]"
Holder: TypeAlias = Callable[[str], "HookRecord | None"]  # who else holds a token


def claim_hooks(hooks: Hooks, commit: TurnCommit, holder: Holder) -> dict[EntityId, HookRecord]:
    """Take the tokens that are free; gives the holders of those that are not, by our hook."""
    free_hooks(hooks, commit.hooks_released)
    conflicts: dict[EntityId, HookRecord] = {}
    for claim in commit.hooks_claimed:
        held = hooks.get(claim.token) or holder(claim.token)
        if held is not None and held.run_id == commit.run_id and claim.token not in hooks:
            held = None  # the store's word on what this commit has just released
        if held is None:
            hooks[claim.token] = HookRecord(
                run_id=commit.run_id,
                hook_id=claim.hook_id,
                token=claim.token,
                metadata=claim.metadata,
                is_webhook=claim.is_webhook,
            )
        elif (held.run_id, held.hook_id) != (commit.run_id, claim.hook_id):
            conflicts[claim.hook_id] = held
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
