"""Turn: landing one ``TurnCommit``, the checks first and then the changes.

Synchronous; the caller is in a transaction, and whatever raises here leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from perdure.errors import LeaseLostError, StaleTurnError
from perdure.lowlevel import (
    check_turn,
    conflict_event,
    created_event,
    ended_event,
    merged_attributes,
)
from perdure.model import (
    Committed,
    EntityId,
    EventType,
    HookRecord,
    Lease,
    LeaseEnd,
    RunId,
    RunStatus,
    TurnCommit,
)

from ._ends import ENDED, let_go
from ._hooks import claim_hooks, free_hooks
from ._log import Log
from ._messages import Inline, end_message
from ._owners import Owner
from ._runs import (
    Wake,
    find_run,
    insert_run,
    pack_committed,
    store_wake,
    unpack_committed,
)
from ._schema import pack_map, unpack_map, unreadable
from ._sequences import Sequences
from ._snapshots import keep_snapshot
from ._writer import Transaction

__all__ = ("commit_turn",)

_ADVANCED = (
    "turn = ?, position = ?, consumed = ?, log_digest = ?, started_at_ms = ?, attributes = ?,"
    " commit_id = ?, committed = ?, wake_attempt = 0"
)
_ADVANCE = {  # by whether another message stands in the row, or none, and a new bound
    (inline, bound): f"UPDATE runs SET {_ADVANCED}{f', {Inline.CHANGED}' * inline}"
    f"{', leased_ms = ?' * bound}, status = 'running' WHERE n = ?"
    for inline in (False, True)
    for bound in (False, True)
}
_ADVANCE_AND_END = f"UPDATE runs SET {_ADVANCED}, {ENDED} WHERE n = ?"
_STATUSES = {status.value: status for status in RunStatus}


@dataclass(slots=True)
class _Row:
    """What a commit reads of its run."""

    wake: Wake
    inline: Inline
    status: str
    turn: int
    position: int
    started_at_ms: int | None
    attributes: bytes | None
    commit_id: str | None
    committed: bytes | None
    leased_ms: int | None

    @property
    def n(self) -> int:
        return self.wake.n


_COLUMNS = (
    f"{Wake.COLUMNS}, {Inline.COLUMNS},"
    " status, turn, position, started_at_ms, attributes, commit_id, committed, leased_ms"
)


def commit_turn(
    transaction: Transaction, commit: TurnCommit, owner: Owner, sequences: Sequences
) -> Committed:
    """Land *commit*, or give the answer it had; nothing has been written when it raises.

    But for a new run, and a delivery that is in the log already: the caller rolls back.
    """
    quick = sequences.commit(transaction, commit, owner)
    if quick is not None:
        return quick
    db = transaction.db
    transaction.is_promise = commit.new is not None
    made = commit.new is not None and insert_run(db, commit.new, due_ms=None)
    row = find_run(db, commit.run_id, _COLUMNS)
    run = _Row(Wake(*row[:6]), Inline(*row[6:9]), *row[9:])
    if run.committed is not None and run.commit_id == commit.commit_id:
        return unpack_committed(run.committed)
    log = Log(db, run.n, run.position)
    if commit.new is not None:
        if not made:
            raise StaleTurnError(commit.run_id, reason="it is there already")
        Log(db, run.n, 0).write(created_event(commit.new))
    check_turn(commit, status=_STATUSES[run.status], turn=run.turn, position=run.position)
    conflicts: dict[EntityId, HookRecord] = {}
    if commit.hooks_claimed or commit.hooks_released:
        free_hooks(db, run.n, commit.hooks_released)
        conflicts = claim_hooks(db, run.n, commit)
        free_hooks(db, run.n, commit.hooks_released)  # those claimed just now, too
    attributes = _write_log(log, run, commit, conflicts)
    if commit.snapshot is not None:
        keep_snapshot(db, run.n, commit.snapshot)
    leases, leased_ms = _send(transaction, run, commit, owner)
    _end_leases(transaction, run, commit)
    run.wake.attempt = 0
    if conflicts:
        run.wake.arm(transaction.now_ms)
    committed = Committed(
        turn=run.turn + 1,
        position=log.position,
        first_position=run.position + 1,
        leases=leases,
        conflicts=tuple(conflicts),
    )
    _advance(transaction, run, commit, log, committed, attributes, leased_ms)
    sequences.note(commit.run_id, run.n, run.inline.new_token if commit.outcome is None else None)
    return committed


def _write_log(
    log: Log, run: _Row, commit: TurnCommit, conflicts: dict[EntityId, HookRecord]
) -> bytes | None:
    """Write the commit's events; gives the run's attributes after them."""
    attributes: dict[str, str] | None = None  # None: as they were
    events = [*commit.deliveries, *commit.events]
    for index, event in enumerate(events) if conflicts else ():
        holder = conflicts.get(event.entity) if event.entity is not None else None
        if event.type is EventType.HOOK_CREATED and holder is not None:
            events[index] = conflict_event(event, holder)
    if commit.outcome is not None:
        events.append(ended_event(commit.outcome))
    written = log.write_all(events)
    for event, is_new in zip(commit.deliveries, written, strict=False):
        if not is_new:
            raise StaleTurnError(commit.run_id, reason=f"{event.key} is in the log already")
    for event, is_new in zip(events, written, strict=True):
        if is_new and event.type is EventType.ATTRIBUTES_SET:
            before = _attributes(commit.run_id, run) if attributes is None else attributes
            attributes = merged_attributes(before, event.facts)
    if attributes is None:
        return run.attributes
    return pack_map(attributes)


def _attributes(run_id: RunId, run: _Row) -> dict[str, str]:
    try:
        return unpack_map(run.attributes)
    except ValueError as exc:
        raise unreadable(f"the record of run {run_id}", exc) from exc


def _send(
    transaction: Transaction, run: _Row, commit: TurnCommit, owner: Owner
) -> tuple[tuple[Lease, ...], int | None]:
    """Send the commit's messages.

    Returns:
        the leases of those that are sent leased, and the run's bound for them if it is a new one.
    """
    if commit.outcome is not None:
        return (), None
    inline = run.inline
    for end in commit.leases:
        inline.end(end.lease, now_ms=transaction.now_ms)  # there may be room again
    sent = [
        inline.send(transaction, run.n, message, owner.new_token) for message in commit.messages
    ]
    leases = tuple([lease for lease in sent if lease is not None])
    first_ms = min([lease.expires_at_ms for lease in leases], default=None)
    if first_ms is not None and (run.leased_ms is None or first_ms < run.leased_ms):
        return leases, first_ms
    return leases, None


def _end_leases(transaction: Transaction, run: _Row, commit: TurnCommit) -> None:
    wake, armed = run.wake, False
    for end in commit.leases:
        if end.lease.token == run.inline.token:
            continue
        ours = end.lease.is_wake and end.lease.item == commit.run_id
        try:
            _end_lease(transaction, wake, end, commit.wake_at_ms if ours else None, ours=ours)
        except LeaseLostError:
            continue
        armed |= ours
    if not armed and commit.wake_at_ms is not None:
        wake.arm(commit.wake_at_ms)


def _end_lease(
    transaction: Transaction, wake: Wake, end: LeaseEnd, next_due_ms: int | None, *, ours: bool
) -> None:
    if ours:
        wake.end(end, now_ms=transaction.now_ms, next_due_ms=next_due_ms)
    elif not end.lease.is_wake:
        end_message(transaction, end.lease, n=wake.n)


def _advance(
    transaction: Transaction,
    run: _Row,
    commit: TurnCommit,
    log: Log,
    committed: Committed,
    attributes: bytes | None,
    leased_ms: int | None,
) -> None:
    started = run.started_at_ms
    if started is None:
        started = log.first_at_ms if log.first_at_ms is not None else transaction.now_ms
    values = (
        committed.turn,
        committed.position,
        commit.consumed,
        commit.log_digest,
        started,
        attributes,
        commit.commit_id,
        pack_committed(committed),
    )
    end, db = commit.outcome, transaction.db
    if end is not None:
        db.execute(_ADVANCE_AND_END, (*values, end.status, end.payload, end.at_ms, run.n))
        let_go(transaction, run.n, commit.run_id)
        return
    inline = run.inline.changed
    bound = () if leased_ms is None else (leased_ms,)
    statement = _ADVANCE[inline is not None, leased_ms is not None]
    db.execute(statement, (*values, *(inline or ()), *bound, run.n))
    store_wake(transaction, run.wake)
