"""Transfer: runs that leave for another world, and runs that come.

Either is one replacement of a head. Streams lie beside it under the birth of this life of the run,
and are written before the head; those of a try that did not land are nobody's, and are swept.
"""

from __future__ import annotations

from typing import final

from perdure.abc import Transfer
from perdure.model import Departure, HookRecord, RunCopy, RunId, RunRecord, StreamCopy, Watcher
from perdure.worldkit.pure import (
    arrive,
    arrived_already,
    confirmed_record,
    depart,
    is_watching,
    work_of,
)

from ._handle import Handle
from ._outbox import deliver
from ._page import Page
from ._streams import S3Streams
from ._together import each

__all__ = ("S3Transfer",)


@final
class S3Transfer(Transfer):
    """Departures from an S3 world, and arrivals."""

    def __init__(self, handle: Handle, streams: S3Streams) -> None:
        self._handle = handle
        self._streams = streams

    async def depart(self, departure: Departure) -> RunRecord:
        runs, bodies, dead = self._handle.runs, dict[str, bytes](), list[Watcher]()

        async def prepare(page: Page) -> None:
            bodies.clear()
            if page.head is None:
                return
            dead[:] = [one for one in page.book.watchers if not await self._is_watching(one)]
            for message_id in page.head.bodies:
                bodies[message_id] = await runs.parts.body(page.head, message_id) or b""

        def leave(page: Page) -> RunRecord:
            url, now_ms = self._handle.url, page.now_ms
            page.book.drop_watchers(dead)
            return depart(page.book, departure, url=url, now_ms=now_ms, bodies=bodies)

        await deliver(self._handle, departure.run_id)
        return await runs.change(departure.run_id, leave, prepare=prepare)

    async def _is_watching(self, watcher: Watcher) -> bool:
        head = await self._handle.runs.read(watcher.run_id)
        return is_watching(watcher, None if head is None else head.record)

    async def read_streams(self, run_id: RunId) -> tuple[StreamCopy, ...]:
        return await self._streams.copied(run_id)

    async def arrive(self, copy: RunCopy) -> RunRecord:
        tokens, holders = self._handle.tokens, dict[str, HookRecord]()
        work = work_of(copy)

        async def prepare(page: Page) -> None:
            holders.clear()
            if page.found is not None:
                return
            for hook in work.hooks:
                holder = await tokens.claim(page, hook.token)
                if holder is not None:
                    holders[hook.token] = holder
            run_id = copy.record.run_id
            await each(self._streams.put(run_id, page.birth, stream) for stream in copy.streams)

        def come(page: Page) -> RunRecord:
            if page.found is not None:
                return arrived_already(page.found, copy)
            book = arrive(copy, holder=holders.get)
            page.create(book)
            return book.record

        return await self._handle.runs.change(copy.record.run_id, come, prepare=prepare)

    async def confirm(self, run_id: RunId) -> RunRecord:
        def note(page: Page) -> RunRecord:
            page.book.record = confirmed_record(page.book.record)
            return page.book.record

        return await self._handle.runs.change(run_id, note)
