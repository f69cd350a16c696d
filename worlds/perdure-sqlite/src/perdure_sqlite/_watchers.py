"""Watchers: the runs that are told the end of another.

Synchronous; the caller is in a transaction.
"""

from __future__ import annotations

import sqlite3

from perdure.model import EntityId, Event, RunId, RunRecord, Watch, Watcher
from perdure.worldkit.pure import (
    end_notice,
    end_of_missing,
    end_of_run,
    is_watching,
    watch_fence,
    watcher_of,
)

from ._notices import bring
from ._runs import RECORD, record_of
from ._schema import Row
from ._writer import Transaction

__all__ = ("others_of", "tell_watchers", "watch_run")


def watch_run(transaction: Transaction, record: RunRecord, watch: Watch) -> Event | None:
    """Have a run told the end of another, or return its end if that has come.

    Args:
        record: of the run that waits.
    """
    db, now_ms = transaction.db, transaction.now_ms
    row = _find(db, watch.run_id)
    if row is None:
        return end_of_missing(watch, now_ms=now_ms)
    n, other = row
    if other.status.is_ended:
        return end_of_run(watch.entity, other, now_ms=now_ms)
    watcher = watcher_of(record, watch)
    db.execute(
        "INSERT OR REPLACE INTO watchers (n, run_id, entity, fence) VALUES (?, ?, ?, ?)",
        (n, watcher.run_id, watcher.entity, watcher.fence),
    )
    return None


def tell_watchers(transaction: Transaction, n: int) -> None:
    """Tell those who wait for a run that it has ended."""
    db = transaction.db
    rows = db.execute("SELECT run_id, entity, fence FROM watchers WHERE n = ?", (n,)).fetchall()
    ended = record_of(db.execute(f"SELECT {RECORD} FROM runs WHERE n = ?", (n,)).fetchone())
    for run_id, entity, fence in rows:
        watcher = Watcher(run_id=RunId(run_id), entity=EntityId(entity), fence=fence)
        if _is_live(db, watcher):
            bring(transaction, end_notice(watcher, ended, now_ms=transaction.now_ms))
    db.execute("DELETE FROM watchers WHERE n = ?", (n,))


def others_of(db: sqlite3.Connection, n: int, record: RunRecord) -> list[RunId]:
    """The runs that a run waits for, and those that wait for it."""
    watchers = [
        Watcher(run_id=RunId(row[0]), entity=EntityId(row[1]), fence=row[2])
        for row in db.execute("SELECT run_id, entity, fence FROM watchers WHERE n = ?", (n,))
    ]
    others = [watcher.run_id for watcher in watchers if _is_live(db, watcher)]
    rows = db.execute(
        "SELECT runs.run_id, entity, fence FROM watchers JOIN runs USING (n)"
        " WHERE watchers.run_id = ?",
        (record.run_id,),
    )
    others += [
        RunId(run_id)
        for run_id, entity, fence in rows
        if watch_fence(record, EntityId(entity)) == fence
    ]
    return list(dict.fromkeys(others))


def _is_live(db: sqlite3.Connection, watcher: Watcher) -> bool:
    """Whether it is the run that began to wait, and goes on."""
    row = _find(db, watcher.run_id)
    return is_watching(watcher, None if row is None else row[1])


def _find(db: sqlite3.Connection, run_id: RunId) -> tuple[int, RunRecord] | None:
    row: Row | None = db.execute(
        f"SELECT n, {RECORD} FROM runs WHERE run_id = ?", (run_id,)
    ).fetchone()
    return None if row is None else (row[0], record_of(row[1:]))
