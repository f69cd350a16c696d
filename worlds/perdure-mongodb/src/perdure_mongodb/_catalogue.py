"""Catalogue: finding runs, and taking them away.

A run goes in one transaction that also notes its number; its parts follow, and then the note. The
next ``delete_run`` or ``purge`` finishes the work of a process that died.
"""

from __future__ import annotations

import asyncio
from typing import final

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import PyMongoError

from perdure.abc import Catalogue
from perdure.errors import RunLiveError
from perdure.model import RunFilter, RunId, RunPage, RunStatus
from perdure.worldkit.pure import list_cursor, parse_cursor

from ._blobs import blob_owner
from ._driver import Document, is_transient
from ._handle import Handle
from ._outbox import Post
from ._runs import record_of
from ._schema import ANY_TIME, bounded
from ._transaction import MovedError, delete, insert
from ._values import MissingChunksError, Owner, load_values

__all__ = ("MongoCatalogue",)

_ORDER = [("created_at_ms", DESCENDING), ("_id", DESCENDING)]
DELETE_TRIES = 20
_OVER: Document = {"status": {"$ne": RunStatus.MOVING.value}}  # nobody waits for it to be kept


@final
class MongoCatalogue(Catalogue):
    """The catalogue of a MongoDB world."""

    def __init__(self, handle: Handle, post: Post) -> None:
        self._handle = handle
        self._post = post

    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> RunPage:
        self._handle.check_open()
        query = _filter(where, parse_cursor(cursor))
        return await self._handle.read(lambda: self._list(query, bounded(limit)))

    async def delete_run(self, run_id: RunId) -> None:
        async def work() -> None:
            await self._handle.settled_term()
            document = await self._handle.db.runs.find_one({"_id": run_id}, {"n": 1})
            if document is not None:
                await self._post.deliver(run_id)
                await self._strike(run_id, document["n"])
            await self._sweep()
            await self._drop_blobs(run_id)

        await self._handle.write(work)
        self._handle.ring(run_id)

    async def purge(self, *, ended_before_ms: int, limit: int = 100) -> int:
        async def work() -> list[str]:
            query = {"ended_at_ms": {"$gte": ANY_TIME, "$lt": ended_before_ms}, **_OVER}
            order = [("ended_at_ms", ASCENDING), ("_id", ASCENDING)]
            documents = self._handle.db.runs.find(query, {"n": 1}).sort(order).limit(bounded(limit))
            ended = await documents.to_list(None)
            for document in ended:
                await self._post.deliver(document["_id"])
                await self._strike(document["_id"], document["n"])
            await self._sweep()
            for document in ended:
                await self._drop_blobs(document["_id"])
            return [document["_id"] for document in ended]

        if limit < 1:  # of MongoDB's own limits 0 means all
            self._handle.check_open()
            return 0
        run_ids = await self._handle.write(work)
        self._handle.ring(*run_ids)
        return len(run_ids)

    async def _list(self, query: Document, limit: int) -> RunPage:
        db = self._handle.db
        while True:
            documents = await (
                db.runs.find(query, {"snapshots": 0}).sort(_ORDER).limit(limit + 1).to_list(None)
            )
            page = documents[:limit]
            stored: list[tuple[Owner, object]] = [(run["n"], run.get("payload")) for run in page]
            try:
                values = await load_values(db.chunks, stored)
            except MissingChunksError:
                continue  # one of them was deleted meanwhile
            runs = tuple(record_of(run, values) for run in page)
            more = len(documents) > len(page) and runs
            return RunPage(runs=runs, cursor=list_cursor(runs[-1]) if more else None)

    async def _strike(self, run_id: str, n: ObjectId) -> None:
        """Take an ended run out of the world, and note that its parts are to follow.

        Raises:
            RunLiveError: it has not ended.
        """
        db, ended = self._handle.db, {"ended_at_ms": {"$ne": None}, **_OVER}
        for tries in reversed(range(DELETE_TRIES)):
            try:
                await self._handle.transact(
                    [
                        delete("runs", {"_id": run_id, "n": n, **ended}, least=1),
                        *insert("deletions", [{"_id": n, "run": run_id}]),
                    ]
                )
                return
            except MovedError:
                if await db.runs.find_one({"_id": run_id, "n": n}, {"_id": 1}) is not None:
                    raise RunLiveError(run_id) from None
                return
            except PyMongoError as exc:
                if not is_transient(exc) or not tries:
                    raise

    async def _sweep(self) -> None:
        """Remove the parts of all runs that are noted."""
        db = self._handle.db
        for note in await db.deletions.find({}).to_list(None):
            n = note["_id"]
            await asyncio.gather(
                *(parts.delete_many({"_id.n": n}) for parts in (db.events, db.streams, db.chunks)),
                *(parts.delete_many({"n": n}) for parts in (db.hooks, db.messages)),
            )
            await self._drop_blobs(note["run"])
            await db.deletions.delete_one({"_id": n})

    async def _drop_blobs(self, run_id: str) -> None:
        db = self._handle.db
        await db.blobs.delete_many({"_id.run": run_id})
        await db.chunks.delete_many({"_id.n": blob_owner(run_id)})


def _filter(where: RunFilter, after: tuple[int, str]) -> Document:
    created, run_id = after
    query: Document = {
        "$or": [
            {"created_at_ms": {"$lt": created}},
            {"created_at_ms": created, "_id": {"$lt": run_id}},
        ]
    }
    if where.status is not None:
        query["status"] = where.status.value
    if where.workflow is not None:
        query["workflow"] = where.workflow
    if where.attributes:
        pairs = [{"k": name, "v": value} for name, value in where.attributes.items()]
        query["attributes"] = {"$all": pairs}
    return query
