"""Turn: landing one ``TurnCommit``, the checks first and then the changes.

Synchronous; the caller is in a transaction, and whatever raises here leaves nothing behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2

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
    Event,
    EventType,
    HookRecord,
    Lease,
    LeaseEnd,
    RunId,
    RunOutcome,
    RunStatus,
    TurnCommit,
)

from ._messages import drop_messages, end_message, send_message
from ._owners import Owner
from ._runs import Wake, find_run, insert_run, pack_map, store_wake, unpack_map
from ._schema import EVENT_INSERT, EVENT_PLACES, pack_event, pack_key
from ._snapshots import keep_snapshot
from ._writer import Transaction

__all__ = ("Log", "commit_turn", "end_run", "find_hook", "free_hooks")

# For events in one statement: there is a prepared one for each count.
_INSERTS = [f"{EVENT_INSERT} {', '.join([EVENT_PLACES] * count)}" for count in range(9)]
_ADVANCED = (
    "turn = ?, position = ?, consumed = ?, log_digest = ?, started_at_ms = ?, attributes = ?,"
    " commit_id = ?, committed = ?, wake_attempt = 0"
)
_ENDED = (
    "status = ?, payload = ?, ended_at_ms = ?, wake_due_ms = NULL, wake_token = NULL,"
    " wake_expires_ms = NULL, leased_ms = NULL"
)
_ADVANCE = f"UPDATE runs SET {_ADVANCED}, status = 'running' WHERE n = ?"
_ADVANCE_AND_BOUND = f"UPDATE runs SET {_ADVANCED}, status = 'running', leased_ms = ? WHERE n = ?"
_ADVANCE_AND_END = f"UPDATE runs SET {_ADVANCED}, {_ENDED} WHERE n = ?"
_STATUSES = {status.value: status for status in RunStatus}
_LEASE_PARTS = ("item", "token", "is_wake", "expires_at_ms")


@dataclass(slots=True)
class Log:
    """A run's log while it is written."""

    db: sqlite3.Connection
    n: int
    position: int
    first_at_ms: int | None = None  # of the first event written

    def write(self, event: Event) -> bool:
        """Put *event* at the next position, unless its key is there."""
        row = pack_event(self.n, self.position + 1, event)
        try:
            self.db.execute(_INSERTS[1], row)
        except sqlite3.IntegrityError:
            return False
        self.position += 1
        if self.first_at_ms is None:
            self.first_at_ms = event.at_ms
        return True

    def write_all(self, events: Sequence[Event]) -> list[bool]:
        """Put *events* at the next positions; says of each whether its key was not there."""
        count = len(events)
        if 1 < count < len(_INSERTS):
            values: list[Any] = []
            for position, event in enumerate(events, start=self.position + 1):
                values += pack_event(self.n, position, event)
            try:
                self.db.execute(_INSERTS[count], values)
            except sqlite3.IntegrityError:
                pass  # one by one
            else:
                self.position += count
                if self.first_at_ms is None:
                    self.first_at_ms = events[0].at_ms
                return [True] * count
        return [self.write(event) for event in events]

    def find(self, key: str) -> int | None:
        """The position of the event with this key."""
        row = self.db.execute(
            "SELECT position FROM events WHERE n = ? AND key = ?", (self.n, pack_key(key))
        ).fetchone()
        return None if row is None else int(row[0])


@dataclass(slots=True)
class _Row:
    """What a commit reads of its run."""

    wake: Wake
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
    "status, turn, position, started_at_ms, attributes, commit_id, committed, leased_ms, "
    + Wake.COLUMNS
)
_WAKE = _COLUMNS.count(",") - Wake.COLUMNS.count(",")


def commit_turn(transaction: Transaction, commit: TurnCommit, owner: Owner) -> Committed:
    """Land *commit*, or give the answer it had; nothing has been written when it raises.

    But for a new run, and a delivery that is in the log already: the caller rolls back.
    """
    db = transaction.db
    made = commit.new is not None and insert_run(db, commit.new, due_ms=None)
    row = find_run(db, commit.run_id, _COLUMNS)
    run = _Row(Wake(*row[_WAKE:]), *row[:_WAKE])
    if run.committed is not None and run.commit_id == commit.commit_id:
        return _unpack_committed(run.committed)
    log = Log(db, run.n, run.position)
    if commit.new is not None:
        if not made:
            raise StaleTurnError(commit.run_id, reason="it is there already")
        Log(db, run.n, 0).write(created_event(commit.new))
    check_turn(commit, status=_STATUSES[run.status], turn=run.turn, position=run.position)
    conflicts: dict[EntityId, HookRecord] = {}
    if commit.hooks_claimed or commit.hooks_released:
        free_hooks(db, run.n, commit.hooks_released)
        conflicts = _claim_hooks(db, run.n, commit)
        free_hooks(db, run.n, commit.hooks_released)  # those claimed just now, too
    attributes = _write_log(log, run, commit, conflicts)
    if commit.snapshot is not None:
        keep_snapshot(db, run.n, commit.snapshot)
    leases, leased_ms = _send(transaction, run, commit, owner)
    _end_leases(transaction, run.wake, commit)
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
    return committed


