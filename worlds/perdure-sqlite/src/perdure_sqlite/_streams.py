"""Streams: chunks of a run, read while they are written."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import final

from perdure.abc import Streams
from perdure.errors import StreamClosedError, StreamFencedError
from perdure.model import RunId, StreamInfo, StreamPage
from perdure.worldkit.pure import fitting, is_system_stream

from ._handle import Handle
from ._runs import find_run
from ._schema import Row, bounded
from ._writer import Transaction

__all__ = ("SqliteStreams",)


@final
class SqliteStreams(Streams):
    """The streams of an SQLite world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def append(
        self,
        run_id: RunId,
        name: str,
        chunks: Sequence[bytes],
        *,
        writer: str,
        sequence: int,
        attempt: int = 1,
    ) -> int:
        def work(transaction: Transaction) -> int:
            db = transaction.db
            (n,) = find_run(db, run_id, "n")
            stream, length, closed = _find(db, n, name)
            latest, last = _last_write(db, stream, writer)
            _check_fence(run_id, name, writer, attempt, latest)
            if attempt == latest and sequence <= last:
                row = db.execute(
                    "SELECT length FROM stream_writes WHERE stream = ? AND writer = ?"
                    " AND attempt = ? AND sequence = ?",
                    (stream, writer, attempt, sequence),
                ).fetchone()
                if row is not None:
                    return int(row[0])
            if closed and chunks:
                raise StreamClosedError(run_id, name)
            if stream is None:
                stream = _make(db, n, name)
            db.executemany(
                "INSERT INTO chunks (stream, position, data) VALUES (?, ?, ?)",
                [(stream, at, bytes(chunk)) for at, chunk in enumerate(chunks, start=length)],
            )
            length += len(chunks)
            db.execute("UPDATE streams SET length = ? WHERE id = ?", (length, stream))
            db.execute(
                "INSERT INTO stream_writes VALUES (?, ?, ?, ?, ?)",
                (stream, writer, attempt, sequence, length),
            )
            transaction.rings.add(run_id)
            return int(length)

        return await self._handle.write(work)

    async def read(
        self, run_id: RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> StreamPage:
        if start < 0:
            start = max(0, (await self.info(run_id, name)).length + start)

        def work(db: sqlite3.Connection) -> tuple[tuple[bytes, ...], int, bool]:
            (n,) = find_run(db, run_id, "n")
            stream, length, closed = _find(db, n, name)
            rows = db.execute(
                "SELECT data FROM chunks WHERE stream = ? AND position >= ? AND position < ?"
                " ORDER BY position",
                (stream, bounded(start), min(start + limit, length)),
            )
            return fitting(row[0] for row in rows), length, bool(closed)

        page = StreamPage(start=start, chunks=(), done=False)
        async for _ in self._handle.looks(run_id, wait_ms):
            chunks, length, closed = await self._handle.read(work)
            is_last = closed and start + len(chunks) >= length
            page = StreamPage(start=start, chunks=chunks, done=is_last)
            if chunks or closed or limit < 1:
                break
        return page

    async def close(
        self, run_id: RunId, name: str, *, writer: str | None = None, attempt: int = 1
    ) -> None:
        def work(transaction: Transaction) -> None:
            (n,) = find_run(transaction.db, run_id, "n")
            stream, _, _ = _find(transaction.db, n, name)
            if writer is not None:
                latest, _ = _last_write(transaction.db, stream, writer)
                _check_fence(run_id, name, writer, attempt, latest)
            if stream is None:
                stream = _make(transaction.db, n, name)
            transaction.db.execute("UPDATE streams SET closed = 1 WHERE id = ?", (stream,))
            transaction.rings.add(run_id)

        await self._handle.write(work)

    async def delete(self, run_id: RunId, name: str) -> None:
        def work(transaction: Transaction) -> None:
            (n,) = find_run(transaction.db, run_id, "n")
            stream, _, _ = _find(transaction.db, n, name)
            for table in ("chunks", "stream_writes"):
                transaction.db.execute(f"DELETE FROM {table} WHERE stream = ?", (stream,))
            transaction.db.execute("DELETE FROM streams WHERE id = ?", (stream,))

        await self._handle.write(work)

    async def info(self, run_id: RunId, name: str) -> StreamInfo:
        def work(db: sqlite3.Connection) -> Row:
            (n,) = find_run(db, run_id, "n")
            return _find(db, n, name)

        _, length, closed = await self._handle.read(work)
        return StreamInfo(name=name, length=length, closed=bool(closed))

    async def list_streams(self, run_id: RunId) -> tuple[StreamInfo, ...]:
        def work(db: sqlite3.Connection) -> list[Row]:
            (n,) = find_run(db, run_id, "n")
            return db.execute(
                "SELECT name, length, closed FROM streams WHERE n = ? ORDER BY name", (n,)
            ).fetchall()

        rows = await self._handle.read(work)
        return tuple(
            StreamInfo(name=name, length=length, closed=bool(closed))
            for name, length, closed in rows
            if not is_system_stream(name)
        )


def _find(db: sqlite3.Connection, n: int, name: str) -> Row:
    """Id, length, closed; a stream nobody wrote has no id and is empty."""
    row: Row | None = db.execute(
        "SELECT id, length, closed FROM streams WHERE n = ? AND name = ?", (n, name)
    ).fetchone()
    return (None, 0, 0) if row is None else row


def _make(db: sqlite3.Connection, n: int, name: str) -> int | None:
    return db.execute("INSERT INTO streams (n, name) VALUES (?, ?)", (n, name)).lastrowid


def _last_write(db: sqlite3.Connection, stream: int | None, writer: str) -> tuple[int, int]:
    """The writer's latest attempt, and the last sequence of that; (0, 0) if it has not written."""
    row: tuple[int, int] | None = db.execute(
        "SELECT attempt, sequence FROM stream_writes WHERE stream = ? AND writer = ?"
        " ORDER BY attempt DESC, sequence DESC LIMIT 1",
        (stream, writer),
    ).fetchone()
    return (0, 0) if row is None else row


def _check_fence(run_id: RunId, name: str, writer: str, attempt: int, latest: int) -> None:
    if attempt < latest:
        raise StreamFencedError(run_id, name, writer=writer, attempt=attempt, latest=latest)
