"""Aborts: signals that steps hold, kept up with the log of their run.

In this process a signal fires once its abort is durable. A step that goes on longer than a while
also reads the log, since its run may be carried elsewhere by then. It hears of its run's end, too.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, final

import anyio

from .._abort import AbortController, fire, state_of
from .._model.events import Event, EventType
from .._model.ids import RunId
from .._protocol.codec import decode, encode
from ..abc import World
from ..errors import AbortError, RunNotFoundError, WorldError
from ..values import UNDEFINED
from .ambient import meant_world
from .crossings import abort_crossed, fire_event, write_abort
from .log_fields import of_run
from .metadata import entered
from .signals import ABORT_MARK, signals_in

__all__ = ("AbortWatch", "abort", "tell_aborts", "tell_end", "tell_request")

_log = logging.getLogger("perdure")
_LOOK: Final = 1.0  # seconds between looks at the log
_LOOK_SECONDS: Final = 30.0  # that a thread waits for one
# Signals that each run has beside those of its guest.
_ASKED: Final = "asked"  # to end, or ended: for the steps that were made before
_ENDED: Final = "ended"
_KINDS: Final = (EventType.ABORT_REQUESTED, EventType.ABORT_RECEIVED)


async def abort(controller: AbortController, reason: object) -> None:
    """See ``AbortController.abort``."""
    payload = encode(UNDEFINED if reason is ... else reason, where="reason")
    if not controller.run_id:
        await abort_crossed(state_of(("", controller.id)), payload)
        return
    step = entered.get(None)
    world = await meant_world(None) if step is None else step.outputs.world
    await write_abort(world, RunId(controller.run_id), controller.id, payload)


def tell_aborts(run_id: RunId, events: Iterable[Event]) -> None:
    """Fire the signals that these events, which are durable, abort."""
    for event in events:
        if event.type in _KINDS:
            fire_event(run_id, event)


def tell_request(run_id: str) -> None:
    """Tell the steps here that their run was asked to end, which is durable."""
    # A later life of the run may have its id, so it is told to those that are there.
    fire((run_id, _ASKED), "its run was asked to end", remember=False)


def tell_end(run_id: str) -> None:
    """Tell the steps here that their run has ended, which is durable."""
    for name in (_ASKED, _ENDED):
        fire((run_id, name), "its run has ended", remember=False)


@final
class AbortWatch:
    """The signals among the arguments of one execution, and the end of its run.

    Used in the worker's event loop.
    """

    def __init__(
        self, world: World, run_id: RunId, args: bytes, *, is_cleanup: bool = False
    ) -> None:
        """Watch nothing yet.

        Args:
            args: the payload of the arguments.
            is_cleanup: the step was made after its run was asked to end, and hears of the end only.
        """
        self._world = world
        self._run_id = run_id
        self.states = signals_in(decode(args)) if ABORT_MARK in args else []
        # Aborted when the run has ended, or was asked to.
        self._run = state_of((run_id, _ENDED if is_cleanup else _ASKED))
        self._is_closed = False
        self._after = 0  # position of the last event that was looked at
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<AbortWatch of {len(self.states)} signals of {self._run_id}>"

    def open(self) -> None:
        """Look at the log from time to time, until ``close``, or the run has ended. Idempotent."""
        if self._timer is None and not (self._is_closed or self._run.is_aborted):
            self._timer = asyncio.get_running_loop().call_later(_LOOK, self._begin)

    def close(self) -> None:
        """Look no more, for good. Idempotent."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._look is not None:
            self._look.cancel()
        self._timer = self._look = None

    def open_from_thread(self, loop: asyncio.AbstractEventLoop, *, look: bool) -> None:
        """As ``open``, after a ``look`` if that is asked for."""
        if look:
            asyncio.run_coroutine_threadsafe(self.look(), loop).result(_LOOK_SECONDS)
        loop.call_soon_threadsafe(self.open)

    def close_from_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        """As ``close``."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self.close)

    def set_at_stop(self, event: threading.Event) -> None:
        """Set *event* once a signal is aborted, or the run has ended. From any thread."""
        for state in (*self.states, self._run):
            state.add(event.set)

    async def look(self) -> None:
        """Fire those that were aborted according to the log of the run.

        Raises:
            WorldError: the world failed.
        """
        if not self.states:
            return
        while events := await self._world.storage.read_events(self._run_id, after=self._after):
            self._after = events[-1].position
            tell_aborts(self._run_id, [logged.event for logged in events])

    async def cancelling(self, call: Callable[[], Awaitable[object]]) -> object:
        """The result of *call*, unless a signal is aborted first: it is cancelled then.

        Raises:
            AbortError: one was.
        """
        loop = asyncio.get_running_loop()
        for state in self.states:
            if state.is_aborted:
                raise AbortError(state.reason)
        states = [*self.states, self._run]
        with anyio.CancelScope() as scope:
            removes = [
                state.add(lambda: loop.call_soon_threadsafe(scope.cancel)) for state in states
            ]
            try:
                return await call()
            finally:
                for remove in removes:
                    remove()
        raise AbortError(next(state.reason for state in states if state.is_aborted))

    def _begin(self) -> None:
        self._look = asyncio.get_running_loop().create_task(self._again())

    async def _again(self) -> None:
        try:
            await self.look()
            record = await self._world.storage.get_run(self._run_id)
            if record.status.is_ended:
                tell_end(self._run_id)
            elif record.cancel_at_ms is not None:
                tell_request(self._run_id)
        except RunNotFoundError:
            self._run.fire("its run was deleted")
        except WorldError as exc:
            _log.debug("run %s: %s", self._run_id, exc, extra=of_run(self._run_id))
        self._timer = None
        self.open()