def end_run(transaction: Transaction, n: int, run_id: RunId, outcome: RunOutcome) -> None:
    """Give the run its end: what it holds is freed, what waits for it is woken."""
    transaction.db.execute(
        f"UPDATE runs SET {_ENDED} WHERE n = ?",
        (outcome.status, outcome.payload, outcome.at_ms, n),
    )
    _let_go(transaction, n, run_id)


def _let_go(transaction: Transaction, n: int, run_id: RunId) -> None:
    free_hooks(transaction.db, n, None)
    drop_messages(transaction.db, n)
    transaction.rings.add(run_id)


def free_hooks(db: sqlite3.Connection, n: int, hook_ids: Collection[EntityId] | None) -> None:
    """Free the tokens of these hooks of the run; None means all."""
    if hook_ids is None:
        db.execute("DELETE FROM hooks WHERE n = ?", (n,))
        return
    for hook_id in hook_ids:
        db.execute("DELETE FROM hooks WHERE n = ? AND hook_id = ?", (n, hook_id))


def find_hook(db: sqlite3.Connection, token: str) -> HookRecord | None:
    """Who holds the token."""
    row = db.execute(
        "SELECT run_id, hook_id, token, metadata, is_webhook FROM hooks JOIN runs USING (n)"
        " WHERE token = ?",
        (token,),
    ).fetchone()
    if row is None:
        return None
    return HookRecord(
        run_id=RunId(row[0]),
        hook_id=EntityId(row[1]),
        token=row[2],
        metadata=row[3],
        is_webhook=bool(row[4]),
    )


def _claim_hooks(db: sqlite3.Connection, n: int, commit: TurnCommit) -> dict[EntityId, HookRecord]:
    """Take the tokens that are free; gives the holders of those that are not, by our hook."""
    conflicts: dict[EntityId, HookRecord] = {}
    for claim in commit.hooks_claimed:
        holder = find_hook(db, claim.token)
        if holder is None:
            db.execute(
                "INSERT INTO hooks (token, n, hook_id, metadata, is_webhook)"
                " VALUES (?, ?, ?, ?, ?)",
                (claim.token, n, claim.hook_id, claim.metadata, claim.is_webhook),
            )
        elif (holder.run_id, holder.hook_id) != (commit.run_id, claim.hook_id):
            conflicts[claim.hook_id] = holder
    return conflicts


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
            before = unpack_map(run.attributes) if attributes is None else attributes
            attributes = merged_attributes(before, event.facts)
    if attributes is None:
        return run.attributes
    return pack_map(attributes)


def _send(
    transaction: Transaction, run: _Row, commit: TurnCommit, owner: Owner
) -> tuple[tuple[Lease, ...], int | None]:
    """Send the commit's messages.

    Returns:
        the leases of those that are sent leased, and the run's bound for them if it is a new one.
    """
    if commit.outcome is not None:
        return (), None
    sent = [send_message(transaction, run.n, message, owner) for message in commit.messages]
    leases = tuple([lease for lease in sent if lease is not None])
    first_ms = min([lease.expires_at_ms for lease in leases], default=None)
    if first_ms is not None and (run.leased_ms is None or first_ms < run.leased_ms):
        return leases, first_ms
    return leases, None


def _end_leases(transaction: Transaction, wake: Wake, commit: TurnCommit) -> None:
    armed = False
    for end in commit.leases:
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
        _pack_committed(committed),
    )
    end, db = commit.outcome, transaction.db
    if end is not None:
        db.execute(_ADVANCE_AND_END, (*values, end.status, end.payload, end.at_ms, run.n))
        _let_go(transaction, run.n, commit.run_id)
        return
    if leased_ms is None:
        db.execute(_ADVANCE, (*values, run.n))
    else:
        db.execute(_ADVANCE_AND_BOUND, (*values, leased_ms, run.n))
    store_wake(transaction, run.wake)


def _pack_committed(committed: Committed) -> bytes:
    # Flat: the encoder asks of each list within whether it is a mapping.
    parts: list[Any] = [committed.turn, committed.position, committed.first_position]
    parts += [len(committed.conflicts), *committed.conflicts]
    for lease in committed.leases:
        parts += [lease.item, lease.token, lease.is_wake, lease.expires_at_ms]
    data: bytes = cbor2.dumps(parts)
    return data


def _unpack_committed(data: bytes) -> Committed:
    turn, position, first_position, count, *rest = cbor2.loads(data)
    conflicts, leases = rest[:count], rest[count:]
    return Committed(
        turn=turn,
        position=position,
        first_position=first_position,
        leases=tuple(
            Lease(**dict(zip(_LEASE_PARTS, leases[at : at + 4], strict=True)))
            for at in range(0, len(leases), 4)
        ),
        conflicts=tuple(EntityId(hook) for hook in conflicts),
    )
