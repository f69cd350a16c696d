"""Values: bytes of any size in documents that the server limits to 16 MB.

A value of up to ``INLINE_BYTES`` lies in its document. A larger one is cut into documents of
``chunks``, written before the document that points to them, under the digest of its bytes: the same
value written again is the same chunks. They go when their run goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast, final

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from ._driver import Collection, Document

__all__ = ("INLINE_BYTES", "MissingChunksError", "Owner", "Pending", "Values", "load_values")

INLINE_BYTES = 1 << 20
CHUNK_BYTES = 8 << 20

Owner: TypeAlias = "ObjectId | str"  # a run's number, or where a blob belongs


class MissingChunksError(Exception):
    """A value's chunks are not all there: it was deleted since its pointer was read."""


@final
@dataclass(slots=True)
class Pending:
    """Values of one owner on their way into documents."""

    owner: Owner
    large: dict[str, bytes] = field(default_factory=dict[str, bytes])  # by reference

    def pack(
        self, data: bytes, *, prefix: str = "", inline_bytes: int = INLINE_BYTES
    ) -> bytes | Document:
        """The value that stands for *data* in a document."""
        if len(data) <= inline_bytes:
            return bytes(data)
        ref = prefix + hashlib.sha256(data).hexdigest()
        self.large[ref] = data
        return {"ref": ref, "size": len(data)}

    async def store(self, chunks: Collection) -> None:
        """Write the large ones; to be called before their pointers are written. Idempotent."""
        for ref, data in self.large.items():
            for i, at in enumerate(range(0, len(data), CHUNK_BYTES)):
                place = {"n": self.owner, "ref": ref, "i": i}
                if await chunks.find_one({"_id": place}, {"_id": 1}) is not None:
                    continue
                part = {"_id": place, "data": bytes(data[at : at + CHUNK_BYTES])}
                with contextlib.suppress(DuplicateKeyError):  # somebody writes the same
                    await chunks.insert_one(part)


@final
@dataclass(frozen=True, slots=True)
class Values:
    """Large values that were loaded, by reference."""

    large: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    def unpack(self, stored: Any) -> bytes | None:
        """The bytes that *stored* stands for."""
        if isinstance(stored, dict):
            return self.large[cast(str, stored["ref"])]
        return None if stored is None else bytes(stored)


async def load_values(chunks: Collection, stored: Iterable[tuple[Owner, object]]) -> Values:
    """Fetch the large ones of these owners' values.

    Raises:
        MissingChunksError: they are no longer there.
    """
    wanted: dict[str, tuple[Owner, int]] = {
        value["ref"]: (owner, value["size"]) for owner, value in stored if isinstance(value, dict)
    }
    if not wanted:
        return Values()
    bodies = await asyncio.gather(
        *(_fetch(chunks, owner, ref, size) for ref, (owner, size) in wanted.items())
    )
    return Values(dict(zip(wanted, bodies, strict=True)))


async def _fetch(chunks: Collection, owner: Owner, ref: str, size: int) -> bytes:
    cursor = chunks.find({"_id.n": owner, "_id.ref": ref}).sort("_id.i", 1)
    data = b"".join([part["data"] for part in await cursor.to_list(None)])
    if len(data) != size:
        raise MissingChunksError(ref)
    return data
