"""Pool: the few threads that guests run in.

A guest call releases the interpreter lock, so an event loop beside it stays responsive. Each thread
has an inbox of its own, so handing work over wakes one thread; its result goes straight back to the
caller's loop.

Work that takes long is put aside: another thread takes the place of its own, which ends with it.
Guests that are aside run one or few at a time, those first that have had least, and the others
pause; so a busy guest makes nobody wait. There is room for a few; guests beyond that are stopped,
and their runs come again later. While there is work, the loop that handed it over looks at all
threads now and then; an idle pool has no timer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, final

from .._platform import count_processors, processor_here
from ..errors import UsageError
from ..worldkit.posting import posted_together
from .pace import Pace
from .reply import Reply
from .seat import Seat, Work
from .watch import StopReason, Watch, move_epoch

__all__ = ("VmPool",)

T = TypeVar("T")
DEFAULT_MAX_THREADS = 4
LONG_S = 0.05  # of a processor: work that takes more is put aside
MAX_ASIDE = 16  # guests; what is not a guest's, and ends by itself, is not counted
HURRIED_S = 0.02  # likewise, where other work waits
LOOK_S = 0.02  # from one look to the next
SHARE_S = 0.05  # of a processor, for each guest that is aside, by turns
_CLOSING_S = 0.5  # of the clock, for a piece of work once the pool is to be empty
_OVERDUE_NS = 500_000_000  # a look that is so late was in a loop that is gone


@final
class VmPool:
    """Runs functions in a few threads, first come first served."""

    def __init__(self, max_threads: int | None = None) -> None:
        """Make the pool; threads start when there is work.

        Args:
            max_threads: that take work, at least 1; None is one for each processor, from two to
                four.
        """
        self._processors = count_processors()
        enough = max(2, min(DEFAULT_MAX_THREADS, self._processors))
        self._lanes = max(1, self._processors - 1)  # guests aside that run at a time
        self._max_threads = enough if max_threads is None else max_threads
        if self._max_threads < 1:
            raise UsageError("a pool needs at least one thread")
        self._seats: set[Seat] = set()
        self._aside: dict[Seat, None] = {}  # in the order in which they were put there
        self._idle: list[Seat] = []  # whose caches are warm is at the end
        self._backlog: deque[Work] = deque()  # for the first thread that is done
        self._numbers = 0  # of threads that were started
        self._idle_since = 0  # nanoseconds by ``perf_counter_ns``, of the last thread to be done
        self._looks_by = 0  # likewise, when the next look is overdue
        self._empty_by: float | None = None  # by ``monotonic``: from then on work is stopped
        self._pace = Pace()
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        threads, aside = len(self._seats), len(self._aside)
        most = self._max_threads
        return f"<VmPool {self._at_work} at work, {threads}/{most} threads, {aside} aside>"

    @property
    def _at_work(self) -> int:
        return len(self._seats) - len(self._idle) + len(self._backlog) + len(self._aside)

    @property
    def is_crowded(self) -> bool:
        """Whether there is no room for another guest that takes long."""
        return sum(_is_guest(seat) for seat in list(self._aside)) >= MAX_ASIDE

    def statistics(self) -> dict[str, int]:
        """Threads there are, threads there may be, those put aside, work queued or running."""
        return {
            "threads": len(self._seats),
            "max_threads": self._max_threads,
            "aside": len(self._aside),
            "at_work": self._at_work,
        }

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Run *fn* in a thread of the pool.

        Raises:
            UsageError: the pool was closed.
        """
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn()
            except BaseException as exc:
                future.set_exception(exc)
            else:
                future.set_result(result)

        self.hand_over(work)
        return future

    async def run(self, fn: Callable[[], T], watch: Watch | None = None) -> T:
        """Run *fn* in a thread of the pool and wait for it.

        Work that has begun is waited for also when this is cancelled: its memory may be freed
        afterwards. Its result is dropped.

        Args:
            watch: the watch over *fn*; cancellation stops its guests.

        Raises:
            UsageError: the pool was closed.
            StoppedError: a guest was stopped.
        """
        reply: Reply[T] = Reply()

        def work() -> None:
            if not reply.begin():
                return
            try:
                if watch is None:
                    result = fn()
                else:
                    with watch.here():
                        result = fn()
            except BaseException as exc:
                reply.fail(exc)
            else:
                reply.give(result)

        self.hand_over(work)
        if watch is None:
            return await reply.wait()
        return await reply.wait(lambda: watch.stop(StopReason.ABANDONED))

    def empty_within(self, seconds: float) -> None:
        """Stop guests that still run in so many seconds, and long work after that."""
        self._empty_by = time.monotonic() + seconds

    def close(self) -> None:
        """Stop guests, finish the work that was handed over and end the threads. Idempotent."""
        with self._lock:
            self._closed = True
            self._idle.clear()
            if self._backlog and not self._seats:
                self._start_thread()
            seats = [*self._seats, *self._aside]
        for seat in seats:
            seat.inbox.put(None)
        for seat in seats:
            seat.end(every=LOOK_S)
        with self._lock:  # nothing is at work any more, and nobody need look
            self._seats.clear()
            self._aside.clear()

    def hand_over(self, work: Work, *, aside: bool = False) -> None:
        """Run *work*, which must not raise, in a thread of the pool.

        Its posts reach their loop once *work* has returned; the work that it returns runs after.

        Args:
            aside: it is known to take long.

        Raises:
            UsageError: the pool was closed.
        """
        now = time.perf_counter_ns()
        with self._lock:
            if self._closed:
                raise UsageError("the pool was closed")
            self._pace.note(idle_ns=now - self._idle_since, processor=processor_here())
            if aside:
                seat = self._start_thread(aside=True)
            elif self._idle:
                seat = self._idle.pop()
            elif len(self._seats) < self._max_threads:
                seat = self._start_thread()
            else:
                self._backlog.append(work)
                return
        seat.inbox.put(work)
        if now > self._looks_by:
            self._look_soon()

    def _start_thread(self, *, aside: bool = False) -> Seat:
        """Another seat; the caller has the lock."""
        seat = Seat(self._serve, name=f"perdure-vm-{self._numbers}", aside=aside)
        self._numbers += 1
        if aside:
            self._aside[seat] = None
        else:
            self._seats.add(seat)
        return seat

    def _serve(self, seat: Seat) -> None:
        seat.take()
        while (work := seat.inbox.get(awake=self._stays_awake)) is not None:
            while work is not None:
                seat.begin_count += 1
                # The loop is woken last: it would have to wait for this thread to let the
                # interpreter lock go.
                with posted_together():
                    work = work() or self._next(seat)
            if seat.is_aside:
                break

    @property
    def _stays_awake(self) -> bool:
        """Whether work is expected at once, and no thread of this pool wants the processor."""
        alone = self._processors > 1 and len(self._idle) == len(self._seats)
        return alone and self._pace.expects_more(processor_here())

    def _next(self, seat: Seat) -> Work | None:
        with self._lock:
            if seat.is_aside:
                self._aside.pop(seat, None)
            elif self._backlog:
                return self._backlog.popleft()
            elif not self._closed:
                self._idle.append(seat)
                self._idle_since = time.perf_counter_ns()
            seat.end_count = seat.begin_count
            return None

    # --- looking after it -------------------------------------------------------------------------

    def _look_soon(self) -> None:
        """Have the running loop look soon; without one nobody does."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._looks_by = time.perf_counter_ns() + int(LOOK_S * 1e9) + _OVERDUE_NS
        loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """Put aside or stop work that takes too long; look again while there is work."""
        with self._lock:
            for seat in (*self._seats, *self._aside):
                if seat.is_at_work:
                    self._look_at(seat)
            self._share_out()
            while self._backlog and len(self._seats) < self._max_threads:
                self._start_thread().inbox.put(self._backlog.popleft())
            at_work = self._at_work
        if at_work:
            self._look_soon()
        else:
            self._looks_by = 0

    def _look_at(self, seat: Seat) -> None:
        wall, used = seat.look()
        watch = seat.place.watch
        if watch is not None:
            if watch.reason is not None:
                watch.go_on()
                move_epoch()  # it may have begun its call just after the last one
            elif watch.is_over(wall=wall, used=used):
                watch.stop(StopReason.DEADLINE)
            elif wall > _CLOSING_S and self._is_to_be_empty():
                watch.stop(StopReason.CLOSING)
        if used > (HURRIED_S if self._backlog else LONG_S):
            self._put_aside(seat, watch, used)

    def _is_to_be_empty(self) -> bool:
        return self._empty_by is not None and time.monotonic() > self._empty_by

    def _put_aside(self, seat: Seat, watch: Watch | None, used: float) -> None:
        """Put it aside if it is not; stop it if there is no room, and its patience is over."""
        is_new, crowded = not seat.is_aside, self.is_crowded
        if is_new:
            self._seats.discard(seat)
            self._aside[seat] = None
            seat.is_aside = True
        patience = None if watch is None else watch.patience
        if watch is None or patience is None or used <= patience:
            return
        if crowded and (is_new or patience):
            watch.stop(StopReason.CROWDED)

    def _share_out(self) -> None:
        """Of the guests that are aside, let those run that have had least, and the others pause."""
        watches = [
            (int(seat.used / SHARE_S), watch.pauses, index, watch)
            for index, seat in enumerate(self._aside)
            if (watch := seat.place.watch) is not None and watch.reason is None
        ]
        watches.sort()
        moves = False
        for rank, (_, pauses, _, watch) in enumerate(watches):
            if rank < self._lanes:
                watch.go_on()
            elif not pauses:
                watch.pause()
                moves = True
        if moves:
            move_epoch()


def _is_guest(seat: Seat) -> bool:
    return seat.place.watch is not None
