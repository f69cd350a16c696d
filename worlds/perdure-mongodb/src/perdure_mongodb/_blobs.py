"""Blobs: bytes by their sha256, a world's own or a run's."""

from __future__ import annotations

import hashlib
from typing import final

from pymongo.errors import DuplicateKeyError

from perdure.abc import Blobs
from perdure.errors import BlobNotFoundError, WorldContractError
from perdure.model import Digest, RunId

from ._driver import Document
from ._handle import Handle
from ._values import MissingChunksError, Pending, load_values

__all__ = ("MongoBlobs", "blob_owner")


def blob_owner(run_id: str | None) -> str:
    """Where a blob's chunks belong. A blob may be put before its run is made."""
    return f"blobs/{run_id or ''}"


@final
class MongoBlobs(Blobs):
    """The blobs of a MongoDB world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def put(self, digest: Digest, data: bytes, *, run_id: RunId | None = None) -> None:
        self._handle.check_open()
        if hashlib.sha256(data).hexdigest() != digest:
            raise WorldContractError(f"{digest} is not the sha256 of the blob's bytes")

        async def work() -> None:
            pending = Pending(blob_owner(run_id))
            document = {"_id": _id(digest, run_id), "data": pending.pack(data)}
            await pending.store(self._handle.db.chunks)
            try:
                await self._handle.db.blobs.insert_one(document)
            except DuplicateKeyError:
                return  # the digest says that it is the same

        await self._handle.write(work)

    async def get(self, digest: Digest, *, run_id: RunId | None = None) -> bytes:
        return await self._handle.read(lambda: self._get(digest, run_id))

    async def has(self, digest: Digest, *, run_id: RunId | None = None) -> bool:
        document = await self._handle.read(
            lambda: self._handle.db.blobs.find_one({"_id": _id(digest, run_id)}, {"_id": 1})
        )
        return document is not None

    async def _get(self, digest: Digest, run_id: RunId | None) -> bytes:
        document = await self._handle.db.blobs.find_one({"_id": _id(digest, run_id)})
        if document is None:
            raise BlobNotFoundError(digest)
        try:
            values = await load_values(
                self._handle.db.chunks, [(blob_owner(run_id), document["data"])]
            )
        except MissingChunksError:  # its run is being deleted
            raise BlobNotFoundError(digest) from None
        return values.unpack(document["data"]) or b""


def _id(digest: Digest, run_id: RunId | None) -> Document:
    return {"run": run_id or "", "digest": digest}
