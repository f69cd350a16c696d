"""Appending: events from outside a turn, and those of a turn for other runs.

Synchronous; the caller holds the store's lock.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from ..._core.attributes import attributes_after, merged_attributes
from ..._core.cancellation import asked_record, reaches_children
from ..._core.children import parent_of, started_by
from ..._core.landing import ended_record
from ..._model.commit import Append, Appended
from ..._model.events import EventType
from ..._model.ids import RunId
from ..._model.runs import RunOutcome, RunStatus
from ...errors import HookNotFoundError, LeaseLostError, RunEndedError, RunNotFoundError
from ._children import tell_watchers
from ._hooks import free_hooks, keep_hooks
from ._queue import check_own, drop_work, give_back, withdraw_messages
from ._store import Store, StoredMessage, StoredRun, write_event

__all__ = ("append_event", "cancel_others")

_FREES_HOOK = frozenset({EventType.HOOK_DISPOSED, EventType.HOOK_REVOKED})
_NEEDS_HOOK = frozenset({EventType.HOOK_RECEIVED, *_FREES_HOOK})


def append_event(store: Store, append: Append, *, now_ms: int) -> Appended:
    """Append an event as ``Storage.append`` promises; one that cancels may reach other runs."""
    appended = _append(store, append, now_ms=now_ms)
    if reaches_children(append.event) and not appended.duplicate:
        _cancel_children(store, append, now_ms=now_ms)
    return appended


def cancel_others(store: Store, cancels: tuple[Append, ...], *, now_ms: int) -> None:
    """Append events that cancel runs; one that has ended, or is gone, is passed over."""
    for cancel in cancels:
        with suppress(RunEndedError, RunNotFoundError):
            append_event(store, cancel, now_ms=now_ms)


def _cancel_children(store: Store, append: Append, *, now_ms: int) -> None:
    parents = [append.run_id]
    while parents:
        parent = parents.pop()
        for child in started_by(logged.event for logged in store.runs[parent].events):
            if _cancel_child(store, Append(run_id=child, event=append.event), parent, now_ms):
                parents.append(child)


def _cancel_child(store: Store, append: Append, parent: RunId, now_ms: int) -> bool:
    """Whether the event is new to the run, which *parent* has started."""
    run = store.live_run(append.run_id)
    if run is None or parent_of(run.record) != parent:
        return False
    return not _append(store, append, now_ms=now_ms).duplicate


def _append(store: Store, append: Append, *, now_ms: int) -> Appended:
    run, event = store.run(append.run_id), append.event
    first = run.positions.get(event.key)
    if first is None:
        _check_append(store, run, append, now_ms=now_ms)
        if event.type is EventType.CANCEL_REQUESTED:
            event = withdraw_messages(store, append.run_id, event, now_ms=now_ms)
            run.record = asked_record(run.record, event)
        write_event(run, event)
    elif run.record.status.is_ended:
        return Appended(position=first, duplicate=True)
    _end_lease(store, append, now_ms=now_ms)
    if append.wake and run.wake is not None:
        run.wake.arm(now_ms)
    if first is not None:
        return Appended(position=first, duplicate=True)
    if event.type in _FREES_HOOK and event.entity is not None:
        free_hooks(store, append.run_id, {event.entity})
    if event.type is EventType.ATTRIBUTES_SET:
        merged = merged_attributes(run.record.attributes, event.facts)
        run.record = replace(run.record, attributes=merged)
    if event.type is EventType.RUN_CANCELLED:
        end = RunOutcome(status=RunStatus.CANCELLED, payload=event.payload, at_ms=event.at_ms)
        run.record = ended_record(run.record, end)
        tell_watchers(store, run, now_ms=now_ms)
        keep_hooks(store, append.run_id, now_ms=now_ms)
        drop_work(store, append.run_id)
    return Appended(position=run.record.position, duplicate=False)


def _check_append(store: Store, run: StoredRun, append: Append, *, now_ms: int) -> None:
    if run.record.status.is_ended:
        raise RunEndedError(append.run_id, status=run.record.status)
    if append.lease is not None:
        check_own(store, append.lease, append.run_id, now_ms=now_ms)
    if append.event.type in _NEEDS_HOOK:
        holders = {(hook.run_id, hook.hook_id) for hook in store.hooks.values()}
        if (append.run_id, append.event.entity) not in holders:
            raise HookNotFoundError(append.event.entity or append.event.key)
    attributes_after(append.run_id, run.record.attributes, [append.event])


def _end_lease(store: Store, append: Append, *, now_ms: int) -> None:
    if append.lease is None:
        return
    try:
        item = check_own(store, append.lease, append.run_id, now_ms=now_ms)
    except LeaseLostError:
        return  # a repeated append: the first one ended it
    if append.release_delay_ms is not None:
        give_back(item, due_ms=now_ms + append.release_delay_ms)
    elif isinstance(item, StoredMessage):
        del store.messages[item.message.message_id]
    else:
        item.lease = None
