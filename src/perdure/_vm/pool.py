"""Pool: the few threads that guests run in.

A guest call releases the interpreter lock, so an event loop beside it stays responsive. Each thread
has an inbox of its own, so handing work over wakes one thread; its result goes straight back to the
caller's loop.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeAlias, TypeVar, final

from ..errors import UsageError
from ..posting import posted_together
from .inbox import Inbox
from .pace import Pace, count_processors, processor_here
from .reply import Reply
from .stack import start_with_room

__all__ = ("VmPool",)

T = TypeVar("T")
Work: TypeAlias = "Callable[[], Work | None]"  # gives what is to be done after it, if anything
_Inbox: TypeAlias = "Inbox[Work | None]"
DEFAULT_MAX_THREADS = 4


def _yield_to_loops() -> None:
    """Have the scheduler treat this thread as batch work, where it can.

    Work that is handed over wakes a thread, which may take the processor of the event loop that
    has just woken it: the loop then goes to sleep, and wakes, as much later as the work took.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


@final
class VmPool:
    """Runs functions in at most *max_threads* threads, first come first served."""

    def __init__(self, max_threads: int | None = None) -> None:
        """Make the pool; threads start when there is work.

        Args:
            max_threads: at least 1; None is one for each processor, from two to four.
        """
        self._processors = count_processors()
        found = max(2, min(DEFAULT_MAX_THREADS, self._processors))
        self._max_threads = found if max_threads is None else max_threads
        if self._max_threads < 1:
            raise UsageError("a pool needs at least one thread")
        self._threads: dict[_Inbox, threading.Thread] = {}
        self._idle: list[_Inbox] = []  # of threads that wait; whose caches are warm is at the end
        self._backlog: deque[Work] = deque()  # for the first thread that is done
        self._idle_since = 0  # nanoseconds by ``perf_counter_ns``, of the last thread to be done
        self._pace = Pace()
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        threads = len(self._threads)
        return f"<VmPool {self._at_work} at work, {threads}/{self._max_threads} threads>"

    @property
    def _at_work(self) -> int:
        return len(self._threads) - len(self._idle) + len(self._backlog)

    def statistics(self) -> dict[str, int]:
        """Threads there are, threads there may be, work that is queued or running."""
        return {
            "threads": len(self._threads),
            "max_threads": self._max_threads,
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

    async def run(self, fn: Callable[[], T]) -> T:
        """Run *fn* in a thread of the pool and wait for it.

        Work that has begun is not stopped by cancellation, which waits for its end: what it works
        on may be freed afterwards. Its result is dropped.

        Raises:
            UsageError: the pool was closed.
        """
        reply: Reply[T] = Reply()

        def work() -> None:
            if not reply.begin():
                return
            try:
                result = fn()
            except BaseException as exc:
                reply.fail(exc)
            else:
                reply.give(result)

        self.hand_over(work)
        return await reply.wait()

    def close(self) -> None:
        """Finish what was handed over and end the threads. Idempotent."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, {}
            self._idle.clear()
        for inbox in threads:
            inbox.put(None)
        for thread in threads.values():
            if thread is not threading.current_thread():
                thread.join()

    def hand_over(self, work: Work) -> None:
        """Run *work*, which must not raise, in a thread of the pool.

        What it posts reaches its loop once *work* has returned; what it returns is run after that.

        Raises:
            UsageError: the pool was closed.
        """
        with self._lock:
            if self._closed:
                raise UsageError("the pool was closed")
            idle_ns = time.perf_counter_ns() - self._idle_since
            self._pace.note(idle_ns=idle_ns, processor=processor_here())
            if self._idle:
                inbox = self._idle.pop()
            elif len(self._threads) < self._max_threads:
                inbox = self._start_thread()
            else:
                self._backlog.append(work)
                return
        inbox.put(work)

    def _start_thread(self) -> _Inbox:
        inbox: _Inbox = Inbox()
        name = f"perdure-vm-{len(self._threads)}"
        self._threads[inbox] = start_with_room(name, partial(self._serve, inbox))
        return inbox

    def _serve(self, inbox: _Inbox) -> None:
        _yield_to_loops()
        while (work := inbox.get(awake=self._stays_awake)) is not None:
            while work is not None:
                # The loop is woken last: it would have to wait for this thread to let the
                # interpreter lock go.
                with posted_together():
                    work = work() or self._next(inbox)

    @property
    def _stays_awake(self) -> bool:
        """Whether work is expected at once, and no thread of this pool wants the processor."""
        alone = self._processors > 1 and len(self._idle) == len(self._threads)
        return alone and self._pace.expects_more(processor_here())

    def _next(self, inbox: _Inbox) -> Work | None:
        with self._lock:
            if self._backlog:
                return self._backlog.popleft()
            if not self._closed:
                self._idle.append(inbox)
                self._idle_since = time.perf_counter_ns()
            return None
