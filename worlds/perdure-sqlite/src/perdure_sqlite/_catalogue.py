"""Catalogue: finding runs, and taking them away."""

from __future__ import annotations

import sqlite3
from typing import final

from perdure.abc import Catalogue
from perdure.errors import RunLiveError
from perdure.model import RunFilter, RunId, RunPage, RunRecord, RunStatus
from perdure.worldkit.pure import list_cursor, parse_cursor

from ._handle import Handle
from ._runs import RECORD, record_of
from ._schema import bounded
from ._snapshots import drop_snapshots
from ._writer import Transaction

__all__ = ("SqliteCatalogue",)

LOOKED_AT = 2000  # runs for one page
LAST_LOOKED_AT = (
    "SELECT created_at_ms, run_id FROM runs WHERE (created_at_ms, run_id) < (?, ?)"
    " ORDER BY created_at_ms DESC, run_id DESC LIMIT 1 OFFSET ?"
)
PURGED = (
    "SELECT run_id FROM runs WHERE ended_at_ms < ? AND status != ?"
    " ORDER BY ended_at_ms, run_id LIMIT ?"
)
_TABLES = ("watchers", "events", "hooks", "messages", "streams", "runs")


@final
class SqliteCatalogue(Catalogue):
    """The catalogue of an SQLite world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> RunPage:
        self._handle.check_open()
        after = parse_cursor(cursor)
        if limit < 1:
            return RunPage(runs=(), cursor=None)
        return await self._handle.read(lambda db: _page(db, where, after, bounded(limit)))

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
        """A run a transaction: another writer waits for one meanwhile, not for all."""
        limit = bounded(max(limit, 0))
        ended = await self._handle.read(
            lambda db: db.execute(PURGED, (ended_before_ms, RunStatus.MOVING, limit)).fetchall()
        )
        count = 0
        for (run_id,) in ended:
            count += await self._handle.write(
                # Mypy infers no lambda with a default.
                lambda transaction, run_id=run_id: _purge(transaction, run_id, ended_before_ms)  # type: ignore[misc]
            )
        return count


def _purge(transaction: Transaction, run_id: str, ended_before_ms: int) -> int:
    """Delete the run, unless another was faster. Returns how many that is."""
    row = transaction.db.execute(
        "SELECT n FROM runs WHERE run_id = ? AND ended_at_ms < ? AND status != ?",
        (run_id, ended_before_ms, RunStatus.MOVING),
    ).fetchone()
    if row is None:
        return 0
    _forget(transaction.db, run_id, row[0])
    transaction.rings.add(run_id)
    return 1


def _page(db: sqlite3.Connection, where: RunFilter, after: tuple[int, str], limit: int) -> RunPage:
    """A page of the matches among the next runs: a short one where few of many match.

    All who read wait for one connection, so nobody keeps it for as long as there are runs.
    """
    last = db.execute(LAST_LOOKED_AT, (*after, LOOKED_AT - 1)).fetchone()
    records = _find(db, where, after, last, limit + 1)
    if len(records) > limit:
        return RunPage(runs=tuple(records[:limit]), cursor=list_cursor(records[limit - 1]))
    beyond = None if last is None else f"{last[0]}/{last[1]}"
    return RunPage(runs=tuple(records), cursor=beyond)


def _find(
    db: sqlite3.Connection,
    where: RunFilter,
    after: tuple[int, str],
    last: tuple[int, str] | None,
    limit: int,
) -> list[RunRecord]:
    """The runs that match after one, up to *limit*, and up to another if there is one."""
    conditions, values = ["(created_at_ms, run_id) < (?, ?)"], list[object](after)
    if last is not None:
        conditions.append("(created_at_ms, run_id) >= (?, ?)")
        values += last
    for column, value in (("status", where.status), ("workflow", where.workflow)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    rows = db.execute(
        f"SELECT {RECORD} FROM runs WHERE {' AND '.join(conditions)}"
        " ORDER BY created_at_ms DESC, run_id DESC",
        values,
    )
    records: list[RunRecord] = []
    for row in rows:
        record = record_of(row)
        if where.attributes.items() <= record.attributes.items():
            records.append(record)
            if len(records) == limit:
                break
    rows.close()
    return records


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
