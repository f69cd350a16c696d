"""Transitions: which event an entity can take in which state, as tables.

Pure. The docs' diagrams are generated from these tables. An illegal pair raises
``IllegalTransitionError`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from .._model.events import EventType
from ..errors import IllegalTransitionError

__all__ = ("ENTITY_OF", "TABLES", "EntityKind", "is_ended", "transition")


class EntityKind(StrEnum):
    """The kinds of entity that events are about."""

    RUN = "run"
    STEP = "step"
    WAIT = "wait"
    HOOK = "hook"
    ABORT = "abort"
    CHILD = "child"
    WATCH = "watch"
    CANCEL = "cancel"


_E = EventType

# state -> event -> next state; "absent" is the state before the first event.
TABLES: Mapping[EntityKind, Mapping[str, Mapping[EventType, str]]] = {
    EntityKind.RUN: {
        "absent": {_E.RUN_CREATED: "pending"},
        "pending": {
            _E.RUN_STARTED: "running",
            _E.ATTRIBUTES_SET: "running",
            _E.RUN_COMPLETED: "completed",
            _E.RUN_FAILED: "failed",
            _E.RUN_CANCELLED: "cancelled",
            _E.RUN_MOVED: "pending",
            _E.CANCEL_REQUESTED: "pending",
        },
        "running": {
            _E.ATTRIBUTES_SET: "running",
            _E.RUN_COMPLETED: "completed",
            _E.RUN_FAILED: "failed",
            _E.RUN_CANCELLED: "cancelled",
            _E.RUN_MOVED: "running",
            _E.CANCEL_REQUESTED: "running",
        },
        "completed": {},
        "failed": {},
        "cancelled": {},
    },
    EntityKind.STEP: {
        "absent": {_E.STEP_CREATED: "pending"},
        "pending": {
            _E.STEP_STARTED: "running",
            _E.STEP_RETRYING: "pending",
            _E.STEP_COMPLETED: "completed",
            _E.STEP_FAILED: "failed",
        },
        "running": {
            _E.STEP_STARTED: "running",
            _E.STEP_RETRYING: "pending",
            _E.STEP_COMPLETED: "completed",
            _E.STEP_FAILED: "failed",
        },
        "completed": {},
        "failed": {},
    },
    EntityKind.WAIT: {
        "absent": {_E.WAIT_CREATED: "waiting"},
        "waiting": {_E.WAIT_COMPLETED: "completed"},
        "completed": {},
    },
    EntityKind.HOOK: {
        "absent": {_E.HOOK_CREATED: "live", _E.HOOK_CONFLICT: "conflicted"},
        "live": {
            _E.HOOK_REGISTERED: "live",
            _E.HOOK_RECEIVED: "live",
            _E.HOOK_DISPOSED: "disposed",
            _E.HOOK_REVOKED: "revoked",
        },
        "conflicted": {},
        "revoked": {},
        "disposed": {},
    },
    EntityKind.ABORT: {
        "absent": {
            _E.ABORT_AWAITED: "awaited",
            _E.ABORT_REQUESTED: "aborted",
            _E.ABORT_RECEIVED: "aborted",
        },
        "awaited": {_E.ABORT_REQUESTED: "aborted", _E.ABORT_RECEIVED: "aborted"},
        "aborted": {},
    },
    EntityKind.CHILD: {
        "absent": {_E.CHILD_CREATED: "started"},
        "started": {_E.CHILD_STARTED: "started", _E.CHILD_CONFLICT: "conflicted"},
        "conflicted": {},
    },
    EntityKind.CANCEL: {"absent": {_E.CANCEL_SENT: "sent"}, "sent": {}},
    EntityKind.WATCH: {
        "absent": {_E.WATCH_CREATED: "waiting"},
        "waiting": {_E.CHILD_ENDED: "ended"},
        "ended": {},
    },
}

ENTITY_OF: Mapping[EventType, EntityKind] = {
    event: kind for kind, table in TABLES.items() for row in table.values() for event in row
}


def is_ended(kind: EntityKind, state: str) -> bool:
    """Whether nothing can follow *state*."""
    return not TABLES[kind].get(state)  # a withdrawn entity is in no table


def transition(kind: EntityKind, state: str, event: EventType) -> str:
    """The state of an entity in *state* after *event*.

    Raises:
        IllegalTransitionError: the table has no such row; nothing was changed.
    """
    try:
        return TABLES[kind][state][event]
    except KeyError:
        raise IllegalTransitionError(kind, state=state, event=event) from None
