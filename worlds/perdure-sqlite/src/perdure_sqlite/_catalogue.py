"""Catalogue: finding runs, and taking them away."""

from __future__ import annotations

import sqlite3
from typing import final

from perdure.abc import Catalogue
from perdure.errors import RunLiveError
from perdure.lowlevel import list_cursor, parse_cursor
from perdure.model import RunFilter, RunId, RunPage, RunRecord, RunStatus

from ._handle import Handle
from ._runs import RECORD, record_of
from ._snapshots import drop_snapshots
from ._writer import Transaction

__all__ = ("SqliteCatalogue",)

_TABLES = ("events", "hooks", "messages", "streams", "runs")


@final
class SqliteCatalogue(Catalogue):
    """The catalogue of an SQLite world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> RunPage:
        self._handle.check_open()
        after, limit = parse_cursor(cursor), max(limit, 0)
        found = await self._handle.read(lambda db: _find(db, where, after, limit + 1))
        page = tuple(found[:limit])
        more = len(found) > len(page) and page
        return RunPage(runs=page, cursor=list_cursor(page[-1]) if more else None)

    async def delete_run(self, run_id: RunId) -> None:
        def work(transaction: Transaction) -> None:
            db = transaction.db
            row = db.execute("SELECT n, status FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is not None and not RunStatus(row[1]).is_over:
                raise RunLiveError(run_id)
            _forget(db, run_id, None if row is None else row[0])
            transaction.rings.add(run_id)

        await self._handle.write(work)

    async def purge(self, *, ended_before_ms: int, limit: int = 100) -> int:
        def work(transaction: Transaction) -> int:
            rows = transaction.db.execute(
                "SELECT n, run_id FROM runs WHERE ended_at_ms < ? AND status != ?"
                " ORDER BY ended_at_ms, run_id LIMIT ?",
                (ended_before_ms, RunStatus.MOVING, max(limit, 0)),
            ).fetchall()
            for n, run_id in rows:
                _forget(transaction.db, run_id, n)
                transaction.rings.add(run_id)
            return len(rows)

        return await self._handle.write(work)


def _find(
    db: sqlite3.Connection, where: RunFilter, after: tuple[int, str], limit: int
) -> list[RunRecord]:
    conditions, values = ["(created_at_ms, run_id) > (?, ?)"], list[object](after)
    for column, value in (("status", where.status), ("workflow", where.workflow)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    rows = db.execute(
        f"SELECT {RECORD} FROM runs WHERE {' AND '.join(conditions)}"
        " ORDER BY created_at_ms, run_id",
        values,
    )
    found: list[RunRecord] = []
    for row in rows:
        record = record_of(row)
        if where.attributes.items() <= record.attributes.items():
            found.append(record)
            if len(found) == limit:
                break
    rows.close()
    return found


def _forget(db: sqlite3.Connection, run_id: str, n: int | None) -> None:
    db.execute("DELETE FROM blobs WHERE run_id = ?", (run_id,))
    if n is None:
        return
    for table in ("chunks", "stream_writes"):
        db.execute(
            f"DELETE FROM {table} WHERE stream IN (SELECT id FROM streams WHERE n = ?)", (n,)
        )
    drop_snapshots(db, n)
    for table in _TABLES:
        db.execute(f"DELETE FROM {table} WHERE n = ?", (n,))
