"""Transaction: commands that land together or not at all, one after another in one go.

The writes are data. The conversation with the server is written once, as a generator of calls; a
driver makes them wherever it makes its calls, Motor's in one thread without coming back to the
event loop in between. Commands are sent as they are: the driver's helpers for each kind of write
cost as much again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import bson
from pymongo.errors import BulkWriteError, PyMongoError

__all__ = (
    "UNKNOWN_COMMIT",
    "Call",
    "Command",
    "Conversation",
    "Document",
    "MovedError",
    "advance",
    "conversation",
    "delete",
    "insert",
    "update",
)

Document: TypeAlias = dict[str, Any]  # BSON has no static types

COMMIT_PATIENCE = 30.0  # seconds in which an unanswered commit is asked for again
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
_MESSAGE_BYTES = 16_000_000  # PyMongo sends a command as one of at most 16 MiB and a little
_SURELY_FEW = 12  # documents of which none is much larger than 1 MB: see ``_values``


class MovedError(Exception):
    """The document that a write builds on has changed, or an assumption did not hold."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and how many documents it has to find."""

    body: Document
    least: int = 0

    def check(self, reply: Mapping[str, Any]) -> None:
        """Pass only the answer to one that found all that it had to.

        Raises:
            MovedError: it found fewer documents.
            BulkWriteError: one was refused.
        """
        if errors := reply.get("writeErrors"):
            raise BulkWriteError({"writeErrors": errors})
        if reply["n"] < self.least:
            raise MovedError


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make of the driver: it returns the answer, or on asyncio an awaitable."""

    what: str
    make: Callable[[], Any]


Conversation: TypeAlias = "Generator[Call, Any, None]"


def insert(collection: str, documents: Sequence[Document]) -> Iterator[Command]:
    """Insert these, in as many commands as it takes."""
    for batch in [documents] if len(documents) <= _SURELY_FEW else _batches(documents):
        yield Command({"insert": collection, "documents": list(batch)})


def update(
    collection: str, changes: Sequence[tuple[Document, Document]], *, least: int = 0
) -> Command:
    """Update one document for each filter."""
    return Command(
        {"update": collection, "updates": [{"q": q, "u": u} for q, u in changes]}, least=least
    )


def delete(collection: str, query: Document, *, least: int = 0) -> Command:
    """Delete all that the filter finds."""
    return Command({"delete": collection, "deletes": [{"q": query, "limit": 0}]}, least=least)


def conversation(
    client: Any, database: Any, commands: Sequence[Command], options: Mapping[str, Any]
) -> Conversation:
    """A transaction on a client of PyMongo, blocking or not.

    Raises:
        MovedError: a command found too little; nothing was written.
        PyMongoError: labelled ``UnknownTransactionCommitResult`` if it may have landed.
    """
    session = client.start_session()
    try:
        yield Call("begin", partial(session.start_transaction, **options))
        try:
            for command in commands:
                name, collection = next(iter(command.body.items()))
                ask = partial(database.command, command.body, session=session)
                command.check((yield Call(f"{collection}.{name}", ask)))
        except BaseException:
            with contextlib.suppress(PyMongoError):  # the server forgets it by itself
                yield Call("abort", session.abort_transaction)
            raise
        yield from _commit(session.commit_transaction)
    finally:
        yield Call("end", session.end_session)


def advance(talk: Conversation, answer: Any, error: BaseException | None) -> Call | None:
    """The next call, after how the last one ended; None if there are no more."""
    try:
        return talk.send(answer) if error is None else talk.throw(error)
    except StopIteration:
        return None


def _commit(commit: Callable[[], Any]) -> Conversation:
    until = time.monotonic() + COMMIT_PATIENCE
    while True:
        try:
            yield Call("commit", commit)
        except PyMongoError as exc:
            if not exc.has_error_label(UNKNOWN_COMMIT) or time.monotonic() > until:
                raise
        else:
            return


def _batches(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """As many as one message may hold."""
    start, size = 0, 0
    for at, document in enumerate(documents):
        length = len(bson.encode(document))
        if at > start and size + length > _MESSAGE_BYTES:
            yield documents[start:at]
            start, size = at, 0
        size += length
    yield documents[start:]
