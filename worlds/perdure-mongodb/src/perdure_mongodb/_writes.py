"""Writes: the changes of a page, written in one transaction.

Invariant: the transaction's first write is the guarded update of the run's document, the row lock.
Where that document is all there is to write, the update is all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from bson import ObjectId

from perdure.model import RunStatus

from ._births import Births
from ._driver import Document
from ._messages import lease_fields, message_document
from ._page import Page
from ._runs import chain_fields, new_fields, run_fields
from ._schema import event_document, hook_document
from ._stream_documents import stream_documents
from ._transaction import Command, MovedError, delete, insert, update
from ._values import Pending

__all__ = ("write_page",)


async def write_page(page: Page, now_ms: int) -> bool:
    """Write all changes or nothing. Returns whether there were any.

    Raises:
        MovedError: nothing was written; read again.
        PyMongoError: a duplicate key means the same.
    """
    handle, pending = page.handle, Pending(page.n)
    version = handle.connection.new_version()
    fields = _run_fields(page, pending)
    work = _Writes.of(page, pending, version=version, now_ms=now_ms)
    if not fields and work.is_empty:
        return False
    fields["v"] = version
    births = Births.of(page, version=version) if page.births else None
    await pending.store(handle.db.chunks)
    if births is not None:
        await births.store_values(handle.db.chunks)
        commands = [*_run_commands(page, fields), *work.commands(), *births.commands()]
        await handle.transact(commands)
    elif work.is_empty and page.before is not None:
        result = await handle.db.runs.update_one(_guard(page.before), {"$set": fields})
        if not result.matched_count:
            raise MovedError
    else:
        await handle.transact([*_run_commands(page, fields), *work.commands()])
    handle.recent.note({**(page.before or {}), **fields})
    await _drop_chunks(page, fields)
    return True


def _run_fields(page: Page, pending: Pending) -> Document:
    if page.before is None:
        return new_fields(page.book, page.n, pending)
    fields = {
        **run_fields(page.book, pending),
        **chain_fields(page.book.snapshots, page.chain, pending),
    }
    before = page.before
    return {name: value for name, value in fields.items() if before.get(name) != value}


def _run_commands(page: Page, fields: Document) -> Iterator[Command]:
    if page.before is None:
        return insert("runs", [fields])
    return iter([update("runs", [(_guard(page.before), {"$set": fields})], least=1)])


def _guard(before: Document) -> Document:
    return {"_id": before["_id"], "v": before["v"]}


async def _drop_chunks(page: Page, fields: Document) -> None:
    """Remove the bytes of large snapshots that were replaced."""
    before: list[Document] = [] if page.before is None else page.before["snapshots"]
    after: list[Document] = fields.get("snapshots", before)
    dead = _refs(before) - _refs(after)
    if dead:
        query = {"_id.n": page.n, "_id.ref": {"$in": sorted(dead)}}
        await page.handle.db.chunks.delete_many(query)


def _refs(entries: Sequence[Document]) -> set[str]:
    return {entry["data"]["ref"] for entry in entries if isinstance(entry["data"], dict)}


@final
@dataclass(slots=True, kw_only=True)
class _Writes:
    """The writes of a page besides the run's document."""

    n: ObjectId
    events: list[Document]
    hooks_taken: list[Document]
    hooks_freed: list[str]
    hooks_seized: list[Document]  # documents of other runs' hooks whose token is taken by force
    hooks_lapsed: list[Document]  # filters of those in whose place one is taken
    contested: dict[str, ObjectId]
    messages: list[Document]
    ended: Document | None  # the filter of messages that are done
    must_end: int  # how many it has to find; 0: as many as there are
    given_back: list[tuple[Document, Document]]
    ends_run: bool
    leaves: bool  # with all its hooks
    now_ms: int
    departed: list[Document]  # filters of the messages that left with the run
    streams: list[Document]  # that came with it

    @classmethod
    def of(cls, page: Page, pending: Pending, *, version: str, now_ms: int) -> _Writes:
        """The changes since the page was read."""
        book, ends_run = page.book, page.before is None or page.before["ended_at_ms"] is None
        ends_run = ends_run and book.wake is None
        before = page.messages
        seized = [
            entry for t, entry in page.entries.items() if t in book.hooks and entry["n"] != page.n
        ]
        departed = set(page.departed)
        names = [name for name in before if name not in departed and not page.is_kept(name)]
        must = [name for name in names if name in page.required]
        if ends_run:
            names = must  # the rest goes with the run
        ended: Document | None = None
        if names:
            ended = {
                "_id": {"$in": names},
                "token": {"$in": [before[name]["token"] for name in names]},
                "until_ms": {"$gt": now_ms},
                "n": page.n,
            }
        return cls(
            n=page.n,
            events=[event_document(page.n, logged, pending) for logged in book.written],
            hooks_taken=[
                hook_document(hook, page.n, pending)
                for token, hook in book.hooks.items()
                if page.hooks.get(token) is not hook
            ],
            hooks_freed=sorted(
                token for token, hook in page.hooks.items() if book.hooks.get(token) is not hook
            ),
            hooks_lapsed=[
                {"_id": token, "n": n} for token, n in page.lapsed.items() if page.takes(token)
            ],
            hooks_seized=seized,
            contested={t: at for t, at in page.contested.items() if t not in book.hooks},
            messages=[
                message_document(queued, page.n, pending, version=version)
                for name, queued in book.messages.items()
                if name not in before or not page.is_kept(name)
            ],
            ended=ended,
            must_end=len(must),
            given_back=_given_back(page, version=version, now_ms=now_ms),
            ends_run=ends_run,
            leaves=book.record.status is RunStatus.MOVING,
            now_ms=now_ms,
            departed=[{"_id": m, "n": page.n, **_as_read(before[m])} for m in page.departed],
            streams=[
                document
                for stream in page.arrived
                for document in stream_documents(stream, page.n, book.record.run_id, pending)
            ],
        )

    @property
    def is_empty(self) -> bool:
        """Whether the run's document is all there is to write."""
        lists = (self.events, self.hooks_taken, self.hooks_freed, self.messages, self.given_back)
        return not (any(lists) or self.contested or self.ended or self.ends_run)

    def commands(self) -> Iterator[Command]:
        """All of it, but for the run's document."""
        yield from insert("events", self.events) if self.events else ()
        yield from self._hook_commands()
        if self.ended is not None:
            least = len(self.ended["_id"]["$in"]) if self.must_end else 0
            yield delete("messages", self.ended, least=least)
        if self.given_back:
            changes = [(query, {"$set": fields}) for query, fields in self.given_back]
            yield update("messages", changes, least=len(changes))
        yield from insert("messages", self.messages) if self.messages else ()
        if self.departed:
            # Each as it was read: a claim in between is one that the run leaves with.
            yield delete("messages", {"$or": self.departed}, least=len(self.departed))
        if self.ends_run:
            yield delete("messages", {"n": self.n})
        yield from insert("streams", self.streams) if self.streams else ()

    @property
    def _let_go(self) -> Document:
        """The filter of the hooks that a run does not keep past its end."""
        keep: list[Document] = [{"keep_until_ms": None}, {"keep_until_ms": {"$lte": self.now_ms}}]
        return {"$or": keep}

    def _hook_commands(self) -> Iterator[Command]:
        if self.contested:
            # The holder must be the holder still when this lands: writing to it says so.
            holders = [{"_id": token, "n": n} for token, n in self.contested.items()]
            changes: list[tuple[Document, Document]] = [
                (holder, {"$inc": {"contested": 1}}) for holder in holders
            ]
            yield update("hooks", changes, least=len(changes))
        if self.ends_run:
            yield delete("hooks", {"n": self.n, **({} if self.leaves else self._let_go)})
        if self.hooks_lapsed:
            yield delete("hooks", {"$or": self.hooks_lapsed})
        if self.hooks_freed:
            yield delete("hooks", {"_id": {"$in": self.hooks_freed}, "n": self.n})
        if self.hooks_seized:
            # Each must be its run's still. That run holds it till it has been told.
            seized = [{"_id": entry["_id"], "n": entry["n"]} for entry in self.hooks_seized]
            yield delete("hooks", {"$or": seized}, least=len(seized))
        hooks = [*self.hooks_taken, *map(_seized_document, self.hooks_seized)]
        yield from insert("hooks", hooks) if hooks else ()


def _as_read(lease: Document) -> Document:
    return {name: lease[name] for name in ("token", "until_ms", "attempt", "lost", "returned")}


def _given_back(page: Page, *, version: str, now_ms: int) -> list[tuple[Document, Document]]:
    """Filters and fields of the messages whose claims were given back."""
    changes: list[tuple[Document, Document]] = []
    for name, queued in page.book.messages.items():
        before = page.messages.get(name)
        after = lease_fields(queued)
        if before is None or before == after or not page.is_kept(name):
            continue
        query = {"_id": name, "token": before["token"], "until_ms": {"$gt": now_ms}, "n": page.n}
        changed = ("due_ms", "token", "until_ms", "at_ms")
        changes.append((query, {"v": version, **{field: after[field] for field in changed}}))
    return changes


def _seized_document(entry: Document) -> Document:
    """A hook that its run holds still, though another has the token: until it has been told."""
    return {**entry, "_id": f"{entry['_id']}\0{entry['n']}"}
