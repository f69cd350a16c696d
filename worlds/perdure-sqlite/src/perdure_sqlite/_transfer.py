"""Transfer: runs that leave for another world, and runs that come; a transaction each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import final

from perdure.abc import Transfer
from perdure.errors import RunWatchedError
from perdure.model import (
    Departure,
    Lease,
    Message,
    PendingWork,
    RunCopy,
    RunId,
    RunRecord,
    StreamCopy,
)
from perdure.worldkit.pure import (
    Claimable,
    Mailbox,
    arrived_record,
    check_same_arrival,
    check_tokens_free,
    confirmed_record,
    copied_writes,
    departed_outcome,
    has_departed,
    moved_event,
    moved_key,
    pending_work,
    work_of,
)

from ._ends import end_run
from ._handle import Handle
from ._hooks import INSERT_HOOK, drop_hooks, find_hook, hook_values, hooks_of
from ._log import Log
from ._messages import spill
from ._runs import RECORD, find_run, record_of
from ._schema import EVENT_INSERT, EVENT_PLACES, Row, pack_event, pack_map
from ._snapshots import keep_snapshot
from ._watchers import others_of
from ._writer import Transaction

__all__ = ("SqliteTransfer",)

_WAKE = "wake_due_ms, wake_generation, wake_attempt, wake_token, wake_expires_ms"


@final
class SqliteTransfer(Transfer):
    """Departures from an SQLite world, and arrivals."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def depart(self, departure: Departure) -> RunRecord:
        url = self._handle.url
        return await self._handle.write(lambda transaction: _depart(transaction, departure, url))

    async def read_streams(self, run_id: RunId) -> tuple[StreamCopy, ...]:
        def work(db: sqlite3.Connection) -> tuple[StreamCopy, ...]:
            db.execute("BEGIN")  # one instant for all
            try:
                (n,) = find_run(db, run_id, "n")
                return tuple(_read_streams(db, n))
            finally:
                db.execute("COMMIT")

        return await self._handle.read(work)

    async def arrive(self, copy: RunCopy) -> RunRecord:
        return await self._handle.write(lambda transaction: _arrive(transaction, copy))

    async def confirm(self, run_id: RunId) -> RunRecord:
        def work(transaction: Transaction) -> RunRecord:
            record = confirmed_record(record_of(find_run(transaction.db, run_id, RECORD)))
            transaction.db.execute(
                "UPDATE runs SET status = ? WHERE run_id = ?", (record.status, run_id)
            )
            return record

        return await self._handle.write(work)


def _depart(transaction: Transaction, departure: Departure, url: str) -> RunRecord:
    db, now_ms, run_id = transaction.db, transaction.now_ms, departure.run_id
    n, *row = find_run(db, run_id, f"n, {RECORD}, {_WAKE}")
    record = record_of(tuple(row))
    if has_departed(record, departure):
        return record
    others = others_of(db, n, record)
    if others:
        raise RunWatchedError(run_id, others=others)
    wake = _mailbox(run_id, row[-5:])
    spill(db, "n = ?", (n,))
    messages, hooks = _messages(db, n, run_id), hooks_of(db, n)
    work = pending_work(departure, wake, messages, hooks, now_ms=now_ms)
    log = Log(db, n, record.position)
    log.write(moved_event(record, departure, work, url=url, now_ms=now_ms))
    db.execute("UPDATE runs SET position = ? WHERE n = ?", (log.position, n))
    end_run(transaction, n, run_id, departed_outcome(departure, now_ms=now_ms))
    drop_hooks(db, n)
    return record_of(find_run(db, run_id, RECORD))


def _mailbox(run_id: RunId, parts: list[int | str | None]) -> Mailbox:
    due_ms, generation, attempt, token, expires_ms = parts
    assert isinstance(generation, int)
    assert isinstance(attempt, int)
    assert not isinstance(due_ms, str)
    lease = _lease(run_id, token, expires_ms, is_wake=True)
    return Mailbox(due_ms=due_ms, generation=generation, claims=attempt, lease=lease)


def _lease(item: str, token: object, expires_ms: object, *, is_wake: bool) -> Lease | None:
    if not isinstance(token, str) or not isinstance(expires_ms, int):
        return None
    return Lease(item=item, token=token, is_wake=is_wake, expires_at_ms=expires_ms)


