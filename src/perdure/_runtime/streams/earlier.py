"""Earlier chunks: those of a step's executions before this one, in a stream.

Of each chunk the digest is kept, so that a long stream takes 24 bytes a chunk here.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import final

from ..._model.ids import RunId
from ..._protocol.chunks import REWIND, parse_chunk
from ...abc import Streams
from ...values import Rewind

__all__ = ("Earlier", "read_earlier")

_DIGEST_BYTES = 16


def _digest(kind: int, content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES, key=bytes((kind,))).digest()


@final
class Earlier:
    """A writer's chunks that count, in order, and how many of them were written again."""

    def __init__(self) -> None:
        self._indexes = array("Q")
        self._digests = bytearray()
        self._repeated = 0

    def __repr__(self) -> str:
        return f"<Earlier, {self._repeated} of {len(self._indexes)} repeated>"

    def note(self, index: int, kind: int, content: bytes) -> None:
        """The next chunk was written at *index*."""
        self._indexes.append(index)
        self._digests += _digest(kind, content)

    def void(self, rewind: Rewind) -> None:
        """Chunks of these ranges count no more: they are the last ones."""
        while self._indexes and self._indexes[-1] >= rewind.index:
            self._indexes.pop()
            del self._digests[-_DIGEST_BYTES:]

    def repeats(self, kind: int, content: bytes) -> bool:
        """Whether this is the next chunk again; then it is repeated."""
        at = self._repeated * _DIGEST_BYTES
        if bytes(self._digests[at : at + _DIGEST_BYTES]) != _digest(kind, content):
            return False
        self._repeated += 1
        return True

    def rest(self, attempt: int) -> Rewind | None:
        """A rewind of those that were not repeated; None if all were."""
        spans: list[tuple[int, int]] = []
        for index in self._indexes[self._repeated :]:
            if spans and spans[-1][1] == index:
                spans[-1] = spans[-1][0], index + 1
            else:
                spans.append((index, index + 1))
        return Rewind(attempt=attempt, void=tuple(spans)) if spans else None


async def read_earlier(
    streams: Streams, run_id: RunId, name: str, *, writer: str, end: int
) -> Earlier:
    """The chunks of a writer in a stream before index *end*.

    Args:
        writer: as chunks name it.
    """
    earlier, start = Earlier(), 0
    while start < end:
        page = await streams.read(run_id, name, start=start, limit=end - start)
        if not page.chunks:
            break  # the stream was deleted
        for index, data in enumerate(page.chunks, start=start):
            chunk = parse_chunk(data)
            if chunk.writer != writer:
                continue
            if chunk.kind == REWIND:
                earlier.void(chunk.rewind())
            else:
                earlier.note(index, chunk.kind, chunk.content)
        start += len(page.chunks)
    return earlier
