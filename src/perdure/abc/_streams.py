"""Streams: append-only chunks that belong to a run, read while they are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .._model.ids import RunId
from .._model.streams import StreamInfo, StreamPage

__all__ = ("Streams",)


class Streams(ABC):
    """Named streams of a run: *name* is one of them, made by the first who writes to or closes it.

    Writing to an ended run is allowed: output may trail the end. A name that begins with ``$`` is a
    system stream: all methods but ``list_streams`` treat it as every other.

    A *writer* may be executed again, as a step is, while its former execution is still at work
    somewhere. *attempt* counts its executions: the highest that has appended is the latest, and
    what a lower one asks for is refused, whether it was asked before or not.
    """

    @abstractmethod
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
        """Add *chunks*, all or none, in order; returns the stream's length after them.

        Idempotent per (*writer*, *attempt*, *sequence*): the same again adds nothing and returns
        the length that the first call returned. No chunks: a closed stream lets that in, too, and
        lower attempts of the writer are refused from then on.

        Raises:
            RunNotFoundError: no such run.
            StreamFencedError: a higher attempt of the writer has appended; goes before the next.
            StreamClosedError: the stream is closed, and there are chunks.
        """

    @abstractmethod
    async def read(
        self, run_id: RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> StreamPage:
        """Up to *limit* chunks from index *start*, of ``PAGE_BYTES`` in all; one may be longer.

        A page ends before the chunk with which it would have more bytes. A negative start counts
        from the present end, clamped to 0. Waits up to *wait_ms* for a first chunk or the close. A
        stream nobody wrote is empty.

        Raises:
            RunNotFoundError: no such run.
        """

    @abstractmethod
    async def close(
        self, run_id: RunId, name: str, *, writer: str | None = None, attempt: int = 1
    ) -> None:
        """Let no more chunks in. Idempotent; a stream nobody wrote is made, empty.

        Args:
            writer: who closes it; None is nobody who could be executed again. A close is no
                append: it bars no lower attempt.

        Raises:
            RunNotFoundError: no such run.
            StreamFencedError: a higher attempt of the writer has appended.
        """

    @abstractmethod
    async def delete(self, run_id: RunId, name: str) -> None:
        """Let the stream be as one that nobody wrote: chunks, close, writers. Idempotent, atomic.

        For streams with nobody who reads: indexes begin anew.

        Raises:
            RunNotFoundError: no such run.
        """

    @abstractmethod
    async def info(self, run_id: RunId, name: str) -> StreamInfo:
        """Length and state; a stream nobody wrote has length 0 and is open.

        Raises:
            RunNotFoundError: no such run.
        """

    @abstractmethod
    async def list_streams(self, run_id: RunId) -> tuple[StreamInfo, ...]:
        """The run's streams by name, without system streams.

        Raises:
            RunNotFoundError: no such run.
        """
