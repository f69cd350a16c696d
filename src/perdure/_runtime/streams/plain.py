"""Plain: how a plain ``def`` step writes to a stream, in its thread.

Chunks go to the worker's event loop many at a time: to wait for the loop with each of them would
take as long as to write it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import TypeVar, final

from ...errors import UsageError
from ...values import Stream
from ..metadata import Entered
from ..payloads import encode_payload
from .content import quick_content

__all__ = ("PlainWritable",)

T = TypeVar("T")
_MAX_BYTES = 1 << 20  # that wait for the loop before their writer does


@final
class PlainWritable:
    """Writes to a stream from a plain ``def`` step. Made by ``with writable()``."""

    def __init__(
        self,
        stream: Stream,
        put: Callable[[int, bytes], Awaitable[None]],
        flush: Callable[[], Coroutine[object, object, None]],
        close: Callable[[], Coroutine[object, object, None]],
        step: Entered | None,
    ) -> None:
        """Write nothing yet.

        Args:
            stream: by its name.
            put: adds a chunk; called in the event loop of the step's worker, as the next two.
            flush: returns once all is durable.
            close: closes the stream.
            step: the one that runs here.

        Raises:
            UsageError: none does, or the event loop is this thread's own.
        """
        self.stream = stream
        self._put = put
        self._flush = flush
        self._close = close
        self._step = _checked(step)
        self._lock = threading.Lock()
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._pouring: Future[None] | None = None  # while chunks go to the loop

    def __repr__(self) -> str:
        return f"<PlainWritable {self.stream.name!r} of {self.stream.run_id}>"

    def write(self, value: object) -> None:
        """Add *value* as a chunk. As ``Writable.write``."""
        kind, payload = quick_content(value, self.stream.name)
        if payload is None:
            payload = encode_payload(value, where=f"a chunk of {self.stream.name}")
        with self._lock:
            pouring = self._pouring
            if pouring is not None and pouring.done():
                pouring.result()  # it failed: one that did not leaves no trace
            self._chunks.append((kind, payload))
            self._bytes += len(payload)
            if pouring is None:
                pouring = self._pouring = self._begin(self._pour())
        if self._bytes > _MAX_BYTES:
            pouring.result()

    def write_from(self, values: Iterable[object]) -> int:
        """Add a chunk for each of *values*; returns how many."""
        count = 0
        for value in values:
            self.write(value)
            count += 1
        return count

    def flush(self) -> None:
        """Return once all that was written is durable."""
        self._poured()
        self._begin(self._flush()).result()

    def close(self) -> None:
        """Let no more chunks in, of nobody, and return once that is durable."""
        self._poured()
        self._begin(self._close()).result()

    def _poured(self) -> None:
        with self._lock:
            pouring = self._pouring
        if pouring is not None:
            pouring.result()

    def _begin(self, call: Coroutine[object, object, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(call, self._step.loop)

    async def _pour(self) -> None:
        """Hand the chunks on, in the event loop, until there are none. Raises where that failed."""
        with self._step.outputs.pouring():
            while True:
                with self._lock:
                    chunks, self._chunks, self._bytes = self._chunks, deque(), 0
                    if not chunks:
                        self._pouring = None
                        return
                for kind, content in chunks:
                    await self._put(kind, content)


def _checked(step: Entered | None) -> Entered:
    if step is None:
        raise UsageError("`with` writes to a stream in a plain step; elsewhere: async with")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return step
    raise UsageError("an event loop runs here, and `with` would block it: async with writable()")
