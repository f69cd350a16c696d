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
from ...abc import World
from ...errors import UsageError
from ...values import Stream
from ..ambient import meant_world
from ..metadata import Entered, entered
from ..payloads import encode_aside
from .content import quick_content
from .plain import PlainWritable
from .sink import Sink

__all__ = ("Writable",)

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
        self._plain: PlainWritable | None = None

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
        kind, payload = quick_content(value, self.stream.name)
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
        self._plain = PlainWritable(self.stream, self._put, self._flush, self._close, self._step)
        return self._plain

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._plain is not None:
            self._plain.flush()

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
