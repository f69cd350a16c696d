"""Readable: a stream as one that reads it sees it, from any index on, while it is written.

Nothing is held open between two chunks, so that a reader who goes away costs nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar, cast, final

import anyio

from ..._core.transfer import check_here
from ..._ending import Ending
from ..._model.ids import RunId
from ..._model.runs import RunRecord
from ..._model.streams import StreamPage
from ..._protocol.chunks import BYTES, REWIND, Chunk, parse_chunk
from ...abc import World
from ...errors import PerdureError, StreamNotBytesError, StreamRewoundError
from ...values import Stream
from ..ambient import meant_world
from ..arguments import checked_count, checked_position
from ..payloads import decode_aside
from ..worker.lending import lent

__all__ = ("Readable",)

T_co = TypeVar("T_co", covariant=True)
_SLICE_MS = 60_000  # of one wait; then another begins
_PAGE = 1000


@final
class Readable(Generic[T_co]):
    """Reads a stream of a run: ``async for``. Cheap to make, holds nothing open.

    It ends with the stream's close, or with the run's end: no reader waits for a stream that nobody
    closed. A ``Rewind`` among the values says that some before do not count.
    """

    def __init__(
        self,
        stream: Stream,
        start: int = 0,
        *,
        world: World | None = None,
        only_bytes: bool = False,
    ) -> None:
        """Read nothing yet.

        Args:
            stream: by its name.
            start: the first chunk's index; below 0 it counts from the end, at the first read.
            world: where the run is; default: as for ``start``, when it is first needed.
            only_bytes: each value is to be bytes, or a text, which is UTF-8 then.
        """
        self.stream = stream
        self._index = checked_position("start", start)
        self._world = world
        self._only_bytes = only_bytes
        self._chunks: deque[bytes] = deque()
        self._is_done = False  # nothing follows the chunks that are there

    def __repr__(self) -> str:
        return f"<Readable {self.stream.name!r} of {self.stream.run_id} from {self._index}>"

    @property
    def index(self) -> int:
        """The index from which a reader goes on after what came so far.

        Below 0 it counts from the end, as long as nothing was read.
        """
        return self._index

    @property
    def done(self) -> bool:
        """Whether the stream has ended and all of it was read."""
        return self._is_done and not self._chunks

    async def tail_index(self) -> int:
        """The index of the last chunk there is; -1 if there is none.

        Raises:
            RunNotFoundError: no such run.
        """
        info = await (await self._reach()).streams.info(self._run_id, self.stream.name)
        return info.length - 1

    async def page(self, limit: int = 1000) -> tuple[T_co, ...]:
        """Up to *limit* values that are there, without waiting for any; ``done`` tells the end.

        Raises:
            RunNotFoundError: no such run.
        """
        checked_count("limit", limit, least=1)
        world = await self._reach()
        if not self._chunks and not self._is_done:
            page = await self._read(world, limit=limit)
            if not page.chunks and not page.done:
                record = await world.storage.get_run(self._run_id)
                if record.status.is_ended:
                    await self._read_last(world, record)
        count = min(limit, len(self._chunks))
        return tuple([await self._next() for _ in range(count)])

    def __aiter__(self) -> Readable[T_co]:
        return self

    async def __anext__(self) -> T_co:
        if not self._chunks:
            await self._fetch()
            if not self._chunks:
                raise StopAsyncIteration
        return await self._next()

    @property
    def _run_id(self) -> RunId:
        return RunId(self.stream.run_id)

    async def _reach(self) -> World:
        self._world = await meant_world(self._world)
        return self._world

    # --- chunks -----------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        """Have chunks, or the end."""
        if self._is_done:
            return
        world = await self._reach()
        await self._read(world)
        while not self._chunks and not self._is_done:
            with lent():
                record = await self._wait(world)
            if record is not None and not self._chunks:
                await self._read_last(world, record)

    async def _read(self, world: World, *, limit: int = _PAGE, wait_ms: int = 0) -> StreamPage:
        page = await world.streams.read(
            self._run_id, self.stream.name, start=self._index, limit=limit, wait_ms=wait_ms
        )
        self._index = page.start
        self._chunks.extend(page.chunks)
        self._is_done = page.done
        return page

    async def _read_last(self, world: World, record: RunRecord) -> None:
        """Read the rest of an ended run's stream.

        Raises:
            RunMovedError: it goes on in another world.
        """
        check_here(record)
        await self._read(world)
        self._is_done = self._is_done or not self._chunks

    async def _wait(self, world: World) -> RunRecord | None:
        """Wait for chunks; returns the run's record if it ended before any came."""
        ending, record, errors = Ending(), None, list[PerdureError]()

        async def watch() -> None:
            nonlocal record
            try:
                latest = await world.storage.wait_ended(self._run_id, wait_ms=_SLICE_MS)
                record = latest if latest.status.is_ended else None
            except PerdureError as exc:
                errors.append(exc)
            ending.end()

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            try:
                with ending.heeded():
                    await self._read(world, wait_ms=_SLICE_MS)
            except PerdureError as exc:
                errors.append(exc)
            group.cancel_scope.cancel()
        if errors:
            raise errors[0]
        return record

    # --- values -----------------------------------------------------------------------------------

    async def _next(self) -> T_co:
        chunk = parse_chunk(self._chunks.popleft())
        self._index += 1
        value: object = chunk.content
        if chunk.kind != BYTES:
            value = await (self._bytes_of(chunk) if self._only_bytes else _value_of(chunk))
        return cast("T_co", value)  # bytes, if only these are read

    async def _bytes_of(self, chunk: Chunk) -> bytes:
        if chunk.kind == REWIND:
            raise StreamRewoundError(
                self.stream.run_id, self.stream.name, index=chunk.rewind().index
            )
        value = await _value_of(chunk)
        if not isinstance(value, str):
            raise StreamNotBytesError(
                self.stream.run_id,
                self.stream.name,
                index=self._index - 1,
                kind=type(value).__name__,
            )
        return value.encode()


async def _value_of(chunk: Chunk) -> object:
    if chunk.kind == REWIND:
        return chunk.rewind()
    return await decode_aside(chunk.content, _same)


def _same(value: object) -> object:
    return value
