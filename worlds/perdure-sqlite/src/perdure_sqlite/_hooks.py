"""Hooks: the holders of tokens.

Synchronous; the caller is in a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from perdure.model import EntityId, HookRecord, RunId

from ._schema import Row

__all__ = (
    "INSERT_HOOK",
    "drop_hooks",
    "find_hook",
    "free_hooks",
    "hook_values",
    "hooks_of",
    "let_hooks_go",
)

INSERT_HOOK = (  # in place of one whose time is over
    "INSERT OR REPLACE INTO hooks"
    " (n, token, hook_id, metadata, is_webhook, created_at_ms, keep_until_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_SELECT = (
    "SELECT run_id, hook_id, token, metadata, is_webhook, hooks.created_at_ms, keep_until_ms,"
    " level FROM hooks JOIN runs USING (n)"
)


def free_hooks(db: sqlite3.Connection, n: int, hook_ids: Collection[EntityId]) -> None:
    """Free the tokens of these hooks of the run."""
    for hook_id in hook_ids:
        db.execute("DELETE FROM hooks WHERE n = ? AND hook_id = ?", (n, hook_id))


def let_hooks_go(db: sqlite3.Connection, n: int, *, now_ms: int) -> None:
    """Free the tokens of a run that has ended, but for those that it keeps."""
    db.execute(
        "DELETE FROM hooks WHERE n = ? AND (keep_until_ms IS NULL OR keep_until_ms <= ?)",
        (n, now_ms),
    )


def drop_hooks(db: sqlite3.Connection, n: int) -> None:
    """Free all tokens of the run."""
    db.execute("DELETE FROM hooks WHERE n = ?", (n,))


def find_hook(db: sqlite3.Connection, token: str, *, now_ms: int) -> HookRecord | None:
    """The hook that holds the token now: its run is live, or keeps it."""
    row = db.execute(
        f"{_SELECT} WHERE token = ? AND (ended_at_ms IS NULL OR keep_until_ms > ?)",
        (token, now_ms),
    ).fetchone()
    return None if row is None else _hook(row)


def hooks_of(db: sqlite3.Connection, n: int) -> list[HookRecord]:
    """The hooks of a run."""
    return [_hook(row) for row in db.execute(f"{_SELECT} WHERE n = ?", (n,))]


def hook_values(hook: HookRecord) -> Row:
    """The values of ``INSERT_HOOK``, after the run's number."""
    return (
        hook.token,
        hook.hook_id,
        hook.metadata,
        hook.is_webhook,
        hook.created_at_ms,
        hook.keep_until_ms,
    )


def _hook(row: Row) -> HookRecord:
    return HookRecord(
        run_id=RunId(row[0]),
        hook_id=EntityId(row[1]),
        token=row[2],
        metadata=row[3],
        is_webhook=bool(row[4]),
        created_at_ms=row[5],
        keep_until_ms=row[6],
        level=row[7],
    )
