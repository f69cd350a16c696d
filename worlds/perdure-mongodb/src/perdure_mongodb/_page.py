"""Page: one run as it was read, to be changed in memory and written in one transaction.

A run's document is fenced by its version ``v``, so it may be one of ``Recent``. Facts outside it
(whether an event's key or a message is there, whether a lease is live) are at first taken to be as
usual and left to unique indexes and guarded filters. When the fence or one of those objects, more
is read. An answer that is an error is believed only if everything was read for it (``Care``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import final

from bson import ObjectId

from perdure.errors import RunNotFoundError
from perdure.model import EntityId, HookRecord, Lease, NewRun, RunId, Snapshot, StreamCopy
from perdure.worldkit.pure import Book, QueuedMessage

from ._driver import Collection, Document
from ._handle import Handle
from ._messages import assumed_message, lease_fields, message_of
from ._runs import book_of
from ._transaction import MovedError
from ._values import MissingChunksError, Values, load_values

__all__ = ("Birth", "Care", "Needs", "Page", "has_lapsed", "hook_of", "read_page")


class Care(IntEnum):
    """How much is read for a page."""

    RECENT = 0  # the run's document only if this process has not seen it lately
    FRESH = 1  # the run's document
    THOROUGH = 2  # and all that the work may ask for


@final
@dataclass(slots=True, kw_only=True)
class Needs:
    """The parts of a run that a piece of work needs besides its document."""

    keys: set[str] = field(default_factory=set[str])
    messages: set[str] = field(default_factory=set[str])  # ids of messages
    ended: dict[str, Lease] = field(default_factory=dict[str, Lease])  # message leases, by item
    tokens: set[str] = field(default_factory=set[str])
    others: set[str] = field(default_factory=set[str])  # ids of runs that may be there already
    hooks: bool = False  # those the run holds
    whole: bool = False  # all messages, with their bodies, and all of the hooks
    twice: bool = False  # some message is ended under more than one lease

    @classmethod
    def of_all(cls, parts: Sequence[Needs]) -> Needs:
        """All of them."""
        both = cls()
        for part in parts:
            both.keys |= part.keys
            both.messages |= part.messages
            both.twice |= part.twice or bool(both.ended.keys() & part.ended.keys())
            both.ended |= part.ended
            both.tokens |= part.tokens
            both.others |= part.others
            both.hooks |= part.hooks
            both.whole |= part.whole
        return both

    @property
    def is_intricate(self) -> bool:
        """Whether a message is sent and ended, or ended twice: nothing can be assumed of it."""
        return self.twice or bool(self.messages & self.ended.keys())


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A run that is created with a page."""

    n: ObjectId
    book: Book


@final
@dataclass(slots=True, kw_only=True)
class Page:
    """A run in memory."""

    handle: Handle
    n: ObjectId
    before: Document | None  # its document; None: it is to be made
    book: Book
    holders: dict[str, tuple[ObjectId, HookRecord]]  # who holds the tokens that were asked for
    entries: dict[str, Document]  # these hooks' documents
    lapsed: dict[str, ObjectId]  # runs that have ended, and kept such a token for long enough
    required: set[str] = field(default_factory=set[str])  # messages whose lease must be live
    contested: dict[str, ObjectId] = field(default_factory=dict[str, ObjectId])
    departed: list[str] = field(default_factory=list[str])  # messages that left, or were withdrawn
    arrived: tuple[StreamCopy, ...] = ()  # streams that came with the run
    births: dict[RunId, Birth] = field(default_factory=dict[RunId, Birth])
    others: dict[str, Document] = field(default_factory=dict[str, Document])  # if asked for
    messages: dict[str, Document] = field(init=False)  # lease fields as they were read
    read: dict[str, QueuedMessage] = field(init=False)  # the messages themselves, by identity
    hooks: dict[str, HookRecord] = field(init=False)  # the run's own, as they were read
    chain: dict[int, tuple[Snapshot, Document]] = field(init=False)  # by identity

    def __post_init__(self) -> None:
        book = self.book
        self.messages = {name: lease_fields(queued) for name, queued in book.messages.items()}
        self.read = dict(book.messages)
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

    def takes(self, token: str) -> bool:
        """Whether the run has this token from now on, or one that it starts."""
        born = any(token in birth.book.hooks for birth in self.births.values())
        return born or token in self.book.hooks

    def is_kept(self, name: str) -> bool:
        """Whether a message that was read is there still: not ended, nor ended and sent anew."""
        return self.book.messages.get(name) is self.read.get(name)

    @property
    def rings(self) -> list[str]:
        """The bells of those who wait for this write."""
        book, rings = self.book, ["wakes"] if self.births else list[str]()
        if book.wake is None:
            return [book.record.run_id, *rings]
        if book.wake.lease is None and book.wake.due_ms is not None:
            rings.append("wakes")
        if any(queued.lease is None for queued in book.messages.values()):
            rings.append("messages")
        return rings


def hook_of(document: Document, metadata: bytes | None = None) -> HookRecord:
    """The holder of a token."""
    keep_until_ms = document["keep_until_ms"]
    return HookRecord(
        run_id=RunId(document["run"]),
        hook_id=EntityId(document["hook"]),
        token=document["token"],
        metadata=metadata,
        is_webhook=document["webhook"],
        level=document["level"],
        created_at_ms=int(document["created_at_ms"]),
        keep_until_ms=None if keep_until_ms is None else int(keep_until_ms),
    )


