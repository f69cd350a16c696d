"""Queue: wakes and step messages, claimed under leases."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from heapq import merge
from itertools import islice
from typing import TypeVar, final

import anyio

from perdure.abc import Queue
from perdure.errors import LeaseLostError
from perdure.model import Lease, LeaseEnd, Message, MessageClaim, NewMessage, RunId, WakeClaim

from ._handle import Handle
from ._messages import (
    bound_lease,
    end_message,
    extend_message,
    free_messages,
    give_message_back,
    send_message,
    spill,
)
from ._owners import Owner
from ._runs import Wake, load_wake, store_wake
from ._schema import KNOWN, Row, bounded
from ._writer import Transaction

__all__ = ("SqliteQueue",)

T = TypeVar("T")

# What claims ask in the one writer: the front of an index answers it, however much waits.
DUE_WAKES = (
    "SELECT n, run_id, wake_generation, wake_attempt FROM runs"
    f" WHERE wake_claimable_ms <= ? AND {KNOWN}"
    " ORDER BY wake_claimable_ms, run_id LIMIT ?"
)
FIRST_WAKE = (
    f"SELECT min(wake_claimable_ms) FROM runs WHERE wake_claimable_ms IS NOT NULL AND {KNOWN}"
)
FIRST_LEASE = "SELECT min(leased_ms) FROM runs WHERE leased_ms IS NOT NULL"
_HEAD = (
    "(SELECT {} FROM messages WHERE token IS NULL AND messages.topic = asked.topic"
    " ORDER BY due_ms, id LIMIT 1)"
)
HEADS = (
    f"WITH asked (topic) AS (VALUES {{asked}}) SELECT {_HEAD.format('due_ms')} AS head_ms,"
    f" {_HEAD.format('id')}, topic FROM asked WHERE head_ms IS NOT NULL"
)
LONGEST_DUE = (
    "SELECT due_ms, id, n, topic, body, attempt, lost, returned FROM messages"
    " WHERE token IS NULL AND topic = ? AND due_ms <= ? ORDER BY due_ms, id LIMIT ?"
)
# Counting takes as long as there is to count, in the reader.
COUNT_WAKES = f"SELECT count(*) FROM runs WHERE wake_claimable_ms <= ? AND {KNOWN}"
COUNT_MESSAGES = (
    "SELECT topic, count(*) FROM ("
    "SELECT topic FROM messages WHERE token IS NULL AND due_ms <= ?"
    " UNION ALL SELECT topic FROM messages"
    " WHERE n IN (SELECT n FROM runs WHERE leased_ms <= ?) AND token IS NOT NULL"
    " AND expires_ms <= ?"
    " UNION ALL SELECT inline_topic FROM runs WHERE leased_ms <= ? AND inline_expires_ms <= ?"
    ") GROUP BY topic"
)


@final
class SqliteQueue(Queue):
    """The queue of an SQLite world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def wake(self, run_id: RunId, *, due_ms: int) -> None:
        def work(transaction: Transaction) -> None:
            wake = load_wake(transaction.db, run_id)
            if wake is not None:
                wake.arm(due_ms)
                store_wake(transaction, wake)

        await self._handle.write(work)

    async def claim_wakes(
        self, *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[WakeClaim, ...]:
        owner = self._handle.owner
        claims: tuple[WakeClaim, ...] = ()
        if limit < 1:
            self._handle.check_open()
            return claims
        async for look in self._handle.looks("wakes", wait_ms):
            with anyio.CancelScope(shield=True):  # a claim that is made reaches its caller
                claims, look.next_due_ms = await self._handle.write(
                    lambda transaction: _claim_wakes(
                        transaction, owner, bounded(limit), visibility_ms
                    )
                )
            if claims:
                break
        self._handle.counters["claims"] += len(claims)
        return claims

    async def send(self, messages: Sequence[NewMessage]) -> None:
        owner = self._handle.owner

        def work(transaction: Transaction) -> None:
            for new in messages:
                wake = load_wake(transaction.db, new.run_id)
                if wake is not None:
                    spill(transaction.db, "n = ?", (wake.n,))
                    send_message(transaction, wake.n, replace(new, lease_ms=None), owner.new_token)

        await self._handle.write(work)

    async def claim_messages(
        self, topics: Sequence[str], *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[MessageClaim, ...]:
        owner, names = self._handle.owner, sorted(set(topics))
        claims: tuple[MessageClaim, ...] = ()
        if limit < 1:
            self._handle.check_open()
            return claims
        async for look in self._handle.looks("messages", wait_ms):
            with anyio.CancelScope(shield=True):  # a claim that is made reaches its caller
                claims, look.next_due_ms = await self._handle.write(
                    lambda transaction: _claim_messages(
                        transaction, owner, names, bounded(limit), visibility_ms
                    )
                )
            if claims:
                break
        self._handle.counters["claims"] += len(claims)
        return claims

    async def extend(self, leases: Sequence[Lease], *, visibility_ms: int) -> tuple[Lease, ...]:
        return await self._handle.write(
            lambda transaction: _extend(transaction, leases, visibility_ms)
        )

    async def finish(self, end: LeaseEnd) -> None:
        def work(transaction: Transaction) -> None:
            if not end.lease.is_wake:
                end_message(transaction, end.lease)
                return
            wake = _held_wake(transaction, end.lease)
            wake.end(end, now_ms=transaction.now_ms)
            store_wake(transaction, wake)

        await self._handle.write(work)

    async def release(self, lease: Lease, *, delay_ms: int = 0, ran: bool = False) -> None:
        def work(transaction: Transaction) -> None:
            due_ms = transaction.now_ms + delay_ms
            if not lease.is_wake:
                give_message_back(transaction, lease, due_ms=due_ms, ran=ran)
                return
            wake = _held_wake(transaction, lease)
            wake.check_live(lease, now_ms=transaction.now_ms)
            wake.give_back(due_ms=due_ms, ran=ran)
            store_wake(transaction, wake)

        await self._handle.write(work)

    async def count_waiting(self, topics: Sequence[str] | None = None) -> dict[str, int]:
        now_ms = self._handle.now_ms()
        wakes, rows = await self._handle.read(
            lambda db: (
                db.execute(COUNT_WAKES, (now_ms,)).fetchone()[0],
                db.execute(COUNT_MESSAGES, (now_ms,) * 5).fetchall(),
            )
        )
        counts = {topic: count for topic, count in rows if topics is None or topic in topics}
        return {"": wakes, **counts}


def _held_wake(transaction: Transaction, lease: Lease) -> Wake:
    wake = load_wake(transaction.db, lease.item)
    if wake is None:
        raise LeaseLostError(lease.item)
    return wake


def _claim_wakes(
    transaction: Transaction, owner: Owner, limit: int, visibility_ms: int
) -> tuple[tuple[WakeClaim, ...], int | None]:
    db, now_ms = transaction.db, transaction.now_ms
    rows = db.execute(DUE_WAKES, (now_ms, limit)).fetchall()
    claims: list[WakeClaim] = []
    for n, run_id, generation, attempt in rows:
        lease = Lease(
            item=run_id,
            token=owner.new_token(),
            is_wake=True,
            expires_at_ms=now_ms + visibility_ms,
        )
        # What was due is consumed; what comes during the claim starts afresh.
        db.execute(
            "UPDATE runs SET wake_due_ms = NULL, wake_attempt = ?, wake_token = ?,"
            " wake_expires_ms = ? WHERE n = ?",
            (attempt + 1, lease.token, lease.expires_at_ms, n),
        )
        claims.append(
            WakeClaim(
                run_id=RunId(run_id),
                lease=lease,
                generation=generation,
                fruitless_claims=attempt + 1,
            )
        )
    if claims:
        return tuple(claims), None
    (due_ms,) = db.execute(FIRST_WAKE).fetchone()
    return (), due_ms


def _claim_messages(
    transaction: Transaction, owner: Owner, topics: list[str], limit: int, visibility_ms: int
) -> tuple[tuple[MessageClaim, ...], int | None]:
    db, now_ms = transaction.db, transaction.now_ms
    free_messages(transaction)
    heads = _heads(db, topics)
    due = [topic for head_ms, _, topic in heads[:limit] if head_ms <= now_ms]
    claims = tuple(
        [
            _claim_message(transaction, owner, row, visibility_ms)
            for row in _longest_due(db, due, limit=limit, now_ms=now_ms)
        ]
    )
    if claims:
        return claims, None
    (leased_ms,) = db.execute(FIRST_LEASE).fetchone()
    times = [head_ms for head_ms, _, _ in heads[:1]]
    return (), min(times if leased_ms is None else [*times, leased_ms], default=None)


def _heads(db: sqlite3.Connection, topics: list[str]) -> list[tuple[int, str, str]]:
    """The longest due of each topic that has an unclaimed message: time, id, topic; in order."""
    if not topics:
        return []
    marks = ", ".join(["(?)"] * len(topics))
    return sorted(db.execute(HEADS.format(asked=marks), topics))


def _longest_due(
    db: sqlite3.Connection, topics: list[str], *, limit: int, now_ms: int
) -> list[Row]:
    """The rows to claim, in the order of the index: no more of them are read than are claimed."""
    cursors = [db.execute(LONGEST_DUE, (topic, now_ms, limit)) for topic in topics]
    rows = list(islice(merge(*cursors), limit))
    for cursor in cursors:
        cursor.close()
    return rows


def _claim_message(
    transaction: Transaction, owner: Owner, row: Row, visibility_ms: int
) -> MessageClaim:
    _, message_id, n, topic, body, attempt, losses, returned = row
    run_id, _, name = message_id.partition("/")
    lease = Lease(
        item=message_id,
        token=owner.new_token(),
        is_wake=False,
        expires_at_ms=transaction.now_ms + visibility_ms,
    )
    transaction.db.execute(
        "UPDATE messages SET token = ?, expires_ms = ?, attempt = ? WHERE n = ? AND name = ?",
        (lease.token, lease.expires_at_ms, attempt + 1, n, name),
    )
    bound_lease(transaction.db, n, lease.expires_at_ms)
    return MessageClaim(
        message=Message(message_id=message_id, run_id=RunId(run_id), topic=topic, body=body),
        lease=lease,
        claims=attempt + 1,
        losses=losses,
        returned=returned,
    )


def _extend(
    transaction: Transaction, leases: Sequence[Lease], visibility_ms: int
) -> tuple[Lease, ...]:
    db, now_ms = transaction.db, transaction.now_ms
    until_ms, renewed = now_ms + visibility_ms, list[Lease]()
    for lease in leases:
        if lease.is_wake:
            statement = (
                "UPDATE runs SET wake_expires_ms = ?"
                " WHERE run_id = ? AND wake_token = ? AND wake_expires_ms > ?"
            )
            values = (until_ms, lease.item, lease.token, now_ms)
            live = db.execute(statement, values).rowcount == 1
        else:
            live = extend_message(transaction, lease, until_ms)
        if live:
            renewed.append(replace(lease, expires_at_ms=until_ms))
    return tuple(renewed)
