"""Storage: runs, logs, hook tokens, and the commit of a turn."""

from __future__ import annotations

import secrets
from typing import final

from perdure.abc import Storage
from perdure.errors import (
    HookNotFoundError,
    RunNotFoundError,
    WorldUnavailableError,
)
from perdure.model import (
    Append,
    Appended,
    Committed,
    EventType,
    HookRecord,
    LoggedEvent,
    NewRun,
    RunId,
    RunRecord,
    RunState,
    Snapshot,
    TurnCommit,
)
from perdure.worldkit.pure import Book, is_cancel

from ._births import land_starts
from ._driver import Document
from ._handle import Handle
from ._lander import Lander, Work
from ._outbox import Post
from ._page import Needs, Page, has_lapsed, hook_of
from ._runs import is_ended, record_of, snapshot_of
from ._schema import bounded, event_of
from ._values import MissingChunksError, Owner, load_values

__all__ = ("MongoStorage", "find_run", "read_chain")

_NEEDS_HOOK = frozenset({EventType.HOOK_RECEIVED, EventType.HOOK_DISPOSED, EventType.HOOK_REVOKED})
READ_TRIES = 5  # of what is deleted or replaced while it is read


@final
class MongoStorage(Storage):
    """The storage of a MongoDB world."""

    def __init__(self, handle: Handle, lander: Lander, post: Post) -> None:
        self._handle = handle
        self._lander = lander
        self._post = post

    async def create_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        def act(page: Page, now_ms: int) -> RunRecord | None:
            if page.before is not None:
                page.book.check_same(new)
                return None
            page.book = Book.create(new, due_ms=now_ms, holder=page.holder)
            return page.book.record

        needs = Needs(tokens=set() if new.hook is None else {new.hook.token})
        record = await self._lander.land(new.run_id, Work(needs=needs, act=act, new=new))
        return (record, True) if record else (await self.get_run(new.run_id), False)

    async def append(self, append: Append) -> Appended:
        event, lease = append.event, append.lease
        is_request = event.type is EventType.CANCEL_REQUESTED
        needs = Needs(keys={event.key}, hooks=event.type in _NEEDS_HOOK, whole=is_request)
        if lease is not None and not lease.is_wake:
            needs.ended[lease.item] = lease

        def act(page: Page, now_ms: int) -> tuple[Appended, bool]:
            page.required |= needs.ended.keys()
            before = list(page.book.messages) if is_request else []
            appended = page.book.append(append, now_ms=now_ms)
            page.departed += [name for name in before if name not in page.book.messages]
            return appended, bool(page.book.outbox)

        appended, has_mail = await self._lander.land(append.run_id, Work(needs=needs, act=act))
        if has_mail and is_cancel(event):  # those who watch it are told, and those it started
            await self._handle.write(lambda: self._post.deliver(append.run_id))
        self._handle.counters["appends"] += 1
        return appended

    async def commit(self, commit: TurnCommit) -> Committed:
        def act(page: Page, now_ms: int) -> tuple[Committed, bool]:
            if commit.new is not None and _is_untouched(page):
                page.book, committed = Book.begin(
                    commit, now_ms=now_ms, holder=page.holder, new_token=_new_token
                )
            else:
                committed = page.book.commit(
                    commit, now_ms=now_ms, holder=page.holder, new_token=_new_token
                )
            if page.book.starts:
                land_starts(page, now_ms)
            return committed, bool(page.book.outbox or page.book.watches)

        work = Work(needs=_needs_of(commit), act=act, new=commit.new)
        committed, has_mail = await self._lander.land(commit.run_id, work)
        if has_mail:
            await self._handle.write(lambda: self._post.deliver(commit.run_id))
        self._handle.counters["commits"] += 1
        return committed

    async def get_run(self, run_id: RunId) -> RunRecord:
        return await self._handle.read(lambda: self._get_run(run_id))

    async def load_run(self, run_id: RunId, *, after: int | None = None) -> RunState:
        return await self._handle.read(lambda: self._load(run_id, after))

    async def read_events(
        self, run_id: RunId, *, after: int = 0, limit: int = 1000
    ) -> tuple[LoggedEvent, ...]:
        return await self._handle.read(lambda: self._read_events(run_id, after, max(limit, 0)))

    async def get_hook(self, token: str) -> HookRecord:
        return await self._handle.read(lambda: self._get_hook(token))

    async def wait_ended(self, run_id: RunId, *, wait_ms: int) -> RunRecord:
        record: RunRecord | None = None
        async for _ in self._handle.looks(run_id, wait_ms):
            record = await self.get_run(run_id)
            if record.status.is_ended:
                break
        assert record is not None  # there is always a first look
        return record

    async def _get_run(self, run_id: RunId) -> RunRecord:
        document = await find_run(self._handle, run_id)
        stored: list[tuple[Owner, object]] = [(document["n"], document.get("payload"))]
        return record_of(document, await load_values(self._handle.db.chunks, stored))

    async def _load(self, run_id: RunId, after: int | None) -> RunState:
        for _ in range(READ_TRIES):
            document = await find_run(self._handle, run_id)
            self._handle.recent.note(document)
            if is_ended(document):
                record = await self._get_run(run_id)
                return RunState(record=record, chain=(), events=())
            try:
                chain = await read_chain(self._handle, document) if after is None else ()
            except MissingChunksError:
                continue  # a newer snapshot replaced it
            above = after if after is not None else (chain[-1].consumed if chain else 0)
            # Events are never rewritten: those up to its position are the log of that instant.
            events = await self._events(document, above, document["position"])
            if events is not None:
                return RunState(record=record_of(document, None), chain=chain, events=events)
        raise WorldUnavailableError(f"run {run_id} changed faster than it could be read")

    async def _read_events(self, run_id: RunId, after: int, limit: int) -> tuple[LoggedEvent, ...]:
        for _ in range(READ_TRIES):
            document = await find_run(self._handle, run_id)
            above = bounded(after)
            events = await self._events(document, above, min(document["position"], above + limit))
            if events is not None:
                return events
        raise WorldUnavailableError(f"the log of run {run_id} is not whole")

    async def _events(
        self, document: Document, after: int, last: int
    ) -> tuple[LoggedEvent, ...] | None:
        """The events above *after* up to *last*; None if the run is being deleted."""
        if last <= after:
            return ()
        n, db = document["n"], self._handle.db
        query = {"_id": {"$gt": {"n": n, "p": after}, "$lte": {"n": n, "p": last}}}
        events = await db.events.find(query).sort("_id", 1).to_list(None)
        if len(events) != last - max(0, after):
            return None
        stored: list[tuple[Owner, object]] = [(n, event.get("payload")) for event in events]
        try:
            values = await load_values(db.chunks, stored)
        except MissingChunksError:
            return None
        return tuple(event_of(event, values) for event in events)

    async def _get_hook(self, token: str) -> HookRecord:
        document = await self._handle.db.hooks.find_one({"_id": token})
        if document is None or await has_lapsed(self._handle, document):
            raise HookNotFoundError(token)
        stored: list[tuple[Owner, object]] = [(document["n"], document["metadata"])]
        values = await load_values(self._handle.db.chunks, stored)
        return hook_of(document, values.unpack(document["metadata"]))


