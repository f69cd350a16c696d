"""Messages: a row of ``messages`` and its claims.

Synchronous; the caller is in a transaction. With *n*, only a message of that run counts. A
message's id is the id of its run, which has no slash, a slash, and its name.
"""

from __future__ import annotations

import sqlite3

from perdure.errors import LeaseLostError
from perdure.model import Lease, NewMessage

from ._owners import Owner
from ._writer import Transaction

__all__ = (
    "LIVE",
    "check_message",
    "drop_messages",
    "end_message",
    "give_message_back",
    "live",
    "send_message",
)

LIVE = "n = (SELECT n FROM runs WHERE run_id = ?) AND name = ? AND token = ? AND expires_ms > ?"
_OURS = f"{LIVE} AND n = ifnull(?, n)"


def live(lease: Lease, *, now_ms: int) -> tuple[str, str, str, int]:
    """What ``LIVE`` asks for: the message that *lease* is on, while it is."""
    run_id, _, name = lease.item.partition("/")
    return run_id, name, lease.token, now_ms


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
    found = transaction.db.execute(
        f"SELECT 1 FROM messages WHERE {_OURS}", (*live(lease, now_ms=transaction.now_ms), n)
    ).fetchone()
    if found is None:
        raise LeaseLostError(lease.item)


def end_message(transaction: Transaction, lease: Lease, *, n: int | None = None) -> None:
    """End a live claim; the message is gone.

    Raises:
        LeaseLostError: the lease is no longer live; nothing was changed.
    """
    ended = transaction.db.execute(
        f"DELETE FROM messages WHERE {_OURS}", (*live(lease, now_ms=transaction.now_ms), n)
    ).rowcount
    if not ended:
        raise LeaseLostError(lease.item)


def give_message_back(
    transaction: Transaction, lease: Lease, *, due_ms: int, ran: bool, n: int | None = None
) -> None:
    """End a live claim; the message is due again at *due_ms*.

    Raises:
        LeaseLostError: the lease is no longer live; nothing was changed.
    """
    given = transaction.db.execute(
        "UPDATE messages SET token = NULL, expires_ms = NULL, due_ms = ?, returned = returned + ?"
        f" WHERE {_OURS}",
        (due_ms, int(not ran), *live(lease, now_ms=transaction.now_ms), n),
    ).rowcount
    if not given:
        raise LeaseLostError(lease.item)
    transaction.rings.add("messages")


def drop_messages(db: sqlite3.Connection, n: int) -> None:
    """Drop a run's messages."""
    db.execute("DELETE FROM messages WHERE n = ?", (n,))
