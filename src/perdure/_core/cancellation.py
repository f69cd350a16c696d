"""Cancellation: a run that is asked to end by itself, within a time.

Pure. The request is an event, which the guest is told: all that its code awaits is rejected then.
A world withdraws the messages of steps that nobody runs in the same write, and says in the event
which steps had begun, so that the code knows of each whether it may have had an effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from .._model.events import Event, EventType, Fact
from .._model.runs import RunRecord
from .leases import Claimable

__all__ = (
    "CANCEL_KEY",
    "asked_record",
    "cancel_event",
    "deadline_of",
    "is_cancel",
    "overdue_event",
    "reaches_children",
    "steps_begun",
    "steps_running",
    "with_steps",
    "withdraw",
)


CANCEL_KEY = "run/cancel"  # so a run is asked once


def cancel_event(
    *, reason: bytes | None, deadline_ms: int | None, children: bool, now_ms: int
) -> Event:
    """The event that cancels a run, or asks it to end.

    Args:
        deadline_ms: by when it is to end by itself; None: it ends with the event.
        children: the runs that it started are told the same.
    """
    facts: dict[str, Fact] = {"children": True} if children else {}
    if deadline_ms is not None:
        facts["deadline_ms"] = deadline_ms
    return Event(
        type=EventType.RUN_CANCELLED if deadline_ms is None else EventType.CANCEL_REQUESTED,
        key="run/ended" if deadline_ms is None else CANCEL_KEY,
        at_ms=now_ms,
        payload=reason,
        facts=facts,
    )


def overdue_event(request: Event | None, *, now_ms: int) -> Event:
    """The event that ends a run which has had its time: as the request says, for its reason."""
    return cancel_event(
        reason=None if request is None else request.payload,
        deadline_ms=None,
        children=request is not None and reaches_children(request),
        now_ms=now_ms,
    )


def is_cancel(event: Event) -> bool:
    """Whether it cancels a run, or asks it to end."""
    return event.type in (EventType.RUN_CANCELLED, EventType.CANCEL_REQUESTED)


def reaches_children(event: Event) -> bool:
    """Whether it is for the runs that a run started, too."""
    return is_cancel(event) and event.facts.get("children") is True


def deadline_of(event: Event) -> int:
    """The time at which a run that was asked to end is ended; a request without one is due."""
    deadline = event.facts.get("deadline_ms")
    return deadline if isinstance(deadline, int) else event.at_ms


def asked_record(record: RunRecord, event: Event) -> RunRecord:
    """The run once it was asked to end."""
    return replace(record, cancel_at_ms=deadline_of(event))


def with_steps(event: Event, *, running: Iterable[str], retrying: Iterable[str]) -> Event:
    """The request as it is logged.

    Args:
        running: names of messages whose lease is live, which stay.
        retrying: of those that were withdrawn, and were claimed before by somebody who ran them.
    """
    facts: dict[str, Fact] = dict(event.facts)
    for name, steps in (("running", running), ("retrying", retrying)):
        if text := " ".join(sorted(steps)):
            facts[name] = text
    return replace(event, facts=facts)


def steps_running(event: Event) -> frozenset[str]:
    """The steps that went on when their run was asked to end."""
    return frozenset(_names(event.facts, "running"))


def steps_begun(event: Event) -> list[str]:
    """The steps that may have had an effect when their run was asked to end; others never will."""
    return [*_names(event.facts, "running"), *_names(event.facts, "retrying")]


def _names(facts: Mapping[str, Fact], name: str) -> list[str]:
    return str(facts.get(name) or "").split()


def withdraw(
    event: Event, items: Iterable[tuple[str, Claimable, int]], *, now_ms: int
) -> tuple[Event, list[str]]:
    """Choose the messages to withdraw: those that nobody has a live lease on.

    Args:
        items: the run's messages by their ids, each with how often it was returned unrun.

    Returns:
        The request as it is logged, and the ids of what is to be withdrawn.
    """
    running: list[str] = []
    retrying: list[str] = []
    withdrawn: list[str] = []
    for message_id, item, returned in items:
        name = message_id.partition("/")[2]
        if item.lease is not None and item.lease.is_live(now_ms=now_ms):
            running.append(name)
            continue
        withdrawn.append(message_id)
        if item.claims > returned:
            retrying.append(name)
    return with_steps(event, running=running, retrying=retrying), withdrawn
