"""Page: one run as it was read, changed in memory, and written in one transaction.

What a run's document says is read and fenced by its version ``v``. What is not in it (whether an
event's key or a message is there, whether a lease is live) is at first assumed to be as usual and
left to unique indexes and guarded filters; only when one of them objects, or the answer would be an
error, everything is read (a *thorough* page) and decided again.
Invariant: the transaction's first write is the guarded update of the run's document, the row lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from bson import ObjectId
from pymongo import UpdateOne

from perdure.errors import RunNotFoundError
from perdure.lowlevel import Book, QueuedMessage
from perdure.model import EntityId, HookRecord, Lease, NewRun, RunId, Snapshot

from ._driver import Document, Session, transaction
from ._handle import Handle
from ._messages import assumed_message, lease_fields, message_document, message_of
from ._runs import book_of, chain_fields, new_fields, run_fields
from ._schema import event_document
from ._values import Pending

__all__ = ("MovedError", "Needs", "Page", "hook_of", "read_page")


class MovedError(Exception):
    """What the page was read from has changed since, or an assumption did not hold."""


@final
@dataclass(slots=True, kw_only=True)
class Needs:
    """What a piece of work may ask of a run besides its document."""

    keys: set[str] = field(default_factory=set[str])
    sent: set[str] = field(default_factory=set[str])  # ids of messages
    ended: dict[str, Lease] = field(default_factory=dict[str, Lease])  # message leases, by item
    tokens: set[str] = field(default_factory=set[str])
    hooks: bool = False  # those the run holds
    twice: bool = False  # some message is ended under more than one lease

    @classmethod
    def of_all(cls, parts: Sequence[Needs]) -> Needs:
        """All of them."""
        both = cls()
        for part in parts:
            both.keys |= part.keys
            both.sent |= part.sent
            both.twice |= part.twice or bool(both.ended.keys() & part.ended.keys())
            both.ended |= part.ended
            both.tokens |= part.tokens
            both.hooks |= part.hooks
        return both

    @property
    def is_intricate(self) -> bool:
        """Whether a message is sent and ended, or ended twice: nothing can be assumed of it."""
        return self.twice or bool(self.sent & self.ended.keys())


@final
@dataclass(slots=True, kw_only=True)
class Page:
    """A run in memory."""

    handle: Handle
    n: ObjectId
    before: Document | None  # its document; None: it is to be made
    book: Book
    holders: dict[str, tuple[ObjectId, HookRecord]]  # who holds the tokens that were asked for
    required: set[str] = field(default_factory=set[str])  # messages whose lease must be live
    contested: dict[str, ObjectId] = field(default_factory=dict[str, ObjectId])
    messages: dict[str, Document] = field(init=False)  # lease fields as they were read
    hooks: dict[str, HookRecord] = field(init=False)  # the run's own, as they were read
    chain: dict[int, tuple[Snapshot, Document]] = field(init=False)  # by identity

    def __post_init__(self) -> None:
        book = self.book
        self.messages = {name: lease_fields(queued) for name, queued in book.messages.items()}
        self.hooks = dict(book.hooks)
        entries = () if self.before is None else self.before["snapshots"]
        read = book.snapshots if self.before is not None else ()
        self.chain = {id(s): (s, entry) for s, entry in zip(read, entries, strict=True)}

    def holder(self, token: str) -> HookRecord | None:
        """Which other run holds a token that was asked for; the write insists on it."""
        n, hook = self.holders.get(token, (self.n, None))
        if n == self.n:  # what the run itself holds, its book knows
            return None
        self.contested[token] = n
        return hook

    @property
    def rings(self) -> list[str]:
        """The bells of those who wait for what was written."""
        book = self.book
        if book.wake is None:
            return [book.record.run_id]
        rings: list[str] = []
        if book.wake.lease is None and book.wake.due_ms is not None:
            rings.append("wakes")
        if any(queued.lease is None for queued in book.messages.values()):
            rings.append("messages")
        return rings

    async def write(self, now_ms: int) -> None:
        """Write what has changed, all or nothing.

        Raises:
            MovedError: nothing was written; read again.
            PyMongoError: a duplicate key means the same.
        """
        pending = Pending(self.n)
        version = self.handle.new_version()
        fields = self._run_fields(pending)
        work = _Writes.of(self, pending, version=version, now_ms=now_ms)
        if not fields and work.is_empty:
            return
        fields["v"] = version
        await pending.store(self.handle.db.chunks)
        if work.is_empty and self.before is not None:
            await self._write_run(fields, None)
        else:
            async with transaction(self.handle.driver) as session:
                await self._write_run(fields, session)
                await work.write(self.handle, session)
        await self._drop_chunks(fields)

    def _run_fields(self, pending: Pending) -> Document:
        if self.before is None:
            return new_fields(self.book, self.n, pending)
        fields = {
            **run_fields(self.book, pending),
            **chain_fields(self.book.snapshots, self.chain, pending),
        }
        before = self.before
        return {name: value for name, value in fields.items() if before.get(name) != value}

    async def _write_run(self, fields: Document, session: Session | None) -> None:
        runs = self.handle.db.runs
        if self.before is None:
            await runs.insert_one(fields, session=session)
            return
        guard = {"_id": self.before["_id"], "v": self.before["v"]}
        done = await runs.update_one(guard, {"$set": fields}, session=session)
        if not done.matched_count:
            raise MovedError

    async def _drop_chunks(self, fields: Document) -> None:
        """Remove the bytes of large snapshots that were replaced."""
        before = [] if self.before is None else self.before["snapshots"]
        after: list[Document] = fields.get("snapshots", before)
        dead = _refs(before) - _refs(after)
        if dead:
            chosen = {"_id.n": self.n, "_id.ref": {"$in": sorted(dead)}}
            await self.handle.db.chunks.delete_many(chosen)


def _refs(entries: Sequence[Document]) -> set[str]:
    return {entry["data"]["ref"] for entry in entries if isinstance(entry["data"], dict)}


@final
@dataclass(slots=True, kw_only=True)
class _Writes:
    """What a page writes besides the run's document."""

    n: ObjectId
    events: list[Document]
    hooks_taken: list[Document]
    hooks_freed: list[str]
    contested: dict[str, ObjectId]
    sent: list[Document]
    ended: Document | None  # the filter of messages that are done
    must_end: int  # how many it has to find; 0: as many as there are
    given_back: list[tuple[Document, Document]]
    ends_run: bool

    @classmethod
    def of(cls, page: Page, pending: Pending, *, version: str, now_ms: int) -> _Writes:
        """What has changed since the page was read."""
        book, ends_run = page.book, page.before is None or page.before["ended_at_ms"] is None
        ends_run = ends_run and book.wake is None
        before = page.messages
        gone = [name for name in before if name not in book.messages]
        must = [name for name in gone if name in page.required]
        if ends_run:
            gone = must  # the rest goes with the run
        ended: Document | None = None
        if gone:
            ended = {
                "_id": {"$in": gone},
                "token": {"$in": [before[name]["token"] for name in gone]},
                "until_ms": {"$gt": now_ms},
                "n": page.n,
            }
        return cls(
            n=page.n,
            events=[event_document(page.n, logged, pending) for logged in book.written],
            hooks_taken=[
                _hook_document(hook, page.n, pending)
                for token, hook in book.hooks.items()
                if page.hooks.get(token) is not hook
            ],
            hooks_freed=sorted(
                token for token, hook in page.hooks.items() if book.hooks.get(token) is not hook
            ),
            contested=page.contested,
            sent=[
                message_document(queued, page.n, pending, version=version)
                for name, queued in book.messages.items()
                if name not in before
            ],
            ended=ended,
            must_end=len(must),
            given_back=_given_back(page, version=version, now_ms=now_ms),
            ends_run=ends_run,
        )

    @property
    def is_empty(self) -> bool:
        """Whether the run's document is all there is to write."""
        lists = (self.events, self.hooks_taken, self.hooks_freed, self.sent, self.given_back)
        return not (any(lists) or self.contested or self.ended or self.ends_run)

    async def write(self, handle: Handle, session: Session) -> None:
        """Write it all.

        Raises:
            MovedError: the transaction is to be aborted.
        """
        db = handle.db
        if self.events:
            await db.events.insert_many(self.events, session=session)
        await self._write_hooks(handle, session)
        if self.ended is not None:
            gone = await db.messages.delete_many(self.ended, session=session)
            if self.must_end and gone.deleted_count < len(self.ended["_id"]["$in"]):
                raise MovedError
        if self.given_back:
            updates: list[UpdateOne] = [
                UpdateOne(chosen, {"$set": fields}) for chosen, fields in self.given_back
            ]
            given = await db.messages.bulk_write(updates, session=session)
            if given.matched_count < len(updates):
                raise MovedError
        if self.sent:
            await db.messages.insert_many(self.sent, session=session)
        if self.ends_run:
            await db.messages.delete_many({"n": self.n}, session=session)

    async def _write_hooks(self, handle: Handle, session: Session) -> None:
        hooks = handle.db.hooks
        if self.ends_run:
            await hooks.delete_many({"n": self.n}, session=session)
            return
        if self.hooks_freed:
            freed = {"_id": {"$in": self.hooks_freed}, "n": self.n}
            await hooks.delete_many(freed, session=session)
        if self.hooks_taken:
            await hooks.insert_many(self.hooks_taken, session=session)
        for token, n in self.contested.items():
            # The holder must be the holder still when this lands: writing to it says so.
            held = await hooks.update_one(
                {"_id": token, "n": n}, {"$inc": {"contested": 1}}, session=session
            )
            if not held.matched_count:
                raise MovedError


