"""Sinks: chunks on their way from one writer to one stream, in order.

The first chunk of an idle sink is sent at once; chunks that come while it is under way are sent
together after it. A sink of a later attempt than the first fences the ones before, and swallows
chunks that they wrote already. Used in one event loop. The task that sends is the runtime's, not
the step's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import final

from ..._model.ids import RunId
from ..._protocol.chunks import BYTES, REWIND, VALUE, chunk_head, rewind_content
from ...abc import World
from ...errors import StreamNotWrittenError, UsageError, WorldError
from ..containment import foreign_errors
from ..own_tasks import OwnTask
from .earlier import Earlier, read_earlier

__all__ = ("Sink",)

MAX_CHUNKS = 1000  # of one append
MAX_BATCH_BYTES = 1 << 20  # likewise, unless one chunk is longer
MAX_BUFFER_BYTES = 8 << 20  # that wait to be sent, before a writer has to wait
PATIENCE = 30.0  # seconds that a world may be away
_PAUSE = 0.025  # seconds before the second try, doubled at each
_MAX_PAUSE = 1.0
_GIVE_WAY = 32  # chunks after which a writer that never waits lets the loop go on


@final
class Sink:
    """The chunks of one writer, in one attempt, for one stream."""

    def __init__(
        self, world: World, run_id: RunId, name: str, *, writer: str, attempt: int = 1
    ) -> None:
        """Write nothing yet.

        Args:
            writer: ``run id/step`` for a step, else a name of its own.
            attempt: of the writer.
        """
        self._world = world
        self._run_id = run_id
        self.name = name
        self._writer = writer
        self._attempt = attempt
        self._author = writer.removeprefix(f"{run_id}/")  # as chunks name it
        self._heads = tuple(chunk_head(kind, self._author) for kind in (BYTES, VALUE, REWIND))
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of those that wait or are under way
        self._chunks = 0  # likewise
        self._writes = 0
        self._sequence = 0
        self._task: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._error: BaseException | None = None
        self._earlier: Earlier | None = None
        self._is_begun = attempt == 1
        self._is_over = False
        self._beginning = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Sink of {self._writer} to {self.name!r}, {self._chunks} chunks under way>"

    @property
    def unsent(self) -> int:
        """Chunks that are not known to be durable."""
        return self._chunks

    async def put(self, kind: int, content: bytes) -> None:
        """Add a chunk. Returns at once while there is room.

        Raises:
            WorldError: an append before this one failed for good.
        """
        if self._error is not None:
            raise self._error
        if self._is_over:
            raise UsageError(
                f"the step that wrote to stream {self.name!r} is over: write in its body, and"
                " await there what writes"
            )
        if not self._is_begun:
            await self._begin()
        self._writes += 1
        if self._earlier is not None and self._swallows(kind, content):
            was_idle = False
        else:
            was_idle = self._add(self._heads[kind] + content)
        if was_idle or self._writes % _GIVE_WAY == 0:
            await asyncio.sleep(0)
        while self._bytes > MAX_BUFFER_BYTES and self._error is None:
            await self._progress.wait()

    async def flush(self) -> None:
        """Return once all that was put is durable.

        Raises:
            WorldError: an append failed for good.
        """
        while self._task is not None and self._error is None:
            await self._progress.wait()
        if self._error is not None:
            raise self._error

    async def finish(self) -> None:
        """Flush. Chunks of earlier attempts beyond those of this one do not count from now on.

        Raises:
            WorldError: an append failed for good.
        """
        if not self._is_begun:
            await self._begin()
        if self._earlier is not None:
            self._take_back(self._earlier)
        await self.flush()

    async def close(self) -> None:
        """Finish, and close the stream.

        Raises:
            WorldError: an append failed for good, or the close did.
        """
        await self.finish()
        streams = self._world.streams

        async def close() -> None:
            await streams.close(self._run_id, self.name, writer=self._writer, attempt=self._attempt)

        await self._persisted(close)

    def abandon(self) -> None:
        """Send nothing more, and take nothing more. An append under way may land."""
        self._is_over = True
        if self._task is not None:
            Context().run(self._task.cancel)  # outside of the step, which may not cancel it

    # --- what earlier attempts wrote --------------------------------------------------------------

    async def _begin(self) -> None:
        async with self._beginning:
            if self._is_begun:
                return
            end = await self._append(())
            self._earlier = await read_earlier(
                self._world.streams, self._run_id, self.name, writer=self._author, end=end
            )
            self._is_begun = True

    def _swallows(self, kind: int, content: bytes) -> bool:
        """Whether an earlier attempt wrote this here; at the first difference the rest is void."""
        assert self._earlier is not None
        if self._earlier.repeats(kind, content):
            return True
        self._take_back(self._earlier)
        return False

    def _take_back(self, earlier: Earlier) -> None:
        self._earlier = None
        rewind = earlier.rest(self._attempt)
        if rewind is not None:
            self._add(self._heads[REWIND] + rewind_content(rewind))

    # --- sending ----------------------------------------------------------------------------------

    def _add(self, chunk: bytes) -> bool:
        """Have a chunk sent. Returns whether nothing was under way before."""
        self._waiting.append(chunk)
        self._bytes += len(chunk)
        self._chunks += 1
        if self._task is not None:
            return False
        loop = asyncio.get_running_loop()
        sending, name = self._send_all(), f"perdure: stream {self.name} of {self._run_id}"
        self._task = Context().run(lambda: OwnTask(sending, loop=loop, name=name))
        return True

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch, size = self._next_batch()
                await self._append(batch)
                self._bytes -= size
                self._chunks -= len(batch)
                self._tell()
        except Exception as exc:  # raised where the writer writes next, or ends
            self._error = exc
        except asyncio.CancelledError:
            self._error = StreamNotWrittenError(self._run_id, self.name, chunks=self._chunks)
            raise
        finally:
            self._task = None
            self._tell()

    def _next_batch(self) -> tuple[list[bytes], int]:
        batch: list[bytes] = []
        size = 0
        while self._waiting and len(batch) < MAX_CHUNKS:
            if batch and size + len(self._waiting[0]) > MAX_BATCH_BYTES:
                break
            batch.append(self._waiting.popleft())
            size += len(batch[-1])
        return batch, size

    async def _append(self, chunks: Sequence[bytes]) -> int:
        sequence, self._sequence = self._sequence, self._sequence + 1
        streams, length = self._world.streams, 0

        async def append() -> None:
            nonlocal length
            length = await streams.append(
                self._run_id,
                self.name,
                chunks,
                writer=self._writer,
                sequence=sequence,
                attempt=self._attempt,
            )

        await self._persisted(append)
        return length

    async def _persisted(self, call: Callable[[], Awaitable[None]]) -> None:
        """Ask until there is an answer, or the world was away for too long."""
        until, pause = time.monotonic() + PATIENCE, _PAUSE
        while True:
            try:
                with foreign_errors(self._world):
                    return await call()
            except WorldError as exc:
                if not exc.retryable or time.monotonic() > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)

    def _tell(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()
