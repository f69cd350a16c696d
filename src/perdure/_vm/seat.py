"""Seat: one thread of a pool as others see it: its work, and for how long it is at it.

The thread notes the work that it begins and no more, as it does so at every turn. Time is taken
from outside, now and then, so work that began since the last look counts from this one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias, final

from .._platform import stand_back, thread_clock
from .inbox import Inbox
from .stack import start_with_room
from .watch import Place, StopReason, Watch, place_here

__all__ = ("Seat", "Work")

Work: TypeAlias = "Callable[[], Work | None]"  # returns the work that follows it, if any


@final
class Seat:
    """A thread, its inbox and its work."""

    __slots__ = (
        "_awake",
        "_clock",
        "_last_look",
        "_looked_at",
        "_since",
        "_thread",
        "_used_before",
        "begin_count",
        "end_count",
        "inbox",
        "is_aside",
        "place",
        "used",
    )

    def __init__(self, serve: Callable[[Seat], None], *, name: str, aside: bool = False) -> None:
        """Start the thread, which is to call ``take`` first.

        Args:
            aside: from the beginning.
        """
        self.inbox: Inbox[Work | None] = Inbox()
        self.place = Place()  # replaced by the thread's own
        self.begin_count = 0  # works, so far
        self.end_count = 0  # likewise, as of when it had nothing more to do
        self.is_aside = aside  # it takes no work after this
        self.used = 0.0  # processor time of this work, at the last look
        self._clock: int | None = None  # of the processor time of its thread
        self._awake, self._looked_at = 0.0, 0.0  # a stand-in for that time, and as of when
        self._last_look: tuple[int, Watch | None] = 0, None  # work and watch at the last look
        self._since = 0.0  # when that was seen first
        self._used_before = 0.0  # processor time, then
        self._thread = start_with_room(name, partial(serve, self))

    def __repr__(self) -> str:
        state = "at work" if self.is_at_work else "idle"
        return f"<Seat {state}{', aside' if self.is_aside else ''}>"

    @property
    def is_at_work(self) -> bool:
        """Whether it has begun work that has not ended."""
        return self.begin_count != self.end_count

    def take(self) -> None:
        """This is the seat of the thread that calls."""
        self.place = place_here()
        self._clock = thread_clock()
        # Work that is handed over wakes a thread, which may take the processor of the event loop
        # that has just woken it: the loop then goes to sleep, and wakes, as much later as the work
        # took.
        stand_back()

    def look(self) -> tuple[float, float]:
        """Seconds of the clock and of a processor since this work was seen first, under its watch.

        From one thread at a time.
        """
        now, used = time.monotonic(), self._processor_time()
        view = self.begin_count, self.place.watch
        if view != self._last_look:
            self._last_look, self._since, self._used_before = view, now, used
        self.used = used - self._used_before
        return now - self._since, self.used

    def _processor_time(self) -> float:
        if self._clock is None:
            return self._time_awake()
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # the thread has ended, or is about to begin
            return self._used_before

    def _time_awake(self) -> float:
        """Time between looks in which its guest is not to pause; guests aside take turns by it."""
        now = time.monotonic()
        if self.place.watch is None or not self.place.watch.pauses:
            self._awake += now - self._looked_at
        self._looked_at = now
        return self._awake

    def end(self, *, every: float) -> None:
        """Wait for the thread's end, and stop its guests time and again."""
        while self._thread is not threading.current_thread() and self._thread.is_alive():
            watch = self.place.watch
            if watch is not None:
                watch.stop(StopReason.CLOSING)
            self._thread.join(every)
