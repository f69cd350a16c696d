"""Writable: a stream as one that writes to it sees it, in a step or anywhere else.

In a step a write is buffered, and the step waits for its writes at its end. Elsewhere nobody would
wait, so a write returns once it is durable.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import TypeVar, cast, final

from ..._model.ids import RunId
from ..._protocol.chunks import BYTES, VALUE
from ..._protocol.codec import encode_scalar
from ...abc import World
from ...errors import UsageError, ValueNotCarriableError
from ...values import Stream
from ..ambient import meant_world
from ..metadata import Entered, entered
from ..payloads import MAX_BYTES, encode_aside
from .sink import Sink

__all__ = ("PlainWritable", "Writable")

T = TypeVar("T")


@final
class Writable:
    """Writes to a stream of a run. Cheap to make, holds nothing open.

    ``async with`` returns once all is durable; ``with`` makes a ``PlainWritable``, for plain
    functions. Neither closes the stream: others may write to it, too.
    """

    def __init__(self, stream: Stream, *, world: World | None = None) -> None:
        """Write nothing yet.

        Args:
            stream: by its name.
            world: where the run is; default: in a step that of its run, else as for ``start``.
        """
        self.stream = stream
        self._world = world
        self._sink: Sink | None = None
        self._step: Entered | None = entered.get(None)

    def __repr__(self) -> str:
        return f"<Writable {self.stream.name!r} of {self.stream.run_id}>"

    async def write(self, value: object) -> None:
        """Add *value* as a chunk: bytes as they are, other values as they cross.

        In a step it returns at once, unless 8 MiB wait to be sent.

        Raises:
            ValueNotCarriableError: it has no form in JavaScript, or is too large.
            RunNotFoundError: no such run.
            StreamClosedError: the stream is closed.
            StreamFencedError: the step runs anew elsewhere; this execution counts no more.
        """
        payload: bytes | None
        if isinstance(value, bytes | bytearray | memoryview):
            kind, payload = BYTES, bytes(cast("bytes", value))
            if len(payload) > MAX_BYTES:
                raise ValueNotCarriableError(
                    f"a chunk of {self.stream.name}",
                    f"it has {len(payload):,} bytes, and at most {MAX_BYTES:,} are one chunk;"
                    " write several",
                )
        else:
            kind, payload = VALUE, encode_scalar(value)
            if payload is None:
                payload = await encode_aside(value, where=f"a chunk of {self.stream.name}")
        await self._in_loop(self._put, kind, payload)

    async def write_from(self, values: AsyncIterable[object] | Iterable[object]) -> int:
        """Add a chunk for each of *values*; returns how many.

        Raises:
            UsageError: there is nothing to iterate over.
        """
        count = 0
        if isinstance(values, AsyncIterable):
            async for value in values:
                await self.write(value)
                count += 1
        elif isinstance(cast(object, values), str | bytes) or not isinstance(
            cast(object, values), Iterable
        ):
            raise UsageError("write_from takes an iterable of chunks; write() takes one")
        else:
            for value in values:
                await self.write(value)
                count += 1
        return count

    async def flush(self) -> None:
        """Return once all that was written is durable.

        Raises:
            WorldError: as ``write``.
        """
        await self._in_loop(self._flush)

    async def close(self) -> None:
        """Let no more chunks in, of nobody, and return once that is durable.

        Raises:
            WorldError: as ``write``.
        """
        await self._in_loop(self._close)

    async def __aenter__(self) -> Writable:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.flush()

    def __enter__(self) -> PlainWritable:
        return PlainWritable(self, _loop_of(self._step))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            PlainWritable(self, _loop_of(self._step)).flush()

    async def _in_loop(self, call: Callable[..., Coroutine[object, object, T]], *args: object) -> T:
        """Call it in the event loop of the step's worker; elsewhere in the caller's."""
        step = self._step
        if step is None or step.loop is asyncio.get_running_loop():
            return await call(*args)
        running = asyncio.run_coroutine_threadsafe(call(*args), step.loop)
        return await asyncio.wrap_future(running)

    async def _put(self, kind: int, content: bytes) -> None:
        sink = self._sink
        if sink is None:
            sink = await self._open()
        await sink.put(kind, content)
        if self._step is None:
            await sink.flush()

    async def _flush(self) -> None:
        await (self._sink or await self._open()).flush()

    async def _close(self) -> None:
        await (self._sink or await self._open()).close()

    async def _open(self) -> Sink:
        run_id, name = RunId(self.stream.run_id), self.stream.name
        if self._step is not None:
            self._sink = self._step.outputs.sink(self._world, run_id, name)
            return self._sink
        self._world = await meant_world(self._world)
        if self._sink is None:
            writer = f"client/{secrets.token_hex(8)}"
            self._sink = Sink(self._world, run_id, name, writer=writer)
        return self._sink


@final
class PlainWritable:
    """Writes to a stream from a plain ``def`` step, in its thread: each call waits for its end."""

    def __init__(self, writable: Writable, loop: asyncio.AbstractEventLoop) -> None:
        """Write nothing yet.

        Args:
            writable: writes in the loop.
            loop: that of the step's worker.
        """
        self._writable = writable
        self._loop = loop

    def __repr__(self) -> str:
        return f"<PlainWritable of {self._writable!r}>"

    @property
    def stream(self) -> Stream:
        """The stream, as a value."""
        return self._writable.stream

    def write(self, value: object) -> None:
        """Add *value* as a chunk. As ``Writable.write``."""
        self._run(self._writable.write(value))

    def write_from(self, values: Iterable[object]) -> int:
        """Add a chunk for each of *values*; returns how many."""
        count = 0
        for value in values:
            self.write(value)
            count += 1
        return count

    def flush(self) -> None:
        """Return once all that was written is durable."""
        self._run(self._writable.flush())

    def close(self) -> None:
        """Let no more chunks in, of nobody, and return once that is durable."""
        self._run(self._writable.close())

    def _run(self, call: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()


def _loop_of(step: Entered | None) -> asyncio.AbstractEventLoop:
    """The loop that a plain function's calls are handed to.

    Raises:
        UsageError: it is this thread's own, or there is none.
    """
    if step is None:
        raise UsageError("`with` writes to a stream in a plain step; elsewhere: async with")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return step.loop
    raise UsageError("an event loop runs here, and `with` would block it: async with writable()")
