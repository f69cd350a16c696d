"""Messages: a row of ``messages`` and its claims.

Synchronous; the caller is in a transaction. With *n*, only a message of that run counts. A
message's id is the id of its run, which has no slash, a slash, and its name.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from perdure.errors import LeaseLostError
from perdure.model import Lease, NewMessage

from ._owners import Owner
from ._writer import Transaction

__all__ = (
    "LIVE",
    "bound_lease",
    "check_message",
    "drop_messages",
    "end_message",
    "free_messages",
    "give_message_back",
    "live",
    "send_message",
)

LIVE = "n = (SELECT n FROM runs WHERE run_id = ?) AND name = ? AND token = ? AND expires_ms > ?"
_OURS = "n = ? AND name = ? AND token = ? AND expires_ms > ?"  # no two claims share a token


def live(lease: Lease, *, now_ms: int) -> tuple[str, str, str, int]:
    """What ``LIVE`` asks for: the message that *lease* is on, while it is."""
    run_id, _, name = lease.item.partition("/")
    return run_id, name, lease.token, now_ms


def _live(transaction: Transaction, lease: Lease, n: int | None) -> tuple[str, tuple[Any, ...]]:
    """A condition for it, and what that asks for; with *n* only if it is a message of that run."""
    found = live(lease, now_ms=transaction.now_ms)
    return (LIVE, found) if n is None else (_OURS, (n, *found[1:]))


def send_message(transaction: Transaction, n: int, new: NewMessage, owner: Owner) -> Lease | None:
    """Queue a message unless its id is there; gives the lease if it is to be sent leased."""
    token = expires_ms = None
    if new.lease_ms is not None:
        token, expires_ms = owner.new_token(), transaction.now_ms + new.lease_ms
    sent = transaction.db.execute(
        "INSERT INTO messages (n, name, topic, body, due_ms, token, expires_ms, attempt)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (n, name) DO NOTHING",
        (
            n,
            new.message_id.partition("/")[2],
            new.topic,
            new.body,
            new.due_ms,
            token,
            expires_ms,
            int(token is not None),
        ),
    ).rowcount
    if not sent:
        return None
    if token is None or expires_ms is None:
        transaction.rings.add("messages")
        return None
    return Lease(item=new.message_id, token=token, is_wake=False, expires_at_ms=expires_ms)


def check_message(transaction: Transaction, lease: Lease, *, n: int | None = None) -> None:
    """Pass only the holder of the message's live lease.

    Raises:
        LeaseLostError: the lease is no longer live.
    """
    condition, values = _live(transaction, lease, n)
    found = transaction.db.execute(f"SELECT 1 FROM messages WHERE {condition}", values).fetchone()
    if found is None:
        raise LeaseLostError(lease.item)


def end_message(transaction: Transaction, lease: Lease, *, n: int | None = None) -> None:
    """End a live claim; the message is gone.

    Raises:
        LeaseLostError: the lease is no longer live; nothing was changed.
    """
    condition, values = _live(transaction, lease, n)
    ended = transaction.db.execute(f"DELETE FROM messages WHERE {condition}", values).rowcount
    if not ended:
        raise LeaseLostError(lease.item)


def give_message_back(
    transaction: Transaction, lease: Lease, *, due_ms: int, ran: bool, n: int | None = None
) -> None:
    """End a live claim; the message is due again at *due_ms*.

    Raises:
        LeaseLostError: the lease is no longer live; nothing was changed.
    """
    condition, values = _live(transaction, lease, n)
    given = transaction.db.execute(
        "UPDATE messages SET token = NULL, expires_ms = NULL, due_ms = ?, returned = returned + ?"
        f" WHERE {condition}",
        (due_ms, int(not ran), *values),
    ).rowcount
    if not given:
        raise LeaseLostError(lease.item)
    transaction.rings.add("messages")


def bound_lease(db: sqlite3.Connection, n: int, expires_ms: int) -> None:
    """Note in the run that a lease on a message of it may run out at *expires_ms*.

    A message that is leased stands in no index: most are done before their lease runs out, and a
    step that runs inline would change a page more. The run has a bound for all of them instead,
    which holds for seconds.
    """
    db.execute(
        "UPDATE runs SET leased_ms = ? WHERE n = ? AND (leased_ms IS NULL OR leased_ms > ?)",
        (expires_ms, n, expires_ms),
    )


def free_messages(transaction: Transaction) -> None:
    """Let messages whose lease has run out be claimed anew."""
    db, now_ms = transaction.db, transaction.now_ms
    freed = db.execute(
        "UPDATE messages SET token = NULL, expires_ms = NULL, due_ms = expires_ms, lost = lost + 1"
        " WHERE n IN (SELECT n FROM runs WHERE leased_ms <= ?) AND expires_ms <= ?",
        (now_ms, now_ms),
    ).rowcount
    if freed:
        transaction.rings.add("messages")
    db.execute(
        "UPDATE runs SET leased_ms ="
        " (SELECT min(expires_ms) FROM messages WHERE messages.n = runs.n) WHERE leased_ms <= ?",
        (now_ms,),
    )


def drop_messages(db: sqlite3.Connection, n: int) -> None:
    """Drop a run's messages."""
    db.execute("DELETE FROM messages WHERE n = ?", (n,))
