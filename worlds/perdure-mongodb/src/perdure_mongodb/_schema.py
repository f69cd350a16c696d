"""Schema: the collections and indexes, and how our values become documents.

A run has a number of its own, an ``ObjectId``, under which everything but its blobs is kept: a run
that is made again under the id of one being deleted shares nothing with it. Nothing here calls the
server but ``create_collections``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast, final

import cbor2
from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from perdure.errors import WorldContractError
from perdure.model import LEVEL, EntityId, Event, EventType, HookRecord, LoggedEvent
from perdure.worldkit.pure import load_plain

from ._driver import Collection, Database, Document
from ._values import Pending, Values

__all__ = (
    "ANY_TIME",
    "KNOWN",
    "Collections",
    "bounded",
    "create_collections",
    "event_document",
    "event_of",
    "hook_document",
    "unreadable",
)

VERSION = 3
_MAX_COUNT = (1 << 31) - 2
# Runs that this version knows how to carry. A later version has an index of its own for its runs.
KNOWN: Document = {"level": {"$lte": LEVEL}}
ANY_TIME = -(1 << 62)  # before any due time; a partial index is used only if its filter is asked


@final
@dataclass(frozen=True, slots=True)
class Collections:
    """The collections of one database."""

    runs: Collection  # one document a run: record, wake, snapshot chain, last commit
    events: Collection  # _id {n, p}: unique positions
    hooks: Collection  # _id: the token
    messages: Collection  # _id: the message's id
    streams: Collection  # _id {n, name, o}: one document a write
    blobs: Collection  # _id {run, digest}
    chunks: Collection  # _id {n, ref, i}: parts of values too large for their document
    deletions: Collection  # _id: the number of a run whose parts are to be removed

    @classmethod
    def of(cls, database: Database) -> Collections:
        """Those of *database*."""
        return cls(**{name: database[name] for name in cls.__slots__})


def bounded(count: int) -> int:
    """A position or a limit of a caller's as MongoDB can have it; of those below zero, zero."""
    return max(0, min(count, _MAX_COUNT))


def _waiting(field: str, where: Document | None = None) -> dict[str, Any]:
    return {"partialFilterExpression": {field: {"$gte": ANY_TIME}, **(where or {})}}


INDEXES: dict[str, list[IndexModel]] = {
    "runs": [
        IndexModel([("created_at_ms", ASCENDING), ("_id", ASCENDING)]),
        IndexModel(
            [("wake_at_ms", ASCENDING), ("_id", ASCENDING)], **_waiting("wake_at_ms", KNOWN)
        ),
        IndexModel([("outbox_at_ms", ASCENDING)], **_waiting("outbox_at_ms")),
        IndexModel([("ended_at_ms", ASCENDING), ("_id", ASCENDING)], **_waiting("ended_at_ms")),
    ],
    "events": [IndexModel([("_id.n", ASCENDING), ("key", ASCENDING)], unique=True)],
    "hooks": [IndexModel([("n", ASCENDING)])],
    "messages": [
        IndexModel([("topic", ASCENDING), ("at_ms", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("n", ASCENDING)]),
    ],
    "streams": [
        IndexModel([("_id.n", ASCENDING), ("_id.name", ASCENDING), ("end", ASCENDING)]),
        IndexModel(
            [
                ("_id.n", ASCENDING),
                ("_id.name", ASCENDING),
                ("base", ASCENDING),
                ("writer", ASCENDING),
                ("attempt", ASCENDING),
                ("sequence", ASCENDING),
            ],
            unique=True,
        ),
    ],
    "blobs": [IndexModel([("_id.run", ASCENDING)])],
    "chunks": [IndexModel([("_id.n", ASCENDING), ("_id.ref", ASCENDING), ("_id.i", ASCENDING)])],
    "deletions": [IndexModel([("_id", ASCENDING)])],  # there anyway: it makes the collection
}


async def create_collections(database: Database) -> None:
    """Make the missing collections; any number of clients may do so at once.

    Raises:
        WorldContractError: the database is laid out for another version of this package.
    """
    meta = database["meta"]
    schema = await meta.find_one({"_id": "schema"})
    if schema is None:
        await asyncio.gather(
            *(database[name].create_indexes(indexes) for name, indexes in INDEXES.items())
        )
        schema = {"_id": "schema", "version": VERSION}
        try:
            await meta.insert_one(schema)
        except DuplicateKeyError:
            return await create_collections(database)
    if schema["version"] != VERSION:
        raise WorldContractError(
            f"database {database.name} has layout {schema['version']}, this package reads {VERSION}"
        )
    return None


def event_document(n: ObjectId, logged: LoggedEvent, pending: Pending) -> Document:
    """The document of an event."""
    event = logged.event
    document: Document = {
        "_id": {"n": n, "p": logged.position},
        "key": event.key,
        "type": event.type.value,
        "at_ms": event.at_ms,
    }
    if event.entity is not None:
        document["entity"] = event.entity
    if event.payload is not None:
        document["payload"] = pending.pack(event.payload)
    if event.facts:
        document["facts"] = cbor2.dumps(dict(event.facts))  # any name and text, exactly
    return document


def hook_document(hook: HookRecord, n: ObjectId, pending: Pending) -> Document:
    """The document of a hook."""
    return {
        "_id": hook.token,
        "token": hook.token,
        "n": n,
        "run": hook.run_id,
        "hook": hook.hook_id,
        "webhook": hook.is_webhook,
        "metadata": None if hook.metadata is None else pending.pack(hook.metadata),
        "created_at_ms": hook.created_at_ms,
        "keep_until_ms": hook.keep_until_ms,
        "level": hook.level,
    }


def event_of(document: Document, values: Values) -> LoggedEvent:
    """The event in a document whose large values are at hand.

    Raises:
        WorldContractError: the document is damaged, or of a later version.
    """
    try:
        return _event_of(document, values)
    except (TypeError, ValueError) as exc:
        raise unreadable(f"an event of {document['_id']}", exc) from exc


def unreadable(what: str, exc: Exception) -> WorldContractError:
    """The error for stored bytes that this package does not write."""
    return WorldContractError(
        f"{what} cannot be read ({type(exc).__name__}): the database is damaged, or a later"
        " version of perdure-mongodb has written to it"
    )


def _event_of(document: Document, values: Values) -> LoggedEvent:
    stored = document.get("facts")
    facts: object = {} if stored is None else load_plain(stored, depth=1)
    if not isinstance(facts, dict):
        raise ValueError("its facts are no mapping")
    entity = document.get("entity")
    return LoggedEvent(
        position=document["_id"]["p"],
        event=Event(
            type=EventType(document["type"]),
            key=document["key"],
            at_ms=int(document["at_ms"]),  # not BSON's own kind of number
            entity=None if entity is None else EntityId(entity),
            payload=values.unpack(document.get("payload")),
            facts=cast("dict[str, Any]", facts),
        ),
    )
