"""Ends: the end of a run.

Synchronous; the caller is in a transaction.
"""

from __future__ import annotations

from perdure.model import RunId, RunOutcome

from ._hooks import let_hooks_go
from ._messages import EMPTIED, drop_messages
from ._watchers import tell_watchers
from ._writer import Transaction

__all__ = ("end_run", "let_go")

_ENDED = (
    "status = ?, payload = ?, ended_at_ms = ?, wake_due_ms = NULL, wake_token = NULL,"
    f" wake_expires_ms = NULL, leased_ms = NULL, {EMPTIED}"
)
# Most runs have none of the three when they end: to look for all takes a third of three statements.
_REST = (
    "SELECT EXISTS (SELECT 1 FROM hooks WHERE n = ?1), EXISTS (SELECT 1 FROM messages WHERE n = ?1)"
    ", EXISTS (SELECT 1 FROM watchers WHERE n = ?1)"
)


def end_run(transaction: Transaction, n: int, run_id: RunId, outcome: RunOutcome) -> None:
    """Give the run its end: its hooks and messages are freed, and those who wait for it woken."""
    transaction.db.execute(
        f"UPDATE runs SET {_ENDED} WHERE n = ?",
        (outcome.status, outcome.payload, outcome.at_ms, n),
    )
    let_go(transaction, n, run_id)


def let_go(transaction: Transaction, n: int, run_id: RunId) -> None:
    """Free the hooks and messages of a run that has ended, and tell those who wait for it."""
    has_hooks, has_messages, has_watchers = transaction.cursor.execute(_REST, (n,)).fetchone()
    if has_hooks:
        let_hooks_go(transaction.db, n, now_ms=transaction.now_ms)
    if has_messages:
        drop_messages(transaction.db, n)
    if has_watchers:
        tell_watchers(transaction, n)
    transaction.rings.add(run_id)
