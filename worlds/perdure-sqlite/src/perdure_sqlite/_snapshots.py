"""Snapshots: a run's chain of heap images."""

from __future__ import annotations

import sqlite3
from typing import final

from perdure.abc import Snapshots
from perdure.model import RunId, Snapshot

from ._handle import Handle
from ._schema import OF_RUN, ids_of
from ._writer import Transaction

__all__ = ("SqliteSnapshots", "drop_snapshots", "keep_snapshot", "read_chain")


def keep_snapshot(db: sqlite3.Connection, n: int, snapshot: Snapshot) -> None:
    """Keep it as the run's newest, or pass it over."""
    newest = db.execute(f"SELECT max(id) FROM snapshots WHERE {OF_RUN}", ids_of(n)).fetchone()[0]
    newest = None if newest is None else newest & 0xFFFFFFFF
    if newest is not None and snapshot.turn <= newest:
        return
    if snapshot.parent_turn is None:
        drop_snapshots(db, n)
    elif snapshot.parent_turn != newest:
        return
    db.execute(
        "INSERT INTO snapshots (id, parent_turn, consumed, data) VALUES (?, ?, ?, ?)",
        (n << 32 | snapshot.turn, snapshot.parent_turn, snapshot.consumed, snapshot.data),
    )


def drop_snapshots(db: sqlite3.Connection, n: int) -> None:
    """Drop a run's chain."""
    db.execute(f"DELETE FROM snapshots WHERE {OF_RUN}", ids_of(n))


def read_chain(db: sqlite3.Connection, n: int) -> tuple[Snapshot, ...]:
    """The run's chain, root first."""
    rows = db.execute(
        f"SELECT turn, parent_turn, consumed, data FROM snapshots WHERE {OF_RUN} ORDER BY id",
        ids_of(n),
    )
    return tuple(
        Snapshot(turn=turn, parent_turn=parent_turn, consumed=consumed, data=data)
        for turn, parent_turn, consumed, data in rows
    )


@final
class SqliteSnapshots(Snapshots):
    """The snapshots of an SQLite world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def save(self, run_id: RunId, snapshot: Snapshot) -> None:
        def work(transaction: Transaction) -> None:
            row = transaction.db.execute(
                "SELECT n FROM runs WHERE run_id = ? AND ended_at_ms IS NULL", (run_id,)
            ).fetchone()
            if row is not None:
                keep_snapshot(transaction.db, row[0], snapshot)

        await self._handle.write(work)

    async def load(self, run_id: RunId) -> tuple[Snapshot, ...]:
        def work(db: sqlite3.Connection) -> tuple[Snapshot, ...]:
            row = db.execute("SELECT n FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            return () if row is None else read_chain(db, row[0])

        return await self._handle.read(work)

    async def delete(self, run_id: RunId) -> None:
        def work(transaction: Transaction) -> None:
            row = transaction.db.execute(
                "SELECT n FROM runs WHERE run_id = ?", (run_id,)
            ).fetchone()
            if row is not None:
                drop_snapshots(transaction.db, row[0])

        await self._handle.write(work)
