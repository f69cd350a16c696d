"""Pace: whether the next work of a pool is expected at once, and from another processor.

A thread that stays awake for its next work must not take the processor from the event loop that
brings it. The kernel may well have both on one: a loop that this thread wakes is often put beside
it. Then the loop waits for as long as the thread is awake.
"""

from __future__ import annotations

from typing import final

__all__ = ("Pace",)

QUICK_NS = 200_000  # work that comes so soon after the work before is expected to do so again
QUICK_BEFORE = 16  # works of that kind, before a thread stays awake for the next
_MOST = 32
_LATE = 8  # what one that came late takes away: a quick run is late now and then


@final
class Pace:
    """Counts. Its users see to it that one thread uses it at a time."""

    def __init__(self) -> None:
        self._quick = 0
        self._processor: int | None = None  # which the thread that brought the last work ran on

    def __repr__(self) -> str:
        return f"<Pace {self._quick}/{_MOST}>"

    def note(self, *, idle_ns: int, processor: int | None) -> None:
        """Work was brought from *processor*, so long after the work before was done."""
        if idle_ns < QUICK_NS:
            self._quick = min(self._quick + 1, _MOST)
        else:
            self._quick = max(self._quick - _LATE, 0)
        self._processor = processor

    def expects_more(self, here: int | None) -> bool:
        """Whether a thread that runs on the processor *here* does well to stay awake."""
        apart = here is None or here != self._processor
        return apart and self._quick >= QUICK_BEFORE