async def find_run(handle: Handle, run_id: RunId) -> Document:
    """The run's document.

    Raises:
        RunNotFoundError: no such run.
    """
    document = await handle.db.runs.find_one({"_id": run_id})
    if document is None:
        raise RunNotFoundError(run_id)
    return document


async def read_chain(handle: Handle, document: Document) -> tuple[Snapshot, ...]:
    """The run's snapshots, root first.

    Raises:
        MissingChunksError: they were replaced since the document was read.
    """
    entries = document["snapshots"]
    stored: list[tuple[Owner, object]] = [(document["n"], entry["data"]) for entry in entries]
    values = await load_values(handle.db.chunks, stored)
    return tuple(snapshot_of(entry, values) for entry in entries)


def _new_token() -> str:
    return secrets.token_hex(8)


def _is_untouched(page: Page) -> bool:
    """Whether the run is being made, and by this call: no other work in the write has done it."""
    wake = page.book.wake
    fresh = page.before is None and page.book.record.turn == 0
    return fresh and wake is not None and wake.due_ms is None


def _needs_of(commit: TurnCommit) -> Needs:
    keys = {event.key for event in (*commit.deliveries, *commit.events)}
    keys |= {f"{claim.hook_id}/conflict" for claim in commit.hooks_claimed}
    if commit.outcome is not None:
        keys.add("run/ended")
    leases = [end.lease for end in commit.leases if not end.lease.is_wake]
    ended = {lease.item: lease for lease in leases}
    keys |= {f"{start.entity}/end" for start in commit.starts}
    keyed = {start.new.hook.token for start in commit.starts if start.new.hook is not None}
    return Needs(
        keys=keys,
        messages={message.message_id for message in commit.messages},
        ended=ended,
        twice=len(ended) < len(leases),
        tokens={claim.token for claim in commit.hooks_claimed} | keyed,
        others={start.new.run_id for start in commit.starts},
        hooks=bool(commit.hooks_claimed or commit.hooks_released or keyed),
    )
