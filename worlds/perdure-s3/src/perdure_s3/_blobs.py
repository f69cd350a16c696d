"""Blobs: bytes by their sha256, a world's own or a run's."""

from __future__ import annotations

import hashlib
from typing import final

from perdure.abc import Blobs
from perdure.errors import BlobNotFoundError, WorldContractError
from perdure.model import Digest, RunId

from ._cas import UNCHANGED
from ._handle import Handle
from ._schema import Layout

__all__ = ("S3Blobs",)


@final
class S3Blobs(Blobs):
    """The blobs of an S3 world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def put(self, digest: Digest, data: bytes, *, run_id: RunId | None = None) -> None:
        cas = self._handle.cas
        if hashlib.sha256(data).hexdigest() != digest:
            raise WorldContractError(f"{digest} is not the sha256 of the blob's bytes")
        await cas.put(Layout.blob(digest, run_id), bytes(data))

    async def get(self, digest: Digest, *, run_id: RunId | None = None) -> bytes:
        reply = await self._handle.cas.get(Layout.blob(digest, run_id))
        if reply is None or reply is UNCHANGED:
            raise BlobNotFoundError(digest)
        return reply.body

    async def has(self, digest: Digest, *, run_id: RunId | None = None) -> bool:
        return await self._handle.cas.has(Layout.blob(digest, run_id))
