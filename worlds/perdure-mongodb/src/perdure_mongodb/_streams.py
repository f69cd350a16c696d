"""Streams: chunks of a run, read while they are written.

A stream is a log of writes: one document each, at the next place ``o``, with the chunks from
``start`` to ``end``. An append is one insert: the place is unique, so of two at once one comes
after the other, and so is (writer, attempt, sequence). A close is a write without chunks, and so
is a deletion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import cbor2
from bson import ObjectId
from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from perdure.abc import Streams
from perdure.errors import (
    RunNotFoundError,
    StreamClosedError,
    StreamFencedError,
    WorldUnavailableError,
)
from perdure.model import PAGE_BYTES, RunId, StreamCopy, StreamInfo, StreamPage
from perdure.worldkit.pure import fitting, is_system_stream

from ._driver import Document
from ._handle import Handle
from ._schema import bounded
from ._stream_documents import (
    CLOSE,
    CUT,
    copied_stream,
    is_without_gap,
    one_page,
    write_after,
    written_chunks,
)
from ._values import MissingChunksError, Owner, Pending, load_values

__all__ = ("MongoStreams",)

TRIES = 100  # of an append that other writers come before


@final
class MongoStreams(Streams):
    """The streams of a MongoDB world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def append(
        self,
        run_id: RunId,
        name: str,
        chunks: Sequence[bytes],
        *,
        writer: str,
        sequence: int,
        attempt: int = 1,
    ) -> int:
        chunks = [bytes(chunk) for chunk in chunks]
        data = cbor2.dumps(chunks)
        which = {"writer": writer, "attempt": attempt, "sequence": sequence}

        async def work() -> int:
            await self._handle.settled_term()
            n = await self._number(run_id)
            for _ in range(TRIES):
                # The last write first: a write that is not found after that was not there then.
                last = await self._last(n, name)
                if last is not None:
                    latest = await self._check_fence(run_id, last, writer, attempt)
                    if latest >= (attempt, sequence):
                        first = await self._handle.db.streams.find_one(_life(last) | which)
                        if first is not None:
                            return int(first["end"])
                    if last["closed"] and chunks:
                        raise StreamClosedError(run_id, name)
                pending = Pending(n)
                write = write_after(last, n, run_id, name, chunks=chunks) | which
                write["closed"] = last is not None and last["closed"]
                write["data"] = pending.pack(data) if chunks else None
                await pending.store(self._handle.db.chunks)
                if await self._insert(write):
                    return int(write["end"])
            raise _busy(run_id, name)

        length = await self._handle.write(work)
        self._handle.ring(run_id)
        return length

    async def read(
        self, run_id: RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> StreamPage:
        if start < 0:
            start = max(0, (await self.info(run_id, name)).length + start)
        page = StreamPage(start=start, chunks=(), done=False)
        async for _ in self._handle.looks(run_id, wait_ms):
            page, closed = await self._handle.read(lambda: self._read(run_id, name, start, limit))
            if page.chunks or closed or limit < 1:
                break
        return page

    async def close(
        self, run_id: RunId, name: str, *, writer: str | None = None, attempt: int = 1
    ) -> None:
        async def work() -> None:
            await self._handle.settled_term()
            n = await self._number(run_id)
            for _ in range(TRIES):
                last = await self._last(n, name)
                if last is not None and writer is not None:
                    await self._check_fence(run_id, last, writer, attempt)
                if last is not None and last["closed"]:
                    return
                if await self._insert(write_after(last, n, run_id, name) | CLOSE):
                    return
            raise _busy(run_id, name)

        await self._handle.write(work)
        self._handle.ring(run_id)

    async def delete(self, run_id: RunId, name: str) -> None:
        async def work() -> None:
            await self._handle.settled_term()
            n = await self._number(run_id)
            for _ in range(TRIES):
                last = await self._last(n, name)
                if last is None:
                    return
                cut = last
                if "cut" not in last:
                    cut = write_after(last, n, run_id, name) | CUT
                    cut |= {"base": cut["_id"]["o"], "start": 0, "end": 0, "size": 0}
                    if not await self._insert(cut):
                        continue
                # What is left if this does not come to it belongs to no stream.
                before = {"$gte": {"n": n, "name": name, "o": 0}, "$lt": cut["_id"]}
                await self._handle.db.streams.delete_many({"_id": before})
                return
            raise _busy(run_id, name)

        await self._handle.write(work)

    async def info(self, run_id: RunId, name: str) -> StreamInfo:
        async def work() -> StreamInfo:
            last = await self._last(await self._number(run_id), name)
            return _info(name, last)

        return await self._handle.read(work)

    async def list_streams(self, run_id: RunId) -> tuple[StreamInfo, ...]:
        async def work() -> tuple[StreamInfo, ...]:
            n = await self._number(run_id)
            groups = await self._handle.driver.aggregate(
                self._handle.db.streams,
                [
                    {"$match": {"_id.n": n}},
                    {"$sort": {"_id.o": 1}},
                    {
                        "$group": {
                            "_id": "$_id.name",
                            "end": {"$last": "$end"},
                            "closed": {"$last": "$closed"},
                            "cut": {"$last": "$cut"},
                        }
                    },
                ],
            )
            return tuple(
                _info(s["_id"], s)
                for s in sorted(groups, key=lambda s: str(s["_id"]))
                if not s["cut"] and not is_system_stream(s["_id"])
            )

        return await self._handle.read(work)

    async def copied(self, run_id: RunId) -> tuple[StreamCopy, ...]:
        """The answer of ``Transfer.read_streams``."""

        async def work() -> tuple[StreamCopy, ...]:
            n, db = await self._number(run_id), self._handle.db
            writes = await db.streams.find({"_id.n": n}).sort("_id", 1).to_list(None)
            stored: list[tuple[Owner, object]] = [(n, write["data"]) for write in writes]
            values = await load_values(db.chunks, stored)
            by_name: dict[str, list[Document]] = {}
            for write in writes:
                by_name.setdefault(write["_id"]["name"], []).append(write)
            copies = [copied_stream(name, by_name[name], values) for name in sorted(by_name)]
            return tuple(copy for copy in copies if copy is not None)

        return await self._handle.read(work)

    async def _number(self, run_id: RunId) -> ObjectId:
        document = await self._handle.db.runs.find_one({"_id": run_id}, {"n": 1})
        if document is None:
            raise RunNotFoundError(run_id)
        number: ObjectId = document["n"]
        return number

    async def _last(self, n: ObjectId, name: str) -> Document | None:
        """The stream's last write."""
        return await self._handle.db.streams.find_one(
            _whole(n, name), {"data": 0}, sort=[("_id", DESCENDING)]
        )

    async def _insert(self, write: Document) -> bool:
        """Put a write at its place; False if that is taken.

        Raises:
            RunNotFoundError: the run was deleted meanwhile; nothing is left of the write.
        """
        db = self._handle.db
        try:
            await db.streams.insert_one(write)
        except DuplicateKeyError:
            return False
        run_id, n = write["run"], write["_id"]["n"]
        if await db.runs.find_one({"_id": run_id, "n": n}, {"_id": 1}) is None:
            await db.streams.delete_one({"_id": write["_id"]})
            raise RunNotFoundError(run_id)
        return True

    async def _read(
        self, run_id: RunId, name: str, start: int, limit: int
    ) -> tuple[StreamPage, bool]:
        """A page, and whether the stream is closed."""
        n, limit = await self._number(run_id), bounded(limit)
        for _ in range(TRIES):
            last = await self._last(n, name)
            if last is None:
                break
            # Up to the last write and no further: its word about the end is true of this page.
            ends = {"$gt": bounded(start), "$lte": last["end"]}
            writes = await self._page(
                _life(last) | {"end": ends, "data": {"$ne": None}}, last, limit
            )
            if is_without_gap(writes, start) and (writes or limit < 1 or start >= last["end"]):
                return await self._page_of(run_id, last, writes, start, limit)
        else:
            raise _busy(run_id, name)
        return StreamPage(start=start, chunks=(), done=False), False

    async def _page(self, query: Document, last: Document, limit: int) -> list[Document]:
        """The writes of a page: looked up without their chunks first, if these may be too many."""
        streams = self._handle.db.streams
        if limit and last["size"] > PAGE_BYTES:
            sizes = await streams.find(query, {"data": 0}).sort("end", 1).limit(limit).to_list(None)
            limit = len(one_page(sizes))
        if not limit:
            return []
        return await streams.find(query).sort("end", 1).limit(limit).to_list(None)

    async def _page_of(
        self, run_id: RunId, last: Document, writes: list[Document], start: int, limit: int
    ) -> tuple[StreamPage, bool]:
        chunks: list[bytes] = []
        stored: list[tuple[Owner, object]] = [(last["_id"]["n"], w["data"]) for w in writes]
        try:
            values = await load_values(self._handle.db.chunks, stored)
        except MissingChunksError:  # its run is being deleted
            raise RunNotFoundError(run_id) from None
        for write in writes:
            parts = written_chunks(write, values)
            chunks += parts[max(0, start - write["start"]) :]
        page = fitting(chunks[:limit])
        is_last = last["closed"] and start + len(page) >= last["end"]
        return StreamPage(start=start, chunks=page, done=is_last), bool(last["closed"])

    async def _check_fence(
        self, run_id: RunId, last: Document, writer: str, attempt: int
    ) -> tuple[int, int]:
        """The writer's latest attempt and the last sequence of that; (0, 0) if it has not written.

        Args:
            last: the stream's last write; later ones may count, too.

        Raises:
            StreamFencedError: the latest attempt is a higher one.
        """
        latest = await self._handle.db.streams.find_one(
            _life(last) | {"writer": writer},
            {"attempt": 1, "sequence": 1},
            sort=[("attempt", DESCENDING), ("sequence", DESCENDING)],
        )
        if latest is None:
            return 0, 0
        number = int(latest["attempt"])
        if attempt < number:
            name = last["_id"]["name"]
            raise StreamFencedError(run_id, name, writer=writer, attempt=attempt, latest=number)
        return number, int(latest["sequence"])


def _whole(n: ObjectId, name: str) -> Document:
    """The filter of a stream's writes, by their places."""
    return {"_id": {"$gte": {"n": n, "name": name, "o": 0}, "$lt": {"n": n, "name": name, "o": ""}}}


def _life(last: Document) -> Document:
    """The filter of the writes of the same life of a stream."""
    return {"_id.n": last["_id"]["n"], "_id.name": last["_id"]["name"], "base": last["base"]}


def _busy(run_id: RunId, name: str) -> WorldUnavailableError:
    return WorldUnavailableError(f"stream {name!r} of run {run_id}: others were faster")


def _info(name: str, last: Document | None) -> StreamInfo:
    if last is None:
        return StreamInfo(name=name, length=0, closed=False)
    return StreamInfo(name=name, length=last["end"], closed=last["closed"])
