"""Hooks: how callers find a run by the token it waits at, and send it payloads.

A payload is an event of the run, written before ``resume_hook`` returns. A token is an address:
the run that holds it now is told. It is looked up again when the hook goes while a payload is on
its way, so that one which another run takes over loses none.
"""

from __future__ import annotations

from dataclasses import field
from datetime import UTC, datetime
from typing import cast

from .._core.transitions import EntityKind
from .._model.commit import Append
from .._model.events import Event, EventType, LoggedEvent
from .._model.hooks import HookRecord
from .._model.ids import EntityId, RunId
from .._protocol.codec import decode
from .._value_class import value_class
from ..abc import World
from ..errors import (
    HookNotFoundError,
    RunEndedError,
    RunNotFoundError,
    UsageError,
    WorldContractError,
)
from .ambient import meant_world
from .arguments import checked_text
from .crossings import tell_crossings
from .fresh_ids import fresh_id
from .inspect.inspection import fold_aside, read_log
from .payloads import encode_aside

__all__ = ("Hook", "get_hook", "hooks_of_run", "resume_hook")

_MAX_ID = 200  # characters


@value_class
class Hook:
    """A hook of a run, as it was when it was looked up. Holds nothing open."""

    run_id: str
    id: str  # within its run
    token: str
    is_webhook: bool
    created_at: datetime  # to the moment that a turn takes
    encoded_metadata: bytes | None = field(default=None, repr=False)

    @property
    def metadata(self) -> object:
        """The value of ``createHook``'s option ``metadata``, read anew each time; None without it.

        Raises:
            ValueNotCarriableError: it has no form in Python.
        """
        value: object = None if self.encoded_metadata is None else decode(self.encoded_metadata)
        if not self.is_webhook:
            return value
        parts = cast("dict[str, object]", value)  # how it responds is beside the user's own
        return parts.get("metadata") if isinstance(value, dict) else value


async def get_hook(token: str, world: World | None = None) -> Hook:
    """The hook that holds *token* now.

    Args:
        token: that of ``createHook({token})``, or of ``hook.token`` where it has none.
        world: default: as for ``start``.

    Raises:
        HookNotFoundError: no live hook has it.
        UsageError: *world* was left out, and more than one could be meant.
    """
    checked_text("token", token)
    return hook_of(await (await meant_world(world)).storage.get_hook(token))


async def resume_hook(
    token: str | Hook,
    payload: object = None,
    *,
    resume_id: str | None = None,
    world: World | None = None,
) -> Hook:
    """Send *payload* to the hook that holds a token; durable once this returns.

    The workflow receives it from its hook, after those that were sent before.

    Args:
        token: the token, or a hook with it. With a hook its own run is asked first, and so
            a repeat of *resume_id* is known there even after the hook was disposed.
        payload: a value as of ``start``'s arguments. A large one is encoded in a thread: nobody
            must write to it before this returns.
        resume_id: a name of your own for this payload; the run receives one payload under it,
            however often it is sent. Without it each call counts.
        world: default: as for ``start``.

    Returns:
        The hook that has the payload.

    Raises:
        HookNotFoundError: no live hook has the token; nothing was sent.
        ValueNotCarriableError: the payload cannot cross to JavaScript; names its path.
        UsageError: *world* was left out, and more than one could be meant.
        WorldUnavailableError: whether it was sent is unknown; the same *resume_id* may be sent
            again.
    """
    address = checked_text("token", token.token if isinstance(token, Hook) else token)
    key = f"resume/{_checked_id(resume_id)}"
    target = await meant_world(world)
    data = await encode_aside(payload, where="payload")
    hook = token if isinstance(token, Hook) else await _holder(target, address)
    while not await _send(target, hook, key, data):
        holder = await _holder(target, address)
        if (holder.run_id, holder.id) == (hook.run_id, hook.id):
            raise HookNotFoundError(address)  # it is kept for a run that has ended
        hook = holder
    await tell_crossings(data, target, RunId(hook.run_id))
    return hook


async def _holder(world: World, token: str) -> Hook:
    """The hook that holds *token* now."""
    return hook_of(await world.storage.get_hook(token))


async def _send(world: World, hook: Hook, key: str, payload: bytes) -> bool:
    """Write a payload to the log of the hook's run; False: the hook is gone."""
    event = Event(
        type=EventType.HOOK_RECEIVED,
        key=key,
        at_ms=world.now_ms(),
        entity=EntityId(hook.id),
        payload=payload,
    )
    try:
        await world.storage.append(Append(run_id=RunId(hook.run_id), event=event))
    except (HookNotFoundError, RunEndedError, RunNotFoundError):
        return False
    return True


def _checked_id(resume_id: object) -> str:
    if resume_id is None:
        return fresh_id("resume")
    text = checked_text("resume_id", resume_id)
    if not text or len(text) > _MAX_ID or "\0" in text:
        raise UsageError(f"resume_id={text[:40]!r}: it has 1 to {_MAX_ID} characters and no NUL")
    return text


def hook_of(record: HookRecord) -> Hook:
    """A hook as callers see it."""
    return Hook(
        run_id=record.run_id,
        id=record.hook_id,
        token=record.token,
        is_webhook=record.is_webhook,
        created_at=_time(record.created_at_ms),
        encoded_metadata=record.metadata,
    )


async def hooks_of_run(world: World, run_id: RunId) -> tuple[Hook, ...]:
    """The hooks of a run that can be resumed, in the order in which it created them.

    Raises:
        RunNotFoundError: no such run.
    """
    if (await world.storage.get_run(run_id)).status.is_ended:
        return ()
    log = await read_log(world, run_id)
    live = {
        entity.id
        for entity in await fold_aside(log)
        if entity.kind is EntityKind.HOOK and entity.state == "live"
    }
    return tuple(
        _logged_hook(run_id, logged)
        for logged in log
        if logged.event.type is EventType.HOOK_CREATED and logged.event.entity in live
    )


def _logged_hook(run_id: RunId, logged: LoggedEvent) -> Hook:
    event = logged.event
    return Hook(
        run_id=run_id,
        id=event.entity or "",
        token=str(event.facts.get("token")),
        is_webhook=event.facts.get("webhook") is True,
        created_at=_time(event.at_ms),
        encoded_metadata=event.payload,
    )


def _time(at_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError) as exc:
        raise WorldContractError("the store has a hook whose time is beyond any date") from exc
