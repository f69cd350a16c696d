"""Messages: a row of ``messages`` and its claims.

Synchronous; the caller is in a transaction. With *n*, only a message of that run counts, and the
caller has seen to it that it is not inline. A message's id is the id of its run, which has no
slash, a slash, and its name.

The message of a step that runs inline is leased from its first moment and, as a rule, gone with the
run's next commit. So one such message may stand in its run's row, which each commit writes anyhow.
Anybody else who is to see it ``spill``s it: it becomes a row like any other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from perdure.errors import LeaseLostError
from perdure.model import Event, Lease, NewMessage
from perdure.worldkit.pure import Claimable, deadline_of, withdraw

from ._schema import Row
from ._writer import Transaction

__all__ = (
    "EMPTIED",
    "EMPTY",
    "END_MESSAGE",
    "INLINE",
    "MAX_INLINE_BYTES",
    "bound_lease",
    "check_message",
    "drop_messages",
    "end_message",
    "extend_message",
    "free_messages",
    "give_message_back",
    "send_message",
    "spill",
    "withdraw_messages",
)

_COLUMNS = ("name", "topic", "body", "due_ms", "token", "expires_ms")
INLINE = tuple([f"inline_{column}" for column in _COLUMNS])
EMPTY: dict[str, None] = dict.fromkeys(INLINE)
EMPTIED = ", ".join([f"{column} = NULL" for column in INLINE])
MAX_INLINE_BYTES = 1024  # of a body: its run's row is read and written a lot
END_MESSAGE = "DELETE FROM messages WHERE n = ? AND name = ? AND token = ? AND expires_ms > ?"
_ALL = ", ".join(INLINE)


def send_message(
    transaction: Transaction, n: int, new: NewMessage, new_token: Callable[[], str]
) -> Lease | None:
    """Queue a message unless its id is there; returns the lease if it is to be sent leased."""
    token = expires_ms = None
    if new.lease_ms is not None:
        token, expires_ms = new_token(), transaction.now_ms + new.lease_ms
    count = transaction.db.execute(
        "INSERT INTO messages (n, name, id, topic, body, due_ms, token, expires_ms, attempt)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (n, name) DO NOTHING",
        (
            n,
            new.message_id.partition("/")[2],
            new.message_id,
            new.topic,
            new.body,
            new.due_ms,
            token,
            expires_ms,
            int(token is not None),
        ),
    ).rowcount
    if not count:
        return None
    if token is None or expires_ms is None:
        transaction.rings.add("messages")
        return None
    return Lease(item=new.message_id, token=token, is_wake=False, expires_at_ms=expires_ms)


def spill(db: sqlite3.Connection, where: str, values: Row) -> bool:
    """Make rows of the messages that stand in these runs; False if there are none."""
    where = f"{where} AND inline_name IS NOT NULL"
    spilt = db.execute(
        "INSERT INTO messages (id, n, name, topic, body, due_ms, token, expires_ms, attempt)"
        f" SELECT run_id || '/' || inline_name, n, {_ALL}, 1 FROM runs WHERE {where}",
        values,
    ).rowcount
    if spilt:
        db.execute(f"UPDATE runs SET {EMPTIED} WHERE {where}", values)
    return spilt > 0


def check_message(transaction: Transaction, lease: Lease, *, n: int | None = None) -> None:
    """Pass only the holder of the message's live lease.

    Raises:
        LeaseLostError: the lease is no longer live.
    """
    if _on_live(transaction, "SELECT 1 FROM messages", (), lease, n).fetchone() is None:
        raise LeaseLostError(lease.item)


def end_message(transaction: Transaction, lease: Lease, *, n: int | None = None) -> None:
    """End a live claim; the message is gone.

    Raises:
        LeaseLostError: the lease is no longer live; nothing was changed.
    """
    if not _on_live(transaction, "DELETE FROM messages", (), lease, n).rowcount:
        raise LeaseLostError(lease.item)


def give_message_back(
    transaction: Transaction, lease: Lease, *, due_ms: int, ran: bool, n: int | None = None
) -> None:
    """End a live claim; the message is due again at *due_ms*.

    Raises:
        LeaseLostError: the lease is no longer live; nothing was changed.
    """
    change = (
        "UPDATE messages SET token = NULL, expires_ms = NULL, due_ms = ?, returned = returned + ?"
    )
    if not _on_live(transaction, change, (due_ms, int(not ran)), lease, n).rowcount:
        raise LeaseLostError(lease.item)
    transaction.rings.add("messages")


def extend_message(transaction: Transaction, lease: Lease, until_ms: int) -> bool:
    """Have a live lease run out at *until_ms*; False if it is no longer live."""
    change = "UPDATE messages SET expires_ms = ?"
    return _on_live(transaction, change, (until_ms,), lease, None).rowcount == 1


def _on_live(
    transaction: Transaction, statement: str, values: Row, lease: Lease, n: int | None
) -> sqlite3.Cursor:
    """Run *statement* on the message that *lease* is on, while it is."""
    db, (run_id, _, name) = transaction.db, lease.item.partition("/")
    where, run = "n = ?", run_id if n is None else n
    if n is None:
        spill(db, "run_id = ? AND inline_token = ?", (run_id, lease.token))
        where = "n = (SELECT n FROM runs WHERE run_id = ?)"
    return db.execute(
        f"{statement} WHERE {where} AND name = ? AND token = ? AND expires_ms > ?",
        (*values, run, name, lease.token, transaction.now_ms),
    )


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
    spill(db, "leased_ms <= ?", (now_ms,))
    freed = db.execute(
        "UPDATE messages SET token = NULL, expires_ms = NULL, due_ms = expires_ms, lost = lost + 1"
        " WHERE n IN (SELECT n FROM runs WHERE leased_ms <= ?)"
        " AND token IS NOT NULL AND expires_ms <= ?",
        (now_ms, now_ms),
    ).rowcount
    if freed:
        transaction.rings.add("messages")
    db.execute(
        "UPDATE runs SET leased_ms = (SELECT min(expires_ms) FROM messages"
        " WHERE messages.n = runs.n AND token IS NOT NULL) WHERE leased_ms <= ?",
        (now_ms,),
    )


def drop_messages(db: sqlite3.Connection, n: int) -> None:
    """Drop the rows of a run's messages."""
    db.execute("DELETE FROM messages WHERE n = ?", (n,))


def withdraw_messages(transaction: Transaction, n: int, event: Event) -> Event:
    """Note in a run that it was asked to end, and drop those of its messages that nobody has.

    Returns:
        The request as it is logged.
    """
    db = transaction.db
    spill(db, "n = ?", (n,))
    rows = db.execute(
        "SELECT id, due_ms, token, expires_ms, attempt, returned FROM messages WHERE n = ?", (n,)
    )
    items = [(row[0], _claimable(*row[:5]), row[5]) for row in rows]
    event, withdrawn = withdraw(event, items, now_ms=transaction.now_ms)
    db.executemany(
        "DELETE FROM messages WHERE n = ? AND name = ?",
        [(n, item.partition("/")[2]) for item in withdrawn],
    )
    db.execute("UPDATE runs SET cancel_at_ms = ? WHERE n = ?", (deadline_of(event), n))
    return event


def _claimable(
    item: str, due_ms: int, token: str | None, expires_ms: int, attempt: int
) -> Claimable:
    lease: Lease | None = None
    if token is not None:
        lease = Lease(item=item, token=token, is_wake=False, expires_at_ms=expires_ms)
    return Claimable(due_ms=due_ms, lease=lease, claims=attempt)
