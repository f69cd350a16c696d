"""Blobs: bytes by their sha256, a world's own or a run's."""

from __future__ import annotations

import hashlib
from typing import final

from perdure.abc import Blobs
from perdure.errors import BlobNotFoundError, WorldContractError
from perdure.model import Digest, RunId

from ._handle import Handle

__all__ = ("SqliteBlobs",)


@final
class SqliteBlobs(Blobs):
    """The blobs of an SQLite world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def put(self, digest: Digest, data: bytes, *, run_id: RunId | None = None) -> None:
        self._handle.check_open()
        if hashlib.sha256(data).hexdigest() != digest:
            raise WorldContractError(f"{digest} is not the sha256 of the blob's bytes")
        await self._handle.write(
            lambda transaction: transaction.db.execute(
                "INSERT INTO blobs (run_id, digest, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (run_id or "", digest, bytes(data)),
            )
        )

    async def get(self, digest: Digest, *, run_id: RunId | None = None) -> bytes:
        row = await self._handle.read(
            lambda db: db.execute(
                "SELECT data FROM blobs WHERE run_id = ? AND digest = ?", (run_id or "", digest)
            ).fetchone()
        )
        if row is None:
            raise BlobNotFoundError(digest)
        return bytes(row[0])

    async def has(self, digest: Digest, *, run_id: RunId | None = None) -> bool:
        row = await self._handle.read(
            lambda db: db.execute(
                "SELECT 1 FROM blobs WHERE run_id = ? AND digest = ?", (run_id or "", digest)
            ).fetchone()
        )
        return row is not None