def _messages(
    db: sqlite3.Connection, n: int, run_id: RunId
) -> Iterator[tuple[Message, Claimable, int, int]]:
    rows = db.execute(
        "SELECT name, topic, body, due_ms, token, expires_ms, attempt, lost, returned"
        " FROM messages WHERE n = ?",
        (n,),
    ).fetchall()
    for name, topic, body, due_ms, token, expires_ms, attempt, losses, returned in rows:
        message = Message(message_id=f"{run_id}/{name}", run_id=run_id, topic=topic, body=body)
        lease = _lease(message.message_id, token, expires_ms, is_wake=False)
        yield message, Claimable(due_ms=due_ms, lease=lease, claims=attempt), losses, returned


def _read_streams(db: sqlite3.Connection, n: int) -> Iterator[StreamCopy]:
    rows = db.execute("SELECT id, name, closed FROM streams WHERE n = ? ORDER BY name", (n,))
    for stream, name, closed in rows.fetchall():
        chunks = db.execute("SELECT data FROM chunks WHERE stream = ? ORDER BY position", (stream,))
        data = tuple(row[0] for row in chunks)
        writes = db.execute(
            "SELECT writer, attempt, sequence, length FROM stream_writes WHERE stream = ?",
            (stream,),
        )
        yield StreamCopy(
            name=name, chunks=data, closed=bool(closed), writes=copied_writes(writes.fetchall())
        )


def _arrive(transaction: Transaction, copy: RunCopy) -> RunRecord:
    db, record = transaction.db, arrived_record(copy)
    work = work_of(copy)
    row: Row | None = db.execute(
        f"SELECT n, {RECORD} FROM runs WHERE run_id = ?", (record.run_id,)
    ).fetchone()
    if row is not None:
        here = record_of(row[1:])
        at = Log(db, row[0], here.position).find(moved_key(copy.record.position))
        check_same_arrival(here, at, copy)
        return here
    check_tokens_free(work, lambda token: find_hook(db, token, now_ms=transaction.now_ms))
    transaction.is_promise = True
    n = _insert_run(db, record, work)
    db.executemany(
        f"{EVENT_INSERT} {EVENT_PLACES}",
        [pack_event(n, logged.position, logged.event) for logged in copy.events],
    )
    for snapshot in copy.chain:
        keep_snapshot(db, n, snapshot)
    _insert_work(db, n, work)
    for stream in copy.streams:
        _insert_stream(db, n, stream)
    transaction.rings.update({"wakes", "messages", record.run_id})
    return record


def _insert_run(db: sqlite3.Connection, record: RunRecord, work: PendingWork) -> int:
    cursor = db.execute(
        f"INSERT INTO runs ({RECORD}, wake_due_ms, wake_generation, wake_attempt)"
        f" VALUES ({', '.join('?' * 23)})",
        (
            record.run_id,
            record.workflow,
            record.bundle,
            record.engine,
            record.status,
            record.turn,
            record.position,
            record.consumed,
            record.log_digest,
            record.created_at_ms,
            record.started_at_ms,
            record.ended_at_ms,
            record.payload,
            record.idempotency_key,
            pack_map(record.attributes),
            record.level,
            record.secret,
            record.base_url,
            record.code,
            record.cancel_at_ms,
            work.wake_due_ms,
            work.wake_generation,
            work.wake_claims,
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _insert_work(db: sqlite3.Connection, n: int, work: PendingWork) -> None:
    db.executemany(INSERT_HOOK, [(n, *hook_values(hook)) for hook in work.hooks])
    db.executemany(
        "INSERT INTO messages (n, name, id, topic, body, due_ms, attempt, lost, returned)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                n,
                one.message.message_id.partition("/")[2],
                one.message.message_id,
                one.message.topic,
                one.message.body,
                one.due_ms,
                one.claims,
                one.losses,
                one.returned,
            )
            for one in work.messages
        ],
    )


def _insert_stream(db: sqlite3.Connection, n: int, stream: StreamCopy) -> None:
    cursor = db.execute(
        "INSERT INTO streams (n, name, length, closed) VALUES (?, ?, ?, ?)",
        (n, stream.name, len(stream.chunks), int(stream.closed)),
    ).lastrowid
    db.executemany(
        "INSERT INTO chunks (stream, position, data) VALUES (?, ?, ?)",
        [(cursor, at, bytes(chunk)) for at, chunk in enumerate(stream.chunks)],
    )
    db.executemany(
        "INSERT INTO stream_writes VALUES (?, ?, ?, ?, ?)",
        [
            (cursor, write.writer, write.attempt, write.sequence, write.length)
            for write in stream.writes
        ],
    )