def _given_back(page: Page, *, version: str, now_ms: int) -> list[tuple[Document, Document]]:
    """Filters and fields of the messages whose claims were given back."""
    found: list[tuple[Document, Document]] = []
    for name, queued in page.book.messages.items():
        before = page.messages.get(name)
        after = lease_fields(queued)
        if before is None or before == after:
            continue
        held = {"_id": name, "token": before["token"], "until_ms": {"$gt": now_ms}, "n": page.n}
        changed = ("due_ms", "token", "until_ms", "at_ms")
        found.append((held, {"v": version, **{field: after[field] for field in changed}}))
    return found


def _hook_document(hook: HookRecord, n: ObjectId, pending: Pending) -> Document:
    return {
        "_id": hook.token,
        "n": n,
        "run": hook.run_id,
        "hook": hook.hook_id,
        "webhook": hook.is_webhook,
        "metadata": None if hook.metadata is None else pending.pack(hook.metadata),
    }


def hook_of(document: Document, metadata: bytes | None = None) -> HookRecord:
    """The holder of a token."""
    return HookRecord(
        run_id=RunId(document["run"]),
        hook_id=EntityId(document["hook"]),
        token=document["_id"],
        metadata=metadata,
        is_webhook=document["webhook"],
    )


async def read_page(
    handle: Handle, run_id: RunId, needs: Needs, *, thorough: bool, new: NewRun | None
) -> Page:
    """Read a run; or begin one, if *new* is given and it is not there.

    Raises:
        RunNotFoundError: no such run, and none to begin.
    """
    db = handle.db
    document: Document | None = None
    if new is None or thorough:
        document = await db.runs.find_one({"_id": run_id})
    holders = {found["_id"]: (found["n"], hook_of(found)) for found in await _tokens(handle, needs)}
    if document is None:
        if new is None:
            raise RunNotFoundError(run_id)
        return Page(
            handle=handle,
            n=ObjectId(),
            before=None,
            book=Book.create(new, due_ms=None),
            holders=holders,
        )
    n, book = document["n"], book_of(document)
    if needs.hooks and book.wake is not None:
        own = await db.hooks.find({"n": n}).to_list(None)
        book.hooks = {found["_id"]: hook_of(found) for found in own}
    if thorough or needs.is_intricate:
        book.positions, book.messages = await asyncio.gather(
            _positions(handle, n, needs), _messages(handle, n, needs)
        )
    elif book.wake is not None:
        book.messages = {m: assumed_message(lease, run_id) for m, lease in needs.ended.items()}
    return Page(handle=handle, n=n, before=document, book=book, holders=holders)


async def _tokens(handle: Handle, needs: Needs) -> list[Document]:
    if not needs.tokens:
        return []
    return await handle.db.hooks.find({"_id": {"$in": sorted(needs.tokens)}}).to_list(None)


async def _positions(handle: Handle, n: ObjectId, needs: Needs) -> dict[str, int]:
    chosen = {"_id.n": n, "key": {"$in": sorted(needs.keys)}}
    found: list[dict[str, Any]] = await handle.db.events.find(chosen, {"key": 1}).to_list(None)
    return {event["key"]: event["_id"]["p"] for event in found}


async def _messages(handle: Handle, n: ObjectId, needs: Needs) -> dict[str, QueuedMessage]:
    chosen = {"_id": {"$in": sorted(needs.sent | needs.ended.keys())}, "n": n}
    found = await handle.db.messages.find(chosen, {"body": 0}).to_list(None)
    return {document["_id"]: message_of(document) for document in found}
