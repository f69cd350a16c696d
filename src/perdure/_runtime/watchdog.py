"""Watchdog: interrupts guests whose turn takes too long, with one timer for all of them.

An interrupt stops the guest call that is running and no other: one that comes before the first, or
between two, is lost. So a turn past its deadline is interrupted again and again until it ends.
"""

from __future__ import annotations

import asyncio
from typing import final

from .heap import Heap

__all__ = ("Watchdog",)

_AGAIN = 0.05  # seconds to the next interrupt


@final
class Watchdog:
    """Watches the heaps that take a turn. Used in one event loop."""

    def __init__(self) -> None:
        self._deadlines: dict[Heap, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0  # when the timer goes off

    def __repr__(self) -> str:
        return f"<Watchdog of {len(self._deadlines)} turns>"

    def watch(self, heap: Heap, seconds: float) -> None:
        """Interrupt *heap* in so many seconds, and then until it is let go."""
        loop = asyncio.get_running_loop()
        deadline = self._deadlines[heap] = loop.time() + seconds
        if self._timer is None or deadline < self._looks_at:
            self._arm(loop, deadline)

    def let_go(self, heap: Heap) -> None:
        """Watch *heap* no more. Idempotent."""
        self._deadlines.pop(heap, None)

    def close(self) -> None:
        """Watch nothing more. Idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self.close()
        self._looks_at = at
        self._timer = loop.call_at(at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for heap, deadline in list(self._deadlines.items()):
            if deadline <= now:
                self._deadlines[heap] = now + _AGAIN
                heap.interrupt()
        if self._deadlines:
            self._arm(loop, min(self._deadlines.values()))
