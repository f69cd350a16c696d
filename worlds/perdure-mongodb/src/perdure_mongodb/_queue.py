"""Queue: wakes and step messages, claimed under leases.

A change of one document only is one guarded update of it. One item is claimed by one
``find_one_and_update``. A claim of several looks for candidates and hands each to one claimer by
one guarded update of them all; those that carry our token afterwards are ours. A claimer that came
too late for all of them claims one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar, final

from pymongo import ASCENDING, ReturnDocument

from perdure.abc import Queue
from perdure.errors import LeaseLostError, RunNotFoundError
from perdure.model import Lease, LeaseEnd, MessageClaim, NewMessage, RunId, WakeClaim

from ._driver import Collection, Document
from ._handle import Handle
from ._lander import Lander, Work
from ._messages import claim_of, live
from ._outbox import Post
from ._page import Needs, Page
from ._runs import wake_of
from ._schema import ANY_TIME, KNOWN, bounded
from ._values import Owner, load_values

__all__ = ("MongoQueue",)

T = TypeVar("T")
# The server gives up where it sorts what it finds, as it does beyond 200 topics, and another is
# faster with the first of them.
CLAIM_TRIES = 8


@final
class MongoQueue(Queue):
    """The queue of a MongoDB world."""

    def __init__(self, handle: Handle, lander: Lander, post: Post) -> None:
        self._handle = handle
        self._lander = lander
        self._post = post

    async def wake(self, run_id: RunId, *, due_ms: int) -> None:
        async def work() -> None:
            await self._handle.db.runs.update_one(
                {"_id": run_id, "ended_at_ms": None},
                [{"$set": self._armed(due_ms)}],
            )
            self._handle.recent.forget(run_id)
            self._handle.ring("wakes")

        await self._handle.write(work)

    async def claim_wakes(
        self, *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[WakeClaim, ...]:
        claims: tuple[WakeClaim, ...] = ()
        if limit < 1:
            self._handle.check_open()
            return claims
        async for look in self._handle.looks("wakes", wait_ms):
            claims, look.next_due_ms = await self._handle.write(
                lambda: self._claim_wakes(bounded(limit), visibility_ms)
            )
            if claims:
                break
        self._handle.counters["claims"] += len(claims)
        return claims

    async def send(self, messages: Sequence[NewMessage]) -> None:
        if not messages:
            self._handle.check_open()
            return
        unleased = [replace(new, lease_ms=None) for new in messages]
        needs = Needs(messages={new.message_id for new in unleased})

        def act(page: Page, now_ms: int) -> None:
            for new in unleased:
                page.book.send(new, now_ms=now_ms)

        try:
            await self._lander.land(messages[0].run_id, Work(needs=needs, act=act))
        except RunNotFoundError:
            return  # passed over, as for one that has ended

    async def claim_messages(
        self, topics: Sequence[str], *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[MessageClaim, ...]:
        names = sorted(set(topics))
        claims: tuple[MessageClaim, ...] = ()
        if limit < 1:
            self._handle.check_open()
            return claims
        async for look in self._handle.looks("messages", wait_ms):
            claims, look.next_due_ms = await self._handle.write(
                lambda: self._claim_messages(names, bounded(limit), visibility_ms)
            )
            if claims:
                break
        self._handle.counters["claims"] += len(claims)
        return claims

    async def extend(self, leases: Sequence[Lease], *, visibility_ms: int) -> tuple[Lease, ...]:
        until_ms = self._handle.now_ms() + visibility_ms
        renewed = await self._handle.write(lambda: self._extend(leases, until_ms))
        return tuple(
            replace(lease, expires_at_ms=until_ms) for lease in leases if lease.token in renewed
        )

    async def finish(self, end: LeaseEnd) -> None:
        lease = end.lease
        if lease.is_wake:
            await self._end_wake(lease, lambda page, now_ms: page.book.finish(end, now_ms=now_ms))
            return

        async def work() -> int:
            query = live(lease, now_ms=self._handle.now_ms())
            return (await self._handle.db.messages.delete_one(query)).deleted_count

        if not await self._handle.write(work):
            raise LeaseLostError(lease.item)

    async def release(self, lease: Lease, *, delay_ms: int = 0, ran: bool = False) -> None:
        if lease.is_wake:
            await self._end_wake(
                lease,
                lambda page, now_ms: page.book.release(
                    lease, now_ms=now_ms, delay_ms=delay_ms, ran=ran
                ),
            )
            return

        async def work() -> int:
            now_ms = self._handle.now_ms()
            due_ms = now_ms + delay_ms
            fields = {"due_ms": due_ms, "at_ms": due_ms, "token": None, "until_ms": None}
            result = await self._handle.db.messages.update_one(
                live(lease, now_ms=now_ms),
                {
                    "$set": {**fields, "v": self._handle.connection.new_version()},
                    "$inc": {"returned": int(not ran)},
                },
            )
            self._handle.ring("messages")
            return result.matched_count

        if not await self._handle.write(work):
            raise LeaseLostError(lease.item)

    async def count_waiting(self, topics: Sequence[str] | None = None) -> dict[str, int]:
        now_ms, db = self._handle.now_ms(), self._handle.db
        due_wakes: Document = {"wake_at_ms": {"$gte": ANY_TIME, "$lte": now_ms}, **KNOWN}
        due: Document = {"at_ms": {"$lte": now_ms}}
        if topics is not None:
            due["topic"] = {"$in": sorted(set(topics))}
        wakes, groups = await self._handle.read(
            lambda: _both(
                db.runs.count_documents(due_wakes),
                self._handle.driver.aggregate(
                    db.messages,
                    [{"$match": due}, {"$group": {"_id": "$topic", "count": {"$sum": 1}}}],
                ),
            )
        )
        return {"": wakes, **{group["_id"]: group["count"] for group in groups}}

    def _armed(self, due_ms: int) -> Document:
        """A wake's fields after it was armed, as the server computes them; None is ignored."""
        due: Document = {"$min": ["$wake_due_ms", due_ms]}
        claimed = {"$ne": ["$wake_token", None]}
        return {
            "wake_due_ms": due,
            "wake_at_ms": {"$cond": [claimed, "$wake_until_ms", due]},
            "wake_generation": {"$add": ["$wake_generation", 1]},
            "v": self._handle.connection.new_version(),
        }

    async def _end_wake(self, lease: Lease, act: Callable[[Page, int], None]) -> None:
        try:
            await self._lander.land(RunId(lease.item), Work(needs=Needs(), act=act))
        except RunNotFoundError:
            raise LeaseLostError(lease.item) from None

    async def _claim_wakes(
        self, limit: int, visibility_ms: int
    ) -> tuple[tuple[WakeClaim, ...], int | None]:
        await self._post.look()
        until_ms = self._handle.now_ms() + visibility_ms
        documents, next_due_ms = await self._claim(
            self._handle.db.runs,
            KNOWN,
            "wake_at_ms",
            limit,
            lambda token: {
                "wake_due_ms": None,  # the due time is consumed; a later one starts afresh
                "wake_attempt": {"$add": ["$wake_attempt", 1]},
                "wake_token": token,
                "wake_until_ms": until_ms,
                "wake_at_ms": until_ms,
            },
        )
        for document in documents:
            self._handle.recent.note(document)
        return tuple(_wake_claim(document) for document in documents), next_due_ms

    async def _claim_messages(
        self, topics: list[str], limit: int, visibility_ms: int
    ) -> tuple[tuple[MessageClaim, ...], int | None]:
        if not topics:
            return (), None
        until_ms, db = self._handle.now_ms() + visibility_ms, self._handle.db
        was_lost = {"$cond": [{"$ne": ["$token", None]}, 1, 0]}
        documents, next_due_ms = await self._claim(
            db.messages,
            {"topic": {"$in": topics}},
            "at_ms",
            limit,
            lambda token: {
                "lost": {"$add": ["$lost", was_lost]},
                "attempt": {"$add": ["$attempt", 1]},
                "token": token,
                "until_ms": until_ms,
                "at_ms": until_ms,
            },
        )
        stored: list[tuple[Owner, object]] = [
            (message["n"], message["body"]) for message in documents
        ]
        values = await load_values(db.chunks, stored)
        return tuple(claim_of(message, values) for message in documents), next_due_ms

    async def _claim(
        self,
        collection: Collection,
        where: Document,
        at: str,
        limit: int,
        fields: Callable[[Document], Document],
    ) -> tuple[list[Document], int | None]:
        """Claim due items, longest due first; else say when one will be due.

        Args:
            at: the field from when an item can be claimed.
            fields: returns the fields that a claim sets, from the expression of its token.
        """
        now_ms, waiting = self._handle.now_ms(), {**where, at: {"$gte": ANY_TIME}}
        order = [(at, ASCENDING), ("_id", ASCENDING)]
        if limit > 1:
            cursor = collection.find(waiting, {at: 1}).sort(order).limit(limit)
            items = await cursor.to_list(None)
            due = [item["_id"] for item in items if item[at] <= now_ms]
            if not due:
                return [], items[0][at] if items else None
            if len(due) > 1:
                claimed = await self._claim_all(collection, due, {at: {"$lte": now_ms}}, fields)
                if claimed:
                    return claimed, None
        still = {**where, at: {"$gte": ANY_TIME, "$lte": now_ms}}
        for _ in range(CLAIM_TRIES):
            one = await collection.find_one_and_update(
                still,
                self._claiming(secrets.token_hex(8), fields),
                sort=order,
                return_document=ReturnDocument.AFTER,
            )
            if one is not None:
                return [one], None
            first = await collection.find_one(waiting, {at: 1}, sort=order)
            if first is None or first[at] > now_ms:
                return [], None if first is None else first[at]
        return [], now_ms

    async def _claim_all(
        self,
        collection: Collection,
        due: list[str],
        still: Document,
        fields: Callable[[Document], Document],
    ) -> list[Document]:
        """Claim those of *due* that nobody claims first, in their order."""
        nonce = secrets.token_hex(8)
        update = self._claiming(nonce, fields)
        await collection.update_many({"_id": {"$in": due}, **still}, update)
        field = "wake_token" if "wake_token" in update[0]["$set"] else "token"
        ours = {"_id": {"$in": due}, field: {"$in": [f"{nonce}/{item}" for item in due]}}
        places = {item: place for place, item in enumerate(due)}
        return sorted(
            await collection.find(ours).to_list(None), key=lambda item: places[item["_id"]]
        )

    def _claiming(self, nonce: str, fields: Callable[[Document], Document]) -> list[Document]:
        """The update that claims, each item under a token of its own."""
        token: Document = {"$concat": [f"{nonce}/", "$_id"]}
        return [{"$set": {**fields(token), "v": self._handle.connection.new_version()}}]

    async def _extend(self, leases: Sequence[Lease], until_ms: int) -> set[str]:
        """Renew those that are live. Returns their tokens."""
        db = self._handle.db
        wakes = [lease for lease in leases if lease.is_wake]
        messages = [lease for lease in leases if not lease.is_wake]
        renewed = await asyncio.gather(
            self._extend_in(db.runs, wakes, "wake_", until_ms),
            self._extend_in(db.messages, messages, "", until_ms),
        )
        return renewed[0] | renewed[1]

    async def _extend_in(
        self, collection: Collection, leases: list[Lease], prefix: str, until_ms: int
    ) -> set[str]:
        if not leases:
            return set()
        token, until = f"{prefix}token", f"{prefix}until_ms"
        tokens = {lease.token for lease in leases}
        query = {
            "_id": {"$in": [lease.item for lease in leases]},
            token: {"$in": sorted(tokens)},
        }
        for lease in leases if prefix else ():
            self._handle.recent.forget(lease.item)
        version = self._handle.connection.new_version()
        result = await collection.update_many(
            {**query, until: {"$gt": self._handle.now_ms()}},
            {"$set": {until: until_ms, f"{prefix}at_ms": until_ms, "v": version}},
        )
        if result.matched_count == len(tokens):
            return tokens
        documents = await collection.find({**query, "v": version}, {token: 1}).to_list(None)
        return {document[token] for document in documents}


async def _both(first: Awaitable[int], second: Awaitable[T]) -> tuple[int, T]:
    return await asyncio.gather(first, second)


def _wake_claim(document: Document) -> WakeClaim:
    wake = wake_of(document)
    assert wake.lease is not None
    return WakeClaim(
        run_id=RunId(document["_id"]),
        lease=wake.lease,
        generation=wake.generation,
        fruitless_claims=wake.claims,
    )
