"""Deliveries: the log's events as guests are told them.

A guest is told of an event's payload. Where that is an error which follows from the event's facts,
it is made here, the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..._core.cancellation import deadline_of, steps_begun
from ..._model.events import DELIVERED, Event, EventType, LoggedEvent
from ..._model.ids import EntityId
from ..._protocol.codec import encode
from ..._protocol.frames import GuestDelivery, make_delivery
from ...errors import GuestError

__all__ = ("as_delivery", "in_calls", "of_log")

_CALL_DELIVERIES = 256  # in one guest call: a frame must fit the arena
_CALL_BYTES = 4 << 20
# How a hook can end from outside: the error, its words, and its name for the other run.
_LOSSES: Mapping[EventType, tuple[str, str, str]] = {
    EventType.HOOK_CONFLICT: (
        "HookConflictError",
        "is already in use by another workflow",
        "conflictingRunId",
    ),
    EventType.CHILD_CONFLICT: (
        "HookConflictError",
        "is already in use by another workflow",
        "conflictingRunId",
    ),
    EventType.HOOK_REVOKED: (
        "HookForceClaimedError",
        "was taken by another workflow",
        "forceClaimedBy",
    ),
}


def of_log(events: Sequence[LoggedEvent], *, above: int) -> list[LoggedEvent]:
    """Those of the log's events past a position that guests are told."""
    return [e for e in events if e.position > above and e.event.type in DELIVERED]


def in_calls(deliveries: Sequence[LoggedEvent]) -> Iterable[Sequence[LoggedEvent]]:
    """Deliveries cut so that each call's frame fits."""
    call: list[LoggedEvent] = []
    size = 0
    for logged in deliveries:
        length = len(logged.event.payload or b"")
        if call and (len(call) >= _CALL_DELIVERIES or size + length > _CALL_BYTES):
            yield call
            call, size = [], 0
        call.append(logged)
        size += length
    if call:
        yield call


def as_delivery(logged: LoggedEvent) -> GuestDelivery:
    """One event, as the guest is told it."""
    event = logged.event
    return make_delivery(
        position=logged.position,
        at_ms=event.at_ms,
        kind=event.type,
        id=event.entity or EntityId(""),
        value=event.payload if event.type not in _FROM_FACTS else _FROM_FACTS[event.type](event),
    )


def _loss(event: Event) -> bytes:
    name, words, field = _LOSSES[event.type]
    token, run_id = event.facts.get("token"), event.facts.get("run_id")
    error = GuestError(
        name=name,
        message=f'the hook\'s token "{token}" {words}, run {run_id}',
        props={"token": token, field: run_id},
    )
    return encode(error, where="error")


def _refusal(event: Event) -> bytes:
    """The error of a start that came to nothing."""
    token, run_id = event.facts.get("token"), event.facts.get("run_id")
    if token is not None:
        return _loss(event)
    error = GuestError(
        name="EntityConflictError",
        message=f"run {run_id} is there already, with another workflow or input",
    )
    return encode(error, where="error")


def _end(event: Event) -> bytes:
    """The end of a run: status, code, run id, and its payload as it is."""
    facts = event.facts
    head = [facts.get("status"), facts.get("code"), facts.get("run_id")]
    parts = [encode(part, where="end") for part in head]
    return b"".join((b"\x84", *parts, event.payload or b"\xf6"))


def _request(event: Event) -> bytes:
    """A request to end: the reason, the deadline, and the steps that had begun."""
    parts = [
        encode(deadline_of(event), where="deadline"),
        encode(steps_begun(event), where="steps"),
    ]
    return b"".join((b"\x83", event.payload or b"\xf6", *parts))


_FROM_FACTS: Mapping[EventType, Callable[[Event], bytes]] = {
    EventType.HOOK_CONFLICT: _loss,
    EventType.HOOK_REVOKED: _loss,
    EventType.CHILD_CONFLICT: _refusal,
    EventType.CHILD_ENDED: _end,
    EventType.CANCEL_REQUESTED: _request,
}
