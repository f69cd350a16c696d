"""Transfer: runs that leave for another world, and runs that come; a transaction each."""

from __future__ import annotations

from typing import final

from perdure.abc import Transfer
from perdure.errors import RunEndedError
from perdure.model import Departure, NewRun, RunCopy, RunId, RunRecord, StreamCopy, Watcher
from perdure.worldkit.pure import (
    arrive,
    arrived_already,
    confirmed_record,
    depart,
    has_departed,
    is_watching,
    moved_key,
    work_of,
)

from ._handle import Handle
from ._lander import Lander, Work
from ._outbox import Post
from ._page import Needs, Page
from ._runs import book_of, record_of
from ._storage import MongoStorage, find_run
from ._streams import MongoStreams

__all__ = ("MongoTransfer",)


@final
class MongoTransfer(Transfer):
    """Departures from a MongoDB world, and arrivals."""

    def __init__(
        self,
        handle: Handle,
        lander: Lander,
        post: Post,
        storage: MongoStorage,
        streams: MongoStreams,
    ) -> None:
        self._handle = handle
        self._lander = lander
        self._post = post
        self._storage = storage
        self._streams = streams

    async def depart(self, departure: Departure) -> RunRecord:
        url, run_id = self._handle.url, departure.run_id

        def act(page: Page, now_ms: int) -> None:
            hooks = page.book.hooks.items()  # without those whose token another run has by now
            page.book.hooks = {token: hook for token, hook in hooks if token == hook.token}
            names = [name for name in page.book.messages if name in page.messages]
            page.book.drop_watchers(dead)
            depart(page.book, departure, url=url, now_ms=now_ms)
            page.departed = names

        record = await self._storage.get_run(run_id)
        if has_departed(record, departure):
            return record
        await self._handle.write(lambda: self._post.deliver(run_id))
        dead = await self._handle.read(lambda: self._dead_watchers(run_id))
        try:
            await self._lander.land(run_id, Work(needs=Needs(hooks=True, whole=True), act=act))
        except RunEndedError:  # of an ended run, a page does not tell where it went
            has_departed(await self._storage.get_run(run_id), departure)
        return await self._storage.get_run(run_id)

    async def _dead_watchers(self, run_id: RunId) -> list[Watcher]:
        """Those who wait for the run's end no more."""
        watchers = book_of(await find_run(self._handle, run_id)).watchers
        names = sorted({watcher.run_id for watcher in watchers})
        documents = await self._handle.db.runs.find({"_id": {"$in": names}}).to_list(None)
        runs = {document["_id"]: record_of(document, None) for document in documents}
        return [one for one in watchers if not is_watching(one, runs.get(one.run_id))]

    async def read_streams(self, run_id: RunId) -> tuple[StreamCopy, ...]:
        return await self._streams.copied(run_id)

    async def arrive(self, copy: RunCopy) -> RunRecord:
        run_id, work = copy.record.run_id, work_of(copy)
        needs = Needs(
            keys={moved_key(copy.record.position)}, tokens={hook.token for hook in work.hooks}
        )

        def act(page: Page, now_ms: int) -> None:
            if page.before is not None:
                arrived_already(page.book, copy)
                return
            page.book = arrive(copy, holder=page.holder)
            page.arrived = copy.streams

        await self._lander.land(run_id, Work(needs=needs, act=act, new=_new(copy)))
        self._handle.ring("wakes", "messages", run_id)
        return await self._storage.get_run(run_id)

    async def confirm(self, run_id: RunId) -> RunRecord:
        def act(page: Page, now_ms: int) -> None:
            page.book.record = confirmed_record(page.book.record)

        await self._lander.land(run_id, Work(needs=Needs(), act=act))
        return await self._storage.get_run(run_id)


def _new(copy: RunCopy) -> NewRun:
    """A run to begin a page with; all of it is replaced by the copy."""
    record = copy.record
    return NewRun(
        run_id=record.run_id,
        workflow=record.workflow,
        bundle=record.bundle,
        engine=record.engine,
        input=b"",
        created_at_ms=record.created_at_ms,
    )
