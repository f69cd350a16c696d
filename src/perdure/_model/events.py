"""Events: the immutable facts of a run's log.

Positions are dense from 1 in each run and are given by the world when the event is written.
``key`` is unique within the run: writing a key twice keeps the first event, so a repeated
write is harmless. ``payload`` is an opaque CBOR value of the user's; ``facts`` is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import TypeAlias

from .._value_class import value_class
from .ids import EntityId

__all__ = ("DELIVERED", "Event", "EventType", "Fact", "LoggedEvent")

Fact: TypeAlias = "str | int | bool | None"


class EventType(StrEnum):
    """The kinds of event."""

    RUN_CREATED = "run_created"
    RUN_STARTED = "run_started"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"
    STEP_CREATED = "step_created"
    STEP_STARTED = "step_started"
    STEP_RETRYING = "step_retrying"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    HOOK_CREATED = "hook_created"
    HOOK_CONFLICT = "hook_conflict"
    HOOK_RECEIVED = "hook_received"
    HOOK_DISPOSED = "hook_disposed"
    HOOK_REGISTERED = "hook_registered"  # the guest asked, and the token is its
    HOOK_REVOKED = "hook_revoked"  # another run took its token by force
    WAIT_CREATED = "wait_created"
    WAIT_COMPLETED = "wait_completed"
    ABORT_AWAITED = "abort_awaited"  # the guest listens to a signal that others may abort
    ABORT_REQUESTED = "abort_requested"  # by the guest, of a signal that has crossed
    ABORT_RECEIVED = "abort_received"  # by others than the guest
    CHILD_CREATED = "child_created"
    CHILD_STARTED = "child_started"  # the answer to a start that could have been refused
    CHILD_CONFLICT = "child_conflict"  # or this: another run has its id or its token
    WATCH_CREATED = "watch_created"
    CHILD_ENDED = "child_ended"  # the run that is watched: a child, or any other
    CANCEL_SENT = "cancel_sent"  # to another run
    CANCEL_REQUESTED = "cancel_requested"  # it is to end by itself, within a time
    ATTRIBUTES_SET = "attributes_set"
    RUN_MOVED = "run_moved"  # to another world; what waits for it is the payload


# Events the guest is told of, in log order; everything else is a record for people and the fold.
DELIVERED = frozenset(
    {
        EventType.RUN_CREATED,
        EventType.STEP_COMPLETED,
        EventType.STEP_FAILED,
        EventType.WAIT_COMPLETED,
        EventType.HOOK_RECEIVED,
        EventType.HOOK_CONFLICT,
        EventType.HOOK_REGISTERED,
        EventType.HOOK_REVOKED,
        EventType.ABORT_RECEIVED,
        EventType.CHILD_STARTED,
        EventType.CHILD_CONFLICT,
        EventType.CHILD_ENDED,
        EventType.CANCEL_REQUESTED,
    }
)


@value_class
class Event:
    """One fact, before it has a position."""

    type: EventType
    key: str  # unique within the run; all terminal events of one entity share one
    at_ms: int  # when it happened, by the world's clock
    entity: EntityId | None = None  # None for events of the run itself
    payload: bytes | None = None  # CBOR of the user's value
    facts: Mapping[str, Fact] = field(default_factory=dict[str, Fact])


@value_class
class LoggedEvent:
    """An event at its place in the log."""

    position: int
    event: Event
