"""Runs: a row of ``runs`` as a record, and the wake that lives in it.

Synchronous; the caller is in a transaction. A ``Wake`` is read with its run, changed in memory and
stored once.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import cbor2

from perdure.errors import LeaseLostError, RunNotFoundError
from perdure.model import (
    Committed,
    Digest,
    EntityId,
    Event,
    Lease,
    LeaseEnd,
    NewRun,
    RunId,
    RunRecord,
    RunStatus,
)
from perdure.worldkit.pure import attributes_after, load_plain, rearmed_due_ms
from perdure.worldkit.values import record_class

from ._schema import Row, pack_map, unpack_map, unreadable
from ._writer import Transaction

__all__ = (
    "RECORD",
    "Wake",
    "find_run",
    "insert_run",
    "load_wake",
    "pack_committed",
    "record_of",
    "set_attributes",
    "store_wake",
    "unpack_committed",
)

_LEASE_PARTS = ("item", "token", "is_wake", "expires_at_ms")
RECORD = (
    "run_id, workflow, bundle, engine, status, turn, position, consumed, log_digest,"
    " created_at_ms, started_at_ms, ended_at_ms, payload, idempotency_key, attributes,"
    " level, secret, base_url, code, cancel_at_ms"
)


def record_of(row: Row) -> RunRecord:
    """The record in a row of ``RECORD`` columns.

    Raises:
        WorldContractError: the row is damaged, or of a later version.
    """
    try:
        return _record(row)
    except (TypeError, ValueError) as exc:
        raise unreadable(f"the record of run {row[0]}", exc) from exc


def _record(row: Row) -> RunRecord:
    return RunRecord(
        run_id=RunId(row[0]),
        workflow=row[1],
        bundle=Digest(row[2]),
        engine=Digest(row[3]),
        status=RunStatus(row[4]),
        turn=row[5],
        position=row[6],
        consumed=row[7],
        log_digest=row[8],
        created_at_ms=row[9],
        started_at_ms=row[10],
        ended_at_ms=row[11],
        payload=row[12],
        idempotency_key=row[13],
        attributes=unpack_map(row[14]),
        level=row[15],
        secret=row[16],
        base_url=row[17],
        code=row[18],
        cancel_at_ms=row[19],
    )


def find_run(db: sqlite3.Connection, run_id: RunId, columns: str) -> Row:
    """These columns of the run.

    Raises:
        RunNotFoundError: no such run.
    """
    row: Row | None = db.execute(
        f"SELECT {columns} FROM runs WHERE run_id = ?", (run_id,)
    ).fetchone()
    if row is None:
        raise RunNotFoundError(run_id)
    return row


def set_attributes(db: sqlite3.Connection, n: int, run_id: RunId, event: Event) -> None:
    """Merge an event into a run's attributes.

    Raises:
        AttributeLimitError: the run would have too many.
        WorldContractError: the row is damaged.
    """
    (packed,) = db.execute("SELECT attributes FROM runs WHERE n = ?", (n,)).fetchone()
    try:
        attributes: dict[str, str] = unpack_map(packed)
    except ValueError as exc:
        raise unreadable(f"the record of run {run_id}", exc) from exc
    merged = pack_map(attributes_after(run_id, attributes, [event]))
    db.execute("UPDATE runs SET attributes = ? WHERE n = ?", (merged, n))


def insert_run(db: sqlite3.Connection, new: NewRun, *, due_ms: int | None) -> bool:
    """Make the run's row, without its first events; False if there is one."""
    cursor = db.execute(
        "INSERT INTO runs (run_id, workflow, bundle, engine, status, turn, position, consumed,"
        " log_digest, created_at_ms, idempotency_key, attributes, level, secret, base_url,"
        " wake_due_ms, wake_generation)"
        " VALUES (?, ?, ?, ?, 'pending', 0, ?, 0, x'', ?, ?, ?, ?, ?, ?, ?, 1)"
        " ON CONFLICT (run_id) DO NOTHING",
        (
            new.run_id,
            new.workflow,
            new.bundle,
            new.engine,
            1 if new.hook is None else 2,
            new.created_at_ms,
            new.idempotency_key,
            pack_map(new.attributes),
            new.level,
            new.secret,
            new.base_url,
            due_ms,
        ),
    )
    return cursor.rowcount == 1