async def read_page(
    handle: Handle, run_id: RunId, needs: Needs, *, care: Care, new: NewRun | None
) -> Page:
    """Read a run; or begin one, if *new* is given and it is not there.

    Raises:
        RunNotFoundError: no such run, and none to begin.
    """
    db = handle.db
    document = handle.recent.get(run_id) if care is Care.RECENT and new is None else None
    if document is None and (new is None or care is Care.THOROUGH):
        document = await db.runs.find_one({"_id": run_id})
    entries, lapsed = await _tokens(handle, needs)
    holders = {token: (entry["n"], hook_of(entry)) for token, entry in entries.items()}
    others = await _others(db.runs, needs) if care is Care.THOROUGH and needs.others else {}
    if document is None:
        if new is None:
            raise RunNotFoundError(run_id)
        return Page(
            handle=handle,
            n=ObjectId(),
            before=None,
            book=Book.create(replace(new, hook=None), due_ms=None),
            holders=holders,
            entries=entries,
            lapsed=lapsed,
            others=others,
        )
    n, book = document["n"], book_of(document)
    if needs.hooks and book.wake is not None:
        own = await db.hooks.find({"n": n}).to_list(None)
        book.hooks = {entry["_id"]: hook_of(entry) for entry in own}
        if needs.whole:
            book.hooks = await _whole_hooks(handle, n, own)
    if needs.whole:
        book.positions, book.messages = await asyncio.gather(
            _positions(handle, n, needs), _whole_messages(handle, n)
        )
    elif care is Care.THOROUGH or needs.is_intricate:
        book.positions, book.messages = await asyncio.gather(
            _positions(handle, n, needs), _messages(handle, n, needs)
        )
    elif book.wake is not None:
        book.messages = {m: assumed_message(lease, run_id) for m, lease in needs.ended.items()}
    return Page(
        handle=handle,
        n=n,
        before=document,
        book=book,
        holders=holders,
        entries=entries,
        lapsed=lapsed,
        others=others,
    )


async def _others(runs: Collection, needs: Needs) -> dict[str, Document]:
    """The runs that are there already of those that may be."""
    documents = await runs.find({"_id": {"$in": sorted(needs.others)}}).to_list(None)
    return {document["_id"]: document for document in documents}


async def _tokens(handle: Handle, needs: Needs) -> tuple[dict[str, Document], dict[str, ObjectId]]:
    """The hooks that hold the tokens that are asked for, and who had them once."""
    holders: dict[str, Document] = {}
    lapsed: dict[str, ObjectId] = {}
    if not needs.tokens:
        return holders, lapsed
    entries = await handle.db.hooks.find({"_id": {"$in": sorted(needs.tokens)}}).to_list(None)
    for entry in entries:
        if await has_lapsed(handle, entry):
            lapsed[entry["_id"]] = entry["n"]
        else:
            holders[entry["_id"]] = entry
    return holders, lapsed


async def has_lapsed(handle: Handle, entry: Document) -> bool:
    """Whether the hook's run has ended, and does not keep the token any more.

    The hooks that an ended run does not keep are deleted with its end.
    """
    keep_until_ms = entry["keep_until_ms"]
    if keep_until_ms is None or handle.now_ms() < keep_until_ms:
        return False
    run = await handle.db.runs.find_one({"_id": entry["run"], "n": entry["n"]}, {"ended_at_ms": 1})
    return run is None or run["ended_at_ms"] is not None


async def _positions(handle: Handle, n: ObjectId, needs: Needs) -> dict[str, int]:
    query = {"_id.n": n, "key": {"$in": sorted(needs.keys)}}
    events: list[Document] = await handle.db.events.find(query, {"key": 1}).to_list(None)
    return {event["key"]: event["_id"]["p"] for event in events}


async def _messages(handle: Handle, n: ObjectId, needs: Needs) -> dict[str, QueuedMessage]:
    query = {"_id": {"$in": sorted(needs.messages | needs.ended.keys())}, "n": n}
    documents = await handle.db.messages.find(query, {"body": 0}).to_list(None)
    return {document["_id"]: message_of(document) for document in documents}


async def _whole_messages(handle: Handle, n: ObjectId) -> dict[str, QueuedMessage]:
    """All messages of the run, with their bodies."""
    documents = await handle.db.messages.find({"n": n}).to_list(None)
    values = await _load(handle, n, [document["body"] for document in documents])
    whole: dict[str, QueuedMessage] = {}
    for document in documents:
        queued = message_of(document)
        body = values.unpack(document["body"]) or b""
        queued.message = replace(queued.message, body=body)
        whole[queued.message.message_id] = queued
    return whole


async def _whole_hooks(
    handle: Handle, n: ObjectId, documents: list[Document]
) -> dict[str, HookRecord]:
    """The run's hooks, with their metadata."""
    values = await _load(handle, n, [document["metadata"] for document in documents])
    return {d["_id"]: hook_of(d, values.unpack(d["metadata"])) for d in documents}


async def _load(handle: Handle, n: ObjectId, stored: list[object]) -> Values:
    """Large values of the run.

    Raises:
        MovedError: they are gone since.
    """
    try:
        return await load_values(handle.db.chunks, [(n, value) for value in stored])
    except MissingChunksError:
        raise MovedError from None
