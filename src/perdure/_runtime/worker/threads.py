"""Threads: the plain function of a step, run beside the event loop, up to its deadline or beyond.

No thread can be cut short. At the deadline, or when its worker is cancelled, the execution is over
all the same: the function is told by an event, and its result, if it comes, is dropped with a word.
Of the function's end and that the first one counts, in either thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypeAlias, final

import anyio
import anyio.to_thread

from ..._value_class import value_class
from ...errors import StepTimeoutError
from ..log_fields import Fields
from ..metadata import Expiry
from .bodies import GRACE, Raised

__all__ = ("Awaited", "Outcome", "Thread")

_log = logging.getLogger("perdure")


@value_class(kw_only=False)
class Awaited:
    """A plain function returned something to await."""

    value: Awaitable[object]


Outcome: TypeAlias = "bytes | Raised | Awaited"


@final
class Thread:
    """One execution of a plain function."""

    def __init__(self, work: Callable[[Thread], Outcome], limit: timedelta | None) -> None:
        """Run nothing yet.

        Args:
            work: called in the thread; raises nothing. Calls ``settle`` when the function is done.
        """
        self.limit = limit
        self.timed_out = Expiry()
        self.is_late = False  # the deadline came first
        self.is_left = False  # its worker has gone, and it goes on
        self._has_begun = False
        self._ended = False
        self._tell: Callable[[], object] | None = None  # that it has ended, to who waits for that
        self._since = 0.0  # when it was left, by ``time.monotonic``
        self._name = ""
        self._work = work
        self._lock = threading.Lock()
        self._settled = False  # the function came first
        self._task: asyncio.Task[Outcome] | None = None

    def __repr__(self) -> str:
        state = ", left" if self.is_left else ", late" if self.is_late else ""
        return f"<Thread{state}>"

    async def run(self, name: str, threads: anyio.CapacityLimiter | None) -> Outcome:
        """The outcome, at the deadline at the latest.

        Cancelled, it tells the function so, and leaves one behind that does not end by that.

        Args:
            name: the step's id.
        """
        self._name = name
        try:
            if self.limit is None:
                return await anyio.to_thread.run_sync(
                    self._call, limiter=threads, abandon_on_cancel=True
                )
            running = anyio.to_thread.run_sync(self._call, limiter=threads)
            task = self._task = asyncio.get_running_loop().create_task(running, name=name)
            await asyncio.wait({task}, timeout=self.limit.total_seconds())
            if task.done() or not self._expire():
                await asyncio.wait({task})
                return task.result()
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._end()
            raise
        return Raised(StepTimeoutError(name, timeout=self.limit))

    def settle(self) -> bool:
        """The function is done. Returns whether that is in time. In the thread."""
        with self._lock:
            self._settled = not self.is_late
            return self._settled

    async def wait_end(self, name: str, fields: Fields) -> None:
        """Return once it has ended, after its deadline.

        Args:
            name: the step's id.
            fields: of the record that says so.
        """
        assert self._task is not None
        since = time.monotonic()
        try:
            await asyncio.wait({self._task})
        except asyncio.CancelledError:
            self._leave()
            raise
        _log.warning(
            "step %s ended %.1f s after its timeout; what it returned or raised is dropped",
            name,
            time.monotonic() - since,
            extra=fields,
        )

    def _call(self) -> Outcome:
        """The outcome. In the thread."""
        with self._lock:
            if self.is_late:  # nobody asks for it
                return Raised(asyncio.CancelledError())
            self._has_begun = True
        try:
            return self._work(self)
        finally:
            self._ended = True
            if self._tell is not None:
                with suppress(RuntimeError):  # the loop is closed
                    self._tell()
            if self.is_left:
                _log.warning(
                    "step %s ended %.1f s after its worker; what it returned or raised is dropped",
                    self._name,
                    time.monotonic() - self._since,
                )

    async def _end(self) -> None:
        """Have it end, which it may do or not."""
        self._expire()
        ended = asyncio.Event()
        self._tell = partial(asyncio.get_running_loop().call_soon_threadsafe, ended.set)
        if self._has_begun and not self._ended:  # from now on it tells
            with anyio.move_on_after(GRACE):
                await ended.wait()
        self._leave()

    def _leave(self) -> None:
        """Its worker ends, with it or without it."""
        self._since = time.monotonic()
        self.is_left = self._has_begun and not self._ended
        if self.is_left:
            _log.warning(
                "step %s goes on in its thread, which cannot be cancelled, after its worker: it was"
                " told by timeout_event(), its result will be dropped, and it runs again elsewhere"
                " once its lease has run out",
                self._name,
            )

    def _expire(self) -> bool:
        """The deadline is there. Returns whether the function was not done before."""
        with self._lock:
            self.is_late = not self._settled
        if self.is_late:
            self.timed_out.set()
        return self.is_late
