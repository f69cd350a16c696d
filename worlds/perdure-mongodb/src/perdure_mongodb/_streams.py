"""Streams: chunks of a run, read while they are written.

A stream is a log of writes: one document each, at the next place ``o``, with the chunks from
``start`` to ``end``. An append is one insert: the place is unique, so of two at once one comes
after the other, and so is (writer, sequence). A close is a write without chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import cbor2
from bson import ObjectId
from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from perdure.abc import Streams
from perdure.errors import RunNotFoundError, StreamClosedError, WorldUnavailableError
from perdure.model import RunId, StreamCopy, StreamInfo, StreamPage

from ._driver import Document
from ._handle import Handle
from ._schema import bounded
from ._stream_documents import copied_stream, write_after, written_chunks
from ._values import MissingChunksError, Owner, Pending, load_values

__all__ = ("MongoStreams",)

TRIES = 100  # of an append that other writers come before


@final
class MongoStreams(Streams):
    """The streams of a MongoDB world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def append(
        self, run_id: RunId, name: str, chunks: Sequence[bytes], *, writer: str, sequence: int
    ) -> int:
        data = cbor2.dumps([bytes(chunk) for chunk in chunks])

        async def work() -> int:
            await self._handle.settled_term()
            n = await self._number(run_id)
            query = {"_id.n": n, "_id.name": name, "writer": writer, "sequence": sequence}
            for _ in range(TRIES):
                # The last write first: a write that is not found after that was not there then.
                last = await self._last(n, name)
                first = await self._handle.db.streams.find_one(query, {"end": 1})
                if first is not None:
                    return int(first["end"])
                if last is not None and last["closed"]:
                    raise StreamClosedError(run_id, name)
                pending = Pending(n)
                write = write_after(last, n, run_id, name, count=len(chunks))
                write |= {"writer": writer, "sequence": sequence}
                write["data"] = pending.pack(data) if chunks else None
                await pending.store(self._handle.db.chunks)
                if await self._insert(write):
                    return int(write["end"])
            raise WorldUnavailableError(f"stream {name!r} of run {run_id}: others were faster")

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

    async def close(self, run_id: RunId, name: str) -> None:
        async def work() -> None:
            await self._handle.settled_term()
            n = await self._number(run_id)
            for _ in range(TRIES):
                last = await self._last(n, name)
                if last is not None and last["closed"]:
                    return
                write = write_after(last, n, run_id, name, count=0)
                write |= {"closed": True, "writer": None, "sequence": None, "data": None}
                if await self._insert(write):
                    return
            raise WorldUnavailableError(f"stream {name!r} of run {run_id}: others were faster")

        await self._handle.write(work)
        self._handle.ring(run_id)

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
                        }
                    },
                ],
            )
            return tuple(_info(s["_id"], s) for s in sorted(groups, key=lambda s: str(s["_id"])))

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
            return tuple(copied_stream(name, by_name[name], values) for name in sorted(by_name))

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
        n, db, limit = await self._number(run_id), self._handle.db, bounded(limit)
        last = await self._last(n, name)
        if last is None:
            return StreamPage(start=start, chunks=(), done=False), False
        # Up to the last write and no further: its word about the end is true of this page.
        ends = {"$gt": bounded(start), "$lte": last["end"]}
        query = {"_id.n": n, "_id.name": name, "end": ends, "data": {"$ne": None}}
        writes = await db.streams.find(query).sort("end", 1).limit(limit).to_list(None)
        chunks: list[bytes] = []
        stored: list[tuple[Owner, object]] = [(n, write["data"]) for write in writes]
        try:
            values = await load_values(db.chunks, stored)
        except MissingChunksError:  # its run is being deleted
            raise RunNotFoundError(run_id) from None
        for write in writes:
            parts = written_chunks(write, values)
            chunks += parts[max(0, start - write["start"]) :]
        page = tuple(chunks[:limit])
        is_last = last["closed"] and start + len(page) >= last["end"]
        return StreamPage(start=start, chunks=page, done=is_last), bool(last["closed"])


def _whole(n: ObjectId, name: str) -> Document:
    """The filter of a stream's writes, by their places."""
    return {"_id": {"$gte": {"n": n, "name": name, "o": 0}, "$lt": {"n": n, "name": name, "o": ""}}}


def _info(name: str, last: Document | None) -> StreamInfo:
    if last is None:
        return StreamInfo(name=name, length=0, closed=False)
    return StreamInfo(name=name, length=last["end"], closed=last["closed"])
