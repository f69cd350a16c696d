"""Stream log: a stream as one value, for worlds that hold each whole.

Pure: the value is changed in memory, and the world writes it down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import TypeAlias, final

from .._model.streams import PAGE_BYTES, StreamInfo, StreamPage
from .._model.transfer import StreamCopy, StreamWrite
from .._value_class import record_class
from ..errors import StreamClosedError, StreamFencedError

__all__ = ("StreamLog", "copied_writes", "fitting")

Write: TypeAlias = tuple[str, int, int]  # writer, attempt, sequence


@final
@record_class(kw_only=False)
class StreamLog:
    """A stream's chunks, and its length after each write."""

    chunks: list[bytes] = field(default_factory=list[bytes])
    closed: bool = False
    writes: dict[Write, int] = field(default_factory=dict[Write, int])
    latest: dict[str, int] = field(default_factory=dict[str, int])  # attempts, by writer

    def append(
        self,
        chunks: Sequence[bytes],
        *,
        writer: str,
        sequence: int,
        run_id: str,
        name: str,
        attempt: int = 1,
    ) -> int:
        """Add chunks as ``Streams.append`` promises.

        Raises:
            StreamFencedError: a higher attempt of the writer has appended.
            StreamClosedError: the stream is closed, and there are chunks.
        """
        self._check_fence(run_id, name, writer, attempt)
        if (writer, attempt, sequence) in self.writes:
            return self.writes[writer, attempt, sequence]
        if self.closed and chunks:
            raise StreamClosedError(run_id, name)
        self.latest[writer] = attempt
        self.chunks.extend(bytes(chunk) for chunk in chunks)
        self.writes[writer, attempt, sequence] = len(self.chunks)
        return len(self.chunks)

    def close(self, *, run_id: str, name: str, writer: str | None = None, attempt: int = 1) -> None:
        """Let no more chunks in, as ``Streams.close`` promises.

        Raises:
            StreamFencedError: a higher attempt of the writer has appended.
        """
        if writer is not None:
            self._check_fence(run_id, name, writer, attempt)
        self.closed = True

    def has_news(self, start: int) -> bool:
        """Whether a reader at index *start* need not wait: there are chunks, or the close."""
        return self.closed or len(self.chunks) > start

    def read(self, *, start: int, limit: int) -> StreamPage:
        """The answer of ``Streams.read`` now; a negative *start* counts from the end."""
        start = max(0, len(self.chunks) + start) if start < 0 else start
        chunks = fitting(self.chunks[start : start + max(limit, 0)])
        is_last = self.closed and start + len(chunks) >= len(self.chunks)
        return StreamPage(start=start, chunks=chunks, done=is_last)

    def copied(self, name: str) -> StreamCopy:
        """The stream *name* in the answer of ``Transfer.read_streams``."""
        writes = copied_writes((*write, length) for write, length in self.writes.items())
        return StreamCopy(name=name, chunks=tuple(self.chunks), closed=self.closed, writes=writes)

    @classmethod
    def of(cls, stream: StreamCopy) -> StreamLog:
        """One that has arrived."""
        log = cls(chunks=list(stream.chunks), closed=stream.closed)
        for write in stream.writes:
            log.writes[write.writer, write.attempt, write.sequence] = write.length
            log.latest[write.writer] = max(write.attempt, log.latest.get(write.writer, 0))
        return log

    def info(self, name: str) -> StreamInfo:
        """The answer of ``Streams.info``."""
        return StreamInfo(name=name, length=len(self.chunks), closed=self.closed)

    def _check_fence(self, run_id: str, name: str, writer: str, attempt: int) -> None:
        latest = self.latest.get(writer, 0)
        if attempt < latest:
            raise StreamFencedError(run_id, name, writer=writer, attempt=attempt, latest=latest)


def fitting(chunks: Iterable[bytes]) -> tuple[bytes, ...]:
    """The first of *chunks* that are a page: of ``PAGE_BYTES`` in all, or one that is longer."""
    page: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if page and size > PAGE_BYTES:
            break
        page.append(chunk)
    return tuple(page)


def copied_writes(writes: Iterable[tuple[str, int, int, int]]) -> tuple[StreamWrite, ...]:
    """The writes of a ``StreamCopy``, in its order.

    Args:
        writes: writer, attempt, sequence, length after it.
    """
    ordered = sorted(
        (length, writer, attempt, sequence) for writer, attempt, sequence, length in writes
    )
    return tuple(
        StreamWrite(writer=writer, attempt=attempt, sequence=sequence, length=length)
        for length, writer, attempt, sequence in ordered
    )
