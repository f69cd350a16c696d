"""Clocks: where a world's time comes from, and how its waiters hear of it.

A world takes ``clock=``. Without one it uses ``SystemClock``; tests give it the ``ManualClock`` of
``perdure.testing``. A ``Bell`` is how anything that waits for a store is woken, from any thread and
into any event loop. Nothing here polls.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Protocol, final

import anyio

from .posting import post

__all__ = ("Bell", "Clock", "SystemClock")


class Clock(Protocol):
    """Integer milliseconds UTC, and alarms. Usable from any thread."""

    def now_ms(self) -> int:
        """The time. Never blocks."""
        ...

    def call_at(self, at_ms: int, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* called once the time is *at_ms*; returns the function that calls it off.

        Called in an event loop. *call* must be quick and may run in any thread.
        """
        ...


@final
class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """The time by the machine."""
        return time.time_ns() // 1_000_000

    def call_at(self, at_ms: int, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* called in this event loop once the time is *at_ms*."""
        delay = max(0, at_ms - self.now_ms()) / 1000
        return asyncio.get_running_loop().call_later(delay, call).cancel

    def __repr__(self) -> str:
        return "SystemClock()"


@final
class Bell:
    """Wakes all that wait for a change, in any event loop.

    A waiter reads ``rings`` before it looks at the store, then waits for a later one: a ring in
    between is not missed.
    """

    def __init__(self) -> None:
        self.rings: int = 0
        self._lock = threading.Lock()
        self._waiters: dict[object, Callable[[], None]] = {}

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiters)

    def ring(self) -> None:
        """Wake everybody. From any thread; never blocks."""
        with self._lock:
            self.rings += 1
            waiters = list(self._waiters.values()) if self._waiters else ()
        for wake in waiters:
            wake()

    async def wait(self, rings: int, *, clock: Clock, until_ms: int) -> None:
        """Return once ``rings`` has moved past *rings*, or *clock* shows *until_ms*."""
        event, loop, key = anyio.Event(), asyncio.get_running_loop(), object()

        def wake() -> None:
            post(loop, event.set)

        with self._lock:
            if self.rings != rings:
                return
            self._waiters[key] = wake
        call_off = clock.call_at(until_ms, wake)
        try:
            await event.wait()
        finally:
            call_off()
            with self._lock:
                del self._waiters[key]

    def __repr__(self) -> str:
        return f"Bell(rings={self.rings}, waiting={self.waiting})"
