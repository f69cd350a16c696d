"""A clock for tests, which moves only when told to: ``clock=`` of a world."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import final

__all__ = ("ManualClock",)


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
