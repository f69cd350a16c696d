"""Hooks: the holders of tokens.

Synchronous; the caller is in a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from perdure.model import EntityId, HookRecord, RunId, TurnCommit

__all__ = ("claim_hooks", "find_hook", "free_hooks")


def free_hooks(db: sqlite3.Connection, n: int, hook_ids: Collection[EntityId] | None) -> None:
    """Free the tokens of these hooks of the run; None means all."""
    if hook_ids is None:
        db.execute("DELETE FROM hooks WHERE n = ?", (n,))
        return
    for hook_id in hook_ids:
        db.execute("DELETE FROM hooks WHERE n = ? AND hook_id = ?", (n, hook_id))


def find_hook(db: sqlite3.Connection, token: str) -> HookRecord | None:
    """The hook that holds the token."""
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


def claim_hooks(db: sqlite3.Connection, n: int, commit: TurnCommit) -> dict[EntityId, HookRecord]:
    """Take the tokens that are free. Returns the holders of the others, by our hook."""
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
