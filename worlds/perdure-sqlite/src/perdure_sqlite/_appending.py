"""Appending: events from outside a turn, and those of a turn for other runs.

Synchronous; the caller is in a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from perdure.errors import HookNotFoundError, LeaseLostError, RunEndedError, RunNotFoundError
from perdure.model import Append, Appended, EventType, RunId, RunOutcome, RunStatus
from perdure.worldkit.pure import parent_of, reaches_children, started_by

from ._ends import end_run
from ._hooks import free_hooks
from ._log import Log
from ._messages import (
    check_message,
    end_message,
    give_message_back,
    spill,
    withdraw_messages,
)
from ._runs import RECORD, Wake, find_run, record_of, set_attributes, store_wake
from ._schema import CHILD_EVENTS, EVENT_COLUMNS, OF_RUN, ids_of, unpack_event
from ._writer import Transaction

__all__ = ("append_event", "cancel_others")

_FREES_HOOK = frozenset({EventType.HOOK_DISPOSED, EventType.HOOK_REVOKED})
_NEEDS_HOOK = frozenset({EventType.HOOK_RECEIVED, *_FREES_HOOK})


def append_event(transaction: Transaction, append: Append) -> Appended:
    """Append an event as ``Storage.append`` promises; one that cancels may reach other runs."""
    appended = _append(transaction, append)
    if reaches_children(append.event) and not appended.duplicate:
        _cancel_children(transaction, append)
    return appended


def cancel_others(transaction: Transaction, cancels: Iterable[Append]) -> None:
    """Append events that cancel runs; one that has ended, or is gone, is passed over."""
    for cancel in cancels:
        with suppress(RunEndedError, RunNotFoundError):
            append_event(transaction, cancel)


def _cancel_children(transaction: Transaction, append: Append) -> None:
    parents = [append.run_id]
    while parents:
        parent = parents.pop()
        for child in _children(transaction, parent):
            if _cancel_child(transaction, Append(run_id=child, event=append.event), parent):
                parents.append(child)


def _children(transaction: Transaction, run_id: RunId) -> list[RunId]:
    (n,) = find_run(transaction.db, run_id, "n")
    rows = transaction.db.execute(
        f"SELECT {EVENT_COLUMNS} FROM events WHERE {OF_RUN} AND type IN (?, ?) ORDER BY id",
        (*ids_of(n), *CHILD_EVENTS),
    )
    return started_by([unpack_event(row).event for row in rows])


def _cancel_child(transaction: Transaction, append: Append, parent: RunId) -> bool:
    """Whether the event is new to the run, which *parent* has started."""
    with suppress(RunEndedError, RunNotFoundError):
        record = record_of(find_run(transaction.db, append.run_id, RECORD))
        if parent_of(record) == parent:
            return not _append(transaction, append).duplicate
    return False


def _append(transaction: Transaction, append: Append) -> Appended:
    db, event = transaction.db, append.event
    row = find_run(db, append.run_id, f"status, position, inline_token, {Wake.COLUMNS}")
    status, position, wake = RunStatus(row[0]), row[1], Wake(*row[3:])
    if append.lease is not None and append.lease.token == row[2]:
        spill(db, "n = ?", (wake.n,))
    log = Log(db, wake.n, position)
    first = log.find(event.key)
    if first is not None and status.is_ended:
        return Appended(position=first, duplicate=True)
    if first is None:
        if status.is_ended:
            raise RunEndedError(append.run_id, status=status)
        _check_append(transaction, append, wake)
        if event.type is EventType.CANCEL_REQUESTED:
            event = withdraw_messages(transaction, wake.n, event)
        log.write(event)
        db.execute("UPDATE runs SET position = ? WHERE n = ?", (log.position, wake.n))
    _end_lease(transaction, append, wake)
    if append.wake:
        wake.arm(transaction.now_ms)
    store_wake(transaction, wake)
    if first is not None:
        return Appended(position=first, duplicate=True)
    if event.type in _FREES_HOOK and event.entity is not None:
        free_hooks(db, wake.n, {event.entity})
    if event.type is EventType.ATTRIBUTES_SET:
        set_attributes(db, wake.n, append.run_id, event)
    if event.type is EventType.RUN_CANCELLED:
        outcome = RunOutcome(status=RunStatus.CANCELLED, payload=event.payload, at_ms=event.at_ms)
        end_run(transaction, wake.n, append.run_id, outcome)
    return Appended(position=log.position, duplicate=False)


def _check_append(transaction: Transaction, append: Append, wake: Wake) -> None:
    lease, event = append.lease, append.event
    if lease is not None and not lease.is_wake:
        check_message(transaction, lease, n=wake.n)
    elif lease is not None:
        _own_wake(append, wake).check_live(lease, now_ms=transaction.now_ms)
    if event.type in _NEEDS_HOOK:
        row = transaction.db.execute(
            "SELECT 1 FROM hooks WHERE n = ? AND hook_id = ?", (wake.n, event.entity)
        ).fetchone()
        if row is None:
            raise HookNotFoundError(event.entity or event.key)


def _own_wake(append: Append, wake: Wake) -> Wake:
    """The wake that the lease is on: an append never carries another run's."""
    if append.lease is not None and append.lease.item != append.run_id:
        raise LeaseLostError(append.lease.item)
    return wake


def _end_lease(transaction: Transaction, append: Append, wake: Wake) -> None:
    lease, delay_ms = append.lease, append.release_delay_ms
    if lease is None:
        return
    due_ms = None if delay_ms is None else transaction.now_ms + delay_ms
    try:
        if lease.is_wake:
            _own_wake(append, wake).check_live(lease, now_ms=transaction.now_ms)
            wake.give_back(due_ms=due_ms)
        elif due_ms is None:
            end_message(transaction, lease, n=wake.n)
        else:
            give_message_back(transaction, lease, due_ms=due_ms, ran=True, n=wake.n)
    except LeaseLostError:
        return  # a repeated append: the first one ended it
