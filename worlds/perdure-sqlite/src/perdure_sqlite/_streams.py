"""Streams: chunks of a run, read while they are written."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import final

from perdure.abc import Streams
from perdure.errors import StreamClosedError
from perdure.model import RunId, StreamInfo, StreamPage

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
        self, run_id: RunId, name: str, chunks: Sequence[bytes], *, writer: str, sequence: int
    ) -> int:
        def work(transaction: Transaction) -> int:
            db = transaction.db
            (n,) = find_run(db, run_id, "n")
            stream, length, closed = _find(db, n, name)
            row = db.execute(
                "SELECT length FROM stream_writes WHERE stream = ? AND writer = ? AND sequence = ?",
                (stream, writer, sequence),
            ).fetchone()
            if row is not None:
                return int(row[0])
            if closed:
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
                "INSERT INTO stream_writes VALUES (?, ?, ?, ?)", (stream, writer, sequence, length)
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
            return tuple(row[0] for row in rows), length, bool(closed)

        page = StreamPage(start=start, chunks=(), done=False)
        async for _ in self._handle.looks(run_id, wait_ms):
            chunks, length, closed = await self._handle.read(work)
            is_last = closed and start + len(chunks) >= length
            page = StreamPage(start=start, chunks=chunks, done=is_last)
            if chunks or closed or limit < 1:
                break
        return page

    async def close(self, run_id: RunId, name: str) -> None:
        def work(transaction: Transaction) -> None:
            (n,) = find_run(transaction.db, run_id, "n")
            stream, _, _ = _find(transaction.db, n, name)
            if stream is None:
                stream = _make(transaction.db, n, name)
            transaction.db.execute("UPDATE streams SET closed = 1 WHERE id = ?", (stream,))
            transaction.rings.add(run_id)

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
        )


def _find(db: sqlite3.Connection, n: int, name: str) -> Row:
    """Id, length, closed; a stream nobody wrote has no id and is empty."""
    row: Row | None = db.execute(
        "SELECT id, length, closed FROM streams WHERE n = ? AND name = ?", (n, name)
    ).fetchone()
    return (None, 0, 0) if row is None else row


def _make(db: sqlite3.Connection, n: int, name: str) -> int | None:
    return db.execute("INSERT INTO streams (n, name) VALUES (?, ?)", (n, name)).lastrowid
