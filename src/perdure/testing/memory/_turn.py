"""Turn: landing one ``TurnCommit``, the checks first and then the changes.

Synchronous; the caller holds the store's lock, and nothing is changed before every check passed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..._model.commit import Committed, HookRecord, TurnCommit
from ..._model.events import Event, EventType, LoggedEvent
from ..._model.ids import EntityId, RunId
from ..._model.queue import LeaseEnd
from ..._model.runs import RunOutcome, RunStatus
from ...errors import LeaseLostError, RunEndedError, StaleTurnError
from ._queue import drop_work, end_claim, send_message
from ._snapshots import keep_snapshot
from ._store import Store, StoredRun

__all__ = ("commit_turn", "free_hooks", "write_event")


def write_event(run: StoredRun, event: Event) -> bool:
    """Put *event* at the log's next position, unless its key is there."""
    if event.key in run.positions:
        return False
    position = run.record.position + 1
    event = replace(event, facts=dict(event.facts))
    run.events.append(LoggedEvent(position=position, event=event))
    run.positions[event.key] = position
    run.record = replace(run.record, position=position)
    return True


def free_hooks(store: Store, run_id: RunId, hook_ids: Collection[EntityId] | None) -> None:
    """Free the tokens of these hooks of the run; None means all."""
    for token, hook in list(store.hooks.items()):
        if hook.run_id == run_id and (hook_ids is None or hook.hook_id in hook_ids):
            del store.hooks[token]


def commit_turn(store: Store, commit: TurnCommit, *, now_ms: int) -> Committed:
    """Land *commit*, or give the answer it had."""
    run = store.run(commit.run_id)
    if run.last_commit is not None and run.last_commit[0] == commit.commit_id:
        return run.last_commit[1]
    _check(run, commit)
    before = run.record.position
    free_hooks(store, commit.run_id, commit.hooks_released)
    conflicts = _claim_hooks(store, commit)
    free_hooks(store, commit.run_id, commit.hooks_released)  # those claimed just now, too
    _write_log(run, commit, conflicts)
    _advance(run, commit, first=before, now_ms=now_ms)
    if commit.snapshot is not None:
        keep_snapshot(run, commit.snapshot)
    sent = [send_message(store, new, now_ms=now_ms) for new in commit.messages]
    _end_leases(store, run, commit, now_ms=now_ms)
    if conflicts and run.wake is not None:
        run.wake.arm(now_ms)
    if commit.outcome is not None:
        _end_run(store, run, commit.outcome)
    committed = Committed(
        turn=run.record.turn,
        position=run.record.position,
        first_position=before + 1,
        leases=tuple(lease for lease in sent if lease is not None),
        conflicts=tuple(conflicts),
    )
    run.last_commit = (commit.commit_id, committed)
    return committed


def _check(run: StoredRun, commit: TurnCommit) -> None:
    record = run.record
    if record.status.is_ended:
        raise RunEndedError(record.run_id, status=record.status)
    if commit.turn != record.turn:
        reason = f"it builds on turn {commit.turn}, the run is at {record.turn}"
        raise StaleTurnError(record.run_id, reason=reason)
    if not commit.deliveries and commit.outcome is None:
        return
    if record.position > commit.expected_position:
        reason = f"it knows of position {commit.expected_position}, the log is at {record.position}"
        raise StaleTurnError(record.run_id, reason=reason)
    for event in commit.deliveries:
        if event.key in run.positions:
            raise StaleTurnError(record.run_id, reason=f"{event.key} is in the log already")


def _claim_hooks(store: Store, commit: TurnCommit) -> dict[EntityId, HookRecord]:
    """Take the tokens that are free; gives the holders of those that are not, by our hook."""
    conflicts: dict[EntityId, HookRecord] = {}
    for claim in commit.hooks_claimed:
        holder = store.hooks.get(claim.token)
        if holder is None:
            store.hooks[claim.token] = HookRecord(
                run_id=commit.run_id,
                hook_id=claim.hook_id,
                token=claim.token,
                metadata=claim.metadata,
                is_webhook=claim.is_webhook,
            )
        elif (holder.run_id, holder.hook_id) != (commit.run_id, claim.hook_id):
            conflicts[claim.hook_id] = holder
    return conflicts


def _write_log(run: StoredRun, commit: TurnCommit, conflicts: dict[EntityId, HookRecord]) -> None:
    attributes = dict(run.record.attributes)
    for event in (*commit.deliveries, *commit.events):
        holder = conflicts.get(event.entity) if event.entity is not None else None
        if event.type is EventType.HOOK_CREATED and holder is not None:
            event = _conflict(event, holder)
        written = write_event(run, event)
        if written and event.type is EventType.ATTRIBUTES_SET:
            for name, value in event.facts.items():
                attributes.pop(name, None)
                if value is not None:
                    attributes[name] = str(value)
    if commit.outcome is not None:
        write_event(run, _ended(commit.outcome))
    run.record = replace(run.record, attributes=attributes)


def _conflict(event: Event, holder: HookRecord) -> Event:
    return Event(
        type=EventType.HOOK_CONFLICT,
        key=f"{event.entity}/conflict",
        at_ms=event.at_ms,
        entity=event.entity,
        facts={"token": holder.token, "run_id": holder.run_id},
    )


def _ended(outcome: RunOutcome) -> Event:
    completed = outcome.status is RunStatus.COMPLETED
    return Event(
        type=EventType.RUN_COMPLETED if completed else EventType.RUN_FAILED,
        key="run/ended",
        at_ms=outcome.at_ms,
        payload=outcome.payload,
    )


def _advance(run: StoredRun, commit: TurnCommit, *, first: int, now_ms: int) -> None:
    record, started = run.record, run.record.started_at_ms
    if started is None:
        started = run.events[first].event.at_ms if len(run.events) > first else now_ms
    run.record = replace(
        record,
        status=RunStatus.RUNNING,
        turn=record.turn + 1,
        consumed=commit.consumed,
        log_digest=commit.log_digest,
        started_at_ms=started,
    )
    if run.wake is not None:
        run.wake.attempt = 0


def _end_leases(store: Store, run: StoredRun, commit: TurnCommit, *, now_ms: int) -> None:
    armed = False
    for end in commit.leases:
        ours = end.lease.is_wake and end.lease.item == commit.run_id
        armed |= _try_end(store, end, now_ms, commit.wake_at_ms if ours else None) and ours
    if not armed and commit.wake_at_ms is not None and run.wake is not None:
        run.wake.arm(commit.wake_at_ms)


def _try_end(store: Store, end: LeaseEnd, now_ms: int, next_due_ms: int | None) -> bool:
    try:
        end_claim(store, end, now_ms=now_ms, next_due_ms=next_due_ms)
    except LeaseLostError:
        return False
    return True


def _end_run(store: Store, run: StoredRun, outcome: RunOutcome) -> None:
    run.record = replace(
        run.record, status=outcome.status, payload=outcome.payload, ended_at_ms=outcome.at_ms
    )
    free_hooks(store, run.record.run_id, None)
    drop_work(store, run.record.run_id)
