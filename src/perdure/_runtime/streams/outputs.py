"""Outputs: the streams that one execution of a step writes to.

Two writers to one stream share a sink, so that their chunks are in one order. The step is not done
before its chunks are durable. Used in the worker's event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import final

import anyio

from ..._model.ids import RunId
from ...abc import World
from ...errors import StreamNotWrittenError, WorldError
from ..log_fields import of_step
from .sink import Sink

__all__ = ("Outputs",)

_log = logging.getLogger("perdure")
FINISH_S = 30.0  # that the chunks of a step may take after its body is done
_GRACE = 5.0  # that a thread waits for more than that


@final
class Outputs:
    """The sinks of one execution."""

    def __init__(
        self, world: World, *, writer: str, attempt: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Write nothing yet.

        Args:
            writer: the id of the step's message.
            attempt: claims of it so far.
        """
        self.world = world
        self.loop = loop
        self.run_id: RunId = RunId(writer.partition("/")[0])
        self._writer = writer
        self._attempt = attempt
        self._sinks: dict[tuple[World, str, str], Sink] = {}
        self._pours = 0
        self._poured = asyncio.Event()  # there are none any more

    def __repr__(self) -> str:
        return f"<Outputs of {self._writer} to {len(self._sinks)} streams>"

    def sink(self, world: World | None, run_id: RunId, name: str) -> Sink:
        """The sink to a stream; of the step's own world where none is named."""
        world = self.world if world is None else world
        key = world, run_id, name
        sink = self._sinks.get(key)
        if sink is None:
            sink = self._sinks[key] = Sink(
                world, run_id, name, writer=self._writer, attempt=self._attempt
            )
        return sink

    @contextmanager
    def pouring(self) -> Generator[None, None, None]:
        """Within the block chunks of a plain function come: its end waits for that, too."""
        self._pours += 1
        try:
            yield
        finally:
            self._pours -= 1
            if not self._pours:
                poured, self._poured = self._poured, asyncio.Event()
                poured.set()

    async def finish(self) -> None:
        """Return once every chunk is durable; the body is done.

        Raises:
            StreamNotWrittenError: that took too long.
            WorldError: an append failed for good.
        """
        with anyio.move_on_after(FINISH_S) as scope:
            while self._pours:
                await self._poured.wait()
            for sink in self._sinks.values():
                await sink.finish()
        if scope.cancelled_caught:
            self.abandon()
            late = max(self._sinks.values(), key=lambda sink: sink.unsent)
            raise StreamNotWrittenError(self.run_id, late.name, chunks=late.unsent)
        self.abandon()

    async def settle(self) -> None:
        """Let what the body wrote before it failed arrive, if that can be."""
        with anyio.move_on_after(FINISH_S):
            while self._pours:
                await self._poured.wait()
            for sink in self._sinks.values():
                try:
                    await sink.flush()
                except WorldError as exc:
                    _log.warning(
                        "step %s failed, and so did its writing to stream %s: %s",
                        self._writer,
                        sink.name,
                        exc,
                        extra=of_step(self._writer),
                    )
        self.abandon()

    def finish_from_thread(self) -> None:
        """As ``finish``, for a plain function in its thread."""
        running = asyncio.run_coroutine_threadsafe(self.finish(), self.loop)
        running.result(FINISH_S + _GRACE)

    def settle_from_thread(self) -> None:
        """As ``settle``, for a plain function in its thread; raises nothing."""
        try:
            running = asyncio.run_coroutine_threadsafe(self.settle(), self.loop)
            running.result(FINISH_S + _GRACE)
        except Exception as exc:  # its worker has ended
            _log.debug("step %s: %r", self._writer, exc)

    def abandon(self) -> None:
        """Send nothing more, and take nothing more: the execution is over."""
        for sink in self._sinks.values():
            sink.abandon()
