"""Clocks: where a world's time comes from, and how its waiters hear of it.

A world takes ``clock=``. Without one it uses ``SystemClock``; ``ManualClock`` moves only when told
to. A ``Bell`` is how anything that waits for a store is woken, from any thread and
into any event loop. Nothing here polls.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Protocol, final

import anyio

from ..posting import post

__all__ = ("Bell", "Clock", "ManualClock", "SystemClock")


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
class ManualClock:
    """A clock that stands still until it is advanced.

    Args:
        now_ms: the time at first, in milliseconds UTC.
    """

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._alarms: dict[object, tuple[int, Callable[[], None]]] = {}

    def now_ms(self) -> int:
        """The time it was last set to."""
        return self._now_ms

    def advance(self, ms: int) -> None:
        """Let *ms* pass at once, and wake all that waited for a time that has come."""
        if ms < 0:
            raise ValueError(f"time cannot go back by {-ms} ms")
        with self._lock:
            self._now_ms += ms
            due = sorted(
                ((at, key) for key, (at, _) in self._alarms.items() if at <= self._now_ms),
                key=lambda pair: pair[0],
            )
            calls = [self._alarms.pop(key)[1] for _, key in due]
        for call in calls:
            call()

    def call_at(self, at_ms: int, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* called by the ``advance`` that reaches *at_ms*, or now if it has come."""
        key = object()
        with self._lock:
            waiting = at_ms > self._now_ms
            if waiting:
                self._alarms[key] = (at_ms, call)
        if not waiting:
            call()
        return lambda: self._call_off(key)

    def _call_off(self, key: object) -> None:
        with self._lock:
            self._alarms.pop(key, None)

    def __repr__(self) -> str:
        return f"ManualClock(now_ms={self._now_ms}, alarms={len(self._alarms)})"


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
