"""Turn: landing one ``TurnCommit``, the checks first and then the changes.

Synchronous; the caller holds the store's lock, and nothing is changed before every check passed.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..._core.attributes import attributes_after, merged_attributes
from ..._core.landing import (
    advanced_record,
    check_turn,
    conflict_event,
    ended_event,
)
from ..._model.commit import Committed, TurnCommit
from ..._model.events import EventType
from ..._model.hooks import HookRecord
from ..._model.ids import EntityId
from ...errors import LeaseLostError, StaleTurnError
from ._appending import cancel_others
from ._children import land_children, tell_watchers
from ._hooks import claim_hooks, keep_hooks
from ._queue import check_own, drop_work, end_claim, send_message
from ._runs import fresh_run
from ._snapshots import keep_snapshot
from ._store import Store, StoredRun, write_event

__all__ = ("commit_turn",)


def commit_turn(store: Store, commit: TurnCommit, *, now_ms: int) -> Committed:
    """Land *commit*, or give the answer it had."""
    if commit.new is not None and commit.run_id not in store.runs:
        fresh = fresh_run(commit.new, due_ms=None)
        _check(fresh, commit)
        store.runs[commit.run_id] = fresh
        return _commit(store, fresh, commit, now_ms=now_ms)
    run = store.run(commit.run_id)
    if run.last_commit is not None and run.last_commit[0] == commit.commit_id:
        return run.last_commit[1]
    if commit.new is not None:
        raise StaleTurnError(commit.run_id, reason="it is there already")
    _check(run, commit)
    return _commit(store, run, commit, now_ms=now_ms)


def _commit(store: Store, run: StoredRun, commit: TurnCommit, *, now_ms: int) -> Committed:
    before = run.record.position
    conflicts = claim_hooks(store, commit, now_ms=now_ms)
    attributes = _write_log(run, commit, conflicts)
    run.record = advanced_record(
        run.record,
        commit,
        position=run.record.position,
        first_at_ms=run.events[before].event.at_ms if len(run.events) > before else None,
        attributes=attributes,
        now_ms=now_ms,
    )
    if run.wake is not None:
        run.wake.claims = 0
    if commit.snapshot is not None:
        keep_snapshot(run, commit.snapshot)
    leases = [send_message(store, new, now_ms=now_ms) for new in commit.messages]
    _end_leases(store, run, commit, now_ms=now_ms)
    if conflicts and run.wake is not None:
        run.wake.arm(now_ms)
    if commit.starts or commit.watches:
        land_children(store, run, commit, now_ms=now_ms)
    if commit.outcome is not None:
        tell_watchers(store, run, now_ms=now_ms)
        keep_hooks(store, commit.run_id, now_ms=now_ms)
        drop_work(store, commit.run_id)
    if commit.cancels:
        cancel_others(store, commit.cancels, now_ms=now_ms)
    committed = Committed(
        turn=run.record.turn,
        position=run.record.position,
        first_position=before + 1,
        leases=tuple(lease for lease in leases if lease is not None),
        conflicts=tuple(conflicts),
    )
    run.last_commit = (commit.commit_id, committed)
    return committed


def _check(run: StoredRun, commit: TurnCommit) -> None:
    record = run.record
    check_turn(
        commit,
        status=record.status,
        turn=record.turn,
        position=record.position,
        cancel_at_ms=record.cancel_at_ms,
    )
    for event in commit.deliveries:
        if event.key in run.positions:
            raise StaleTurnError(record.run_id, reason=f"{event.key} is in the log already")
    attributes_after(record.run_id, record.attributes, commit.events)


def _write_log(
    run: StoredRun, commit: TurnCommit, conflicts: dict[EntityId, HookRecord]
) -> Mapping[str, str]:
    """Write the commit's events. Returns the run's attributes after them."""
    attributes = run.record.attributes
    for event in (*commit.deliveries, *commit.events):
        holder = conflicts.get(event.entity) if event.entity is not None else None
        if event.type is EventType.HOOK_CREATED and holder is not None:
            event = conflict_event(event, holder, commit)
        if write_event(run, event) and event.type is EventType.ATTRIBUTES_SET:
            attributes = merged_attributes(attributes, event.facts)
    if commit.outcome is not None:
        write_event(run, ended_event(commit.outcome))
    return attributes


def _end_leases(store: Store, run: StoredRun, commit: TurnCommit, *, now_ms: int) -> None:
    armed = False
    for end in commit.leases:
        ours = end.lease.is_wake and end.lease.item == commit.run_id
        try:
            check_own(store, end.lease, commit.run_id, now_ms=now_ms)
        except LeaseLostError:
            continue
        end_claim(store, end, now_ms=now_ms, next_due_ms=commit.wake_at_ms if ours else None)
        armed |= ours
    if not armed and commit.wake_at_ms is not None and run.wake is not None:
        run.wake.arm(commit.wake_at_ms)