@record_class(kw_only=False)
class Wake:
    """A run's mailbox; while it is claimed ``due_ms`` is that of a wake that came meanwhile."""

    n: int
    due_ms: int | None
    generation: int
    token: str | None
    expires_ms: int | None
    attempt: int
    dirty: bool = False

    COLUMNS = "n, wake_due_ms, wake_generation, wake_token, wake_expires_ms, wake_attempt"

    def arm(self, due_ms: int) -> None:
        """Make it due at *due_ms* at the latest."""
        self.due_ms = due_ms if self.due_ms is None else min(self.due_ms, due_ms)
        self.generation += 1
        self.dirty = True

    def check_live(self, lease: Lease, *, now_ms: int) -> None:
        """Pass only the holder of the live lease.

        Raises:
            LeaseLostError: the lease is no longer live.
        """
        if self.token != lease.token or self.expires_ms is None or now_ms >= self.expires_ms:
            raise LeaseLostError(lease.item)

    def end(self, end: LeaseEnd, *, now_ms: int, next_due_ms: int | None = None) -> None:
        """End the claim, and arm it anew as ``LeaseEnd`` says.

        Raises:
            LeaseLostError: the lease is no longer live; nothing was changed.
        """
        self.check_live(end.lease, now_ms=now_ms)
        times = [due for due in (end.next_due_ms, next_due_ms) if due is not None]
        self.due_ms = rearmed_due_ms(
            generation=self.generation,
            claim_generation=end.generation,
            due_ms=self.due_ms,
            next_due_ms=min(times, default=None),
            now_ms=now_ms,
        )
        self.token = self.expires_ms = None
        self.attempt = 0
        self.dirty = True

    def give_back(self, *, due_ms: int | None, ran: bool = True) -> None:
        """End the claim; due at *due_ms* or sooner if something came meanwhile.

        Args:
            ran: whether it is to count among the run's fruitless claims.
        """
        if not ran and self.attempt:  # a commit may have begun the count anew meanwhile
            self.attempt -= 1
        if due_ms is not None:
            self.due_ms = due_ms if self.due_ms is None else min(due_ms, self.due_ms)
        self.token = self.expires_ms = None
        self.dirty = True


def load_wake(db: sqlite3.Connection, run_id: str) -> Wake | None:
    """The wake of a run that has not ended."""
    row = db.execute(
        f"SELECT {Wake.COLUMNS} FROM runs WHERE run_id = ? AND ended_at_ms IS NULL", (run_id,)
    ).fetchone()
    return None if row is None else Wake(*row)


def store_wake(transaction: Transaction, wake: Wake) -> None:
    """Store it if it changed, and ring the bell of wakes if it can be claimed some time."""
    if not wake.dirty:
        return
    transaction.db.execute(
        "UPDATE runs SET wake_due_ms = ?, wake_generation = ?, wake_token = ?, wake_expires_ms = ?,"
        " wake_attempt = ? WHERE n = ?",
        (wake.due_ms, wake.generation, wake.token, wake.expires_ms, wake.attempt, wake.n),
    )
    if wake.token is None and wake.due_ms is not None:
        transaction.rings.add("wakes")


def pack_committed(committed: Committed) -> bytes:
    """The answer of a commit, to be given again."""
    # Flat: the encoder asks of each list within whether it is a mapping.
    conflicts = committed.conflicts
    parts: list[object] = [committed.turn, committed.position, committed.first_position]
    parts += (len(conflicts), *conflicts)
    for lease in committed.leases:
        parts += (lease.item, lease.token, lease.is_wake, lease.expires_at_ms)
    data: bytes = cbor2.dumps(parts)
    return data


def unpack_committed(data: bytes) -> Committed:
    """The answer that ``pack_committed`` packed.

    Raises:
        WorldContractError: it is damaged, or of a later version.
    """
    try:
        return _unpack_committed(load_plain(data, depth=1))
    except (TypeError, ValueError) as exc:
        raise unreadable("the answer of a run's last commit", exc) from exc


def _unpack_committed(parts: Any) -> Committed:
    turn, position, first_position, count, *rest = parts
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
