"""Streams: append-only chunks that belong to a run, read while they are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .._model.ids import RunId
from .._model.streams import StreamInfo, StreamPage

__all__ = ("Streams",)


class Streams(ABC):
    """Named streams of a run: *name* is one of them, made by the first who writes to or closes it.

    Writing to an ended run is allowed: output may trail the end.
    """

    @abstractmethod
    async def append(
        self, run_id: RunId, name: str, chunks: Sequence[bytes], *, writer: str, sequence: int
    ) -> int:
        """Add *chunks*, all or none, in order; returns the stream's length after them.

        Idempotent per (*writer*, *sequence*): the same pair again adds nothing and returns the
        length that the first call returned.

        Raises:
            RunNotFoundError: no such run.
            StreamClosedError: the stream is closed.
        """

    @abstractmethod
    async def read(
        self, run_id: RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> StreamPage:
        """Up to *limit* chunks from index *start*.

        A negative start counts from the present end, clamped to 0. Waits up to *wait_ms* for a
        first chunk or the close. A stream nobody wrote is empty.

        Raises:
            RunNotFoundError: no such run.
        """

    @abstractmethod
    async def close(self, run_id: RunId, name: str) -> None:
        """Let no more chunks in. Idempotent; a stream nobody wrote is made, empty.

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
        """The run's streams by name.

        Raises:
            RunNotFoundError: no such run.
        """
