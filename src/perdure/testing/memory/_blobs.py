"""Blobs: bytes by their sha256, a world's own or a run's."""

from __future__ import annotations

import hashlib
from typing import final

from ..._model.ids import Digest, RunId
from ...abc import Blobs
from ...errors import BlobNotFoundError, WorldContractError
from ._store import Handle

__all__ = ("MemoryBlobs",)


@final
class MemoryBlobs(Blobs):
    """The blobs of a memory world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def put(self, digest: Digest, data: bytes, *, run_id: RunId | None = None) -> None:
        store = await self._handle.enter()
        if hashlib.sha256(data).hexdigest() != digest:
            raise WorldContractError(f"{digest} is not the sha256 of the blob's bytes")
        with store.lock:
            store.blobs[run_id, digest] = bytes(data)

    async def get(self, digest: Digest, *, run_id: RunId | None = None) -> bytes:
        store = await self._handle.enter()
        try:
            return store.blobs[run_id, digest]
        except KeyError:
            raise BlobNotFoundError(digest) from None

    async def has(self, digest: Digest, *, run_id: RunId | None = None) -> bool:
        return (run_id, digest) in (await self._handle.enter()).blobs
