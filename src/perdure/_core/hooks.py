"""Hooks: the tokens that a run holds, by token. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import TypeAlias

from .._model.commit import Append, TurnCommit
from .._model.events import Event, EventType
from .._model.hooks import HookClaim, HookRecord
from .._model.ids import EntityId, RunId
from .._value_class import value_class
from ..errors import HookConflictError

__all__ = (
    "REVOKE_LEVEL",
    "Claims",
    "Holder",
    "Hooks",
    "check_token",
    "claim_hooks",
    "free_hooks",
    "hook_changes",
    "hook_record",
    "is_blocking",
    "is_held",
    "kept_hooks",
    "keyed_event",
    "revocation",
    "takes_over",
)

REVOKE_LEVEL = 1  # from this on a run knows ``hook_revoked``
Hooks: TypeAlias = "MutableMapping[str, HookRecord]"
Holder: TypeAlias = Callable[
    [str], "HookRecord | None"
]  # the hook of another run that blocks a token


def hook_record(claim: HookClaim, run_id: RunId, *, now_ms: int, level: int) -> HookRecord:
    """The hook that a claim makes, for a run of *level*."""
    return HookRecord(
        run_id=run_id,
        hook_id=claim.hook_id,
        token=claim.token,
        metadata=claim.metadata,
        is_webhook=claim.is_webhook,
        created_at_ms=now_ms,
        keep_until_ms=claim.keep_until_ms,
        level=level,
    )


def keyed_event(claim: HookClaim, at_ms: int) -> Event:
    """The second event of a run that was created with a token, at *at_ms*: the run's time."""
    return Event(
        type=EventType.HOOK_CREATED,
        key=f"{claim.hook_id}/created",
        at_ms=at_ms,
        entity=claim.hook_id,
        payload=claim.metadata,
        facts={"token": claim.token, "webhook": claim.is_webhook},
    )


def takes_over(claim: HookClaim, holder: HookRecord, run_id: RunId) -> bool:
    """Whether a run's claim takes the token from its *holder*, by force.

    Not from another hook of the run itself, nor from a run that cannot be told.
    """
    return claim.force and holder.run_id != run_id and holder.level >= REVOKE_LEVEL


def revocation(hook: HookRecord, taker: RunId, *, now_ms: int) -> Append:
    """The event for the run of *hook* when *taker* takes its token, and its wake."""
    event = Event(
        type=EventType.HOOK_REVOKED,
        key=f"{hook.hook_id}/revoked",
        at_ms=now_ms,
        entity=hook.hook_id,
        facts={"token": hook.token, "run_id": taker},
    )
    return Append(run_id=hook.run_id, event=event)


def check_token(claim: HookClaim, holder: Holder) -> None:
    """Pass only if a run may be created with this token.

    Raises:
        HookConflictError: another run holds it.
    """
    record = holder(claim.token)
    if record is not None:
        raise HookConflictError(claim.token, record.run_id)


def is_blocking(hook: HookRecord, *, has_ended: bool, now_ms: int) -> bool:
    """Whether nobody else may have the token of *hook*: its run is live, or keeps it for a while.

    Args:
        has_ended: whether its run has.
    """
    return not has_ended or (hook.keep_until_ms is not None and now_ms < hook.keep_until_ms)


def kept_hooks(hooks: Mapping[str, HookRecord], *, now_ms: int) -> dict[str, HookRecord]:
    """The hooks that a run keeps past its end."""
    return {
        token: hook
        for token, hook in hooks.items()
        if is_blocking(hook, has_ended=True, now_ms=now_ms)
    }


def hook_changes(commit: TurnCommit) -> list[HookClaim | EntityId]:
    """The claims and releases of a commit in the order of its events.

    A claim without an event comes after all events. So does a release of a hook that the commit
    claims; any other release without one comes first.
    """
    places: dict[tuple[EventType, EntityId | None], int] = {}
    if commit.hooks_claimed and commit.hooks_released:
        places = {(event.type, event.entity): at for at, event in enumerate(commit.events)}
    end, changes = len(commit.events), list[tuple[int, HookClaim | EntityId]]()
    for claim in commit.hooks_claimed:
        changes.append((places.get((EventType.HOOK_CREATED, claim.hook_id), end), claim))
    ours = {claim.hook_id for claim in commit.hooks_claimed}
    for hook_id in commit.hooks_released:
        default = end + 1 if hook_id in ours else -1
        changes.append((places.get((EventType.HOOK_DISPOSED, hook_id), default), hook_id))
    return [change for _, change in sorted(changes, key=lambda one: one[0])]


@value_class(kw_only=False)
class Claims:
    """Claims of tokens that others hold."""

    conflicts: dict[EntityId, HookRecord]  # the holders that keep theirs, by our hook
    revoked: list[HookRecord]  # those that lose theirs, by force


def claim_hooks(
    hooks: Hooks, commit: TurnCommit, holder: Holder, *, now_ms: int, level: int
) -> Claims:
    """Claim and free tokens as the commit says, for a run of *level*."""
    conflicts: dict[EntityId, HookRecord] = {}
    revoked: dict[str, HookRecord] = {}
    for change in hook_changes(commit):
        if not isinstance(change, HookClaim):
            free_hooks(hooks, {change})
            continue
        record = hooks.get(change.token)
        if record is None:
            record = None if change.token in revoked else holder(change.token)
            if record is not None and record.run_id == commit.run_id:
                record = None  # the store's word on a token that this commit has just released
            elif record is not None and takes_over(change, record, commit.run_id):
                revoked[change.token], record = record, None
        if record is None:
            hooks[change.token] = hook_record(change, commit.run_id, now_ms=now_ms, level=level)
        elif (record.run_id, record.hook_id) != (commit.run_id, change.hook_id):
            conflicts[change.hook_id] = record
    return Claims(conflicts, [*revoked.values()])


def free_hooks(hooks: Hooks, hook_ids: Collection[EntityId]) -> None:
    """Free the tokens of these hooks."""
    for token, hook in list(hooks.items()):
        if hook.hook_id in hook_ids:
            del hooks[token]


def is_held(hooks: Mapping[str, HookRecord], hook_id: EntityId | None) -> bool:
    """Whether this hook is live."""
    return any(hook.hook_id == hook_id for hook in hooks.values())
