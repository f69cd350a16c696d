"""Hooks as a world keeps them: a token, its holder, and for how long it is blocked."""

from __future__ import annotations

from .._value_class import value_class
from .ids import EntityId, RunId

__all__ = ("HookClaim", "HookRecord")


@value_class
class HookClaim:
    """A token to claim for a hook of the committing run."""

    hook_id: EntityId
    token: str
    metadata: bytes | None = None
    is_webhook: bool = False
    keep_until_ms: int | None = None  # the token stays blocked till then if the run ends before
    force: bool = False  # take the token from a run that holds it


@value_class
class HookRecord:
    """The holder of a token: a live hook, or one that an ended run keeps."""

    run_id: RunId
    hook_id: EntityId
    token: str
    metadata: bytes | None
    is_webhook: bool
    created_at_ms: int
    keep_until_ms: int | None = None
    level: int = 1  # of its run: what that can be told
