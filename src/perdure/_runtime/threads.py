"""Threads: the plain function of a step, run beside the event loop, up to its deadline or beyond.

No thread can be cut short. At the deadline the execution is over all the same: the function is told
by an event, and its result, if it comes, is dropped with a word. Of the function's end and the
deadline the first one counts, whichever thread it is seen in.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias, final

import anyio
import anyio.to_thread

from .._frozen import frozen
from ..errors import StepTimeoutError
from .bodies import Raised
from .log_fields import Fields

__all__ = ("Awaited", "Outcome", "Thread")

_log = logging.getLogger("perdure")


@frozen(kw_only=False)
class Awaited:
    """A plain function returned something to await."""

    value: Awaitable[Any]


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
        self.timed_out = threading.Event()
        self.is_late = False  # the deadline came first
        self._work = work
        self._lock = threading.Lock()
        self._settled = False  # the function came first
        self._task: asyncio.Task[Outcome] | None = None

    def __repr__(self) -> str:
        return f"<Thread{', late' if self.is_late else ''}>"

    async def run(self, name: str, threads: anyio.CapacityLimiter | None) -> Outcome:
        """The outcome, at the deadline at the latest.

        Args:
            name: the step's id.
        """
        if self.limit is None:
            return await anyio.to_thread.run_sync(self._work, self, limiter=threads)
        running = anyio.to_thread.run_sync(self._work, self, limiter=threads)
        task = self._task = asyncio.get_running_loop().create_task(running, name=name)
        try:
            await asyncio.wait({task}, timeout=self.limit.total_seconds())
            if task.done() or not self._expire():
                await asyncio.wait({task})
                return task.result()
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await asyncio.wait({task})
            raise
        return Raised(StepTimeoutError(name, timeout=self.limit))

    def settle(self) -> bool:
        """The function is done; gives whether that is in time. In the thread."""
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
            with anyio.CancelScope(shield=True):
                await asyncio.wait({self._task})
            raise
        _log.warning(
            "step %s ended %.1f s after its timeout; what it returned or raised is dropped",
            name,
            time.monotonic() - since,
            extra=fields,
        )

    def _expire(self) -> bool:
        """The deadline is there; gives whether the function was not done before."""
        with self._lock:
            self.is_late = not self._settled
        if self.is_late:
            self.timed_out.set()
        return self.is_late
