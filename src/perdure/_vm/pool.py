"""Pool: the few threads that guests run in.

A guest call releases the interpreter lock, so an event loop beside it stays responsive. Work is
handed over through one queue, and its result straight back to the caller's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, final

from ..errors import UsageError

__all__ = ("VmPool",)

T = TypeVar("T")
DEFAULT_MAX_THREADS = 4


@final
class VmPool:
    """Runs functions in at most *max_threads* threads, first come first served."""

    def __init__(self, max_threads: int | None = None) -> None:
        """Make the pool; threads start when there is work.

        Args:
            max_threads: at least 1; None is one for each processor, from two to four.
        """
        found = max(2, min(DEFAULT_MAX_THREADS, os.cpu_count() or 2))
        self._max_threads = found if max_threads is None else max_threads
        if self._max_threads < 1:
            raise UsageError("a pool needs at least one thread")
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting = 0  # work handed over and not finished
        self._closed = False

    def __repr__(self) -> str:
        return f"<VmPool {self._waiting} at work, {len(self._threads)}/{self._max_threads} threads>"

    def statistics(self) -> dict[str, int]:
        """Threads there are, threads there may be, work that is queued or running."""
        return {
            "threads": len(self._threads),
            "max_threads": self._max_threads,
            "at_work": self._waiting,
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

        Work that has begun is not stopped by cancellation; its result is dropped.

        Raises:
            UsageError: the pool was closed.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            if waiter.cancelled():
                return
            try:
                result = fn()
            except BaseException as exc:
                answer(_settle_failed, exc)
            else:
                answer(_settle, result)

        def answer(settle: Callable[[asyncio.Future[T], object], None], value: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone, and whoever waited
                loop.call_soon_threadsafe(settle, waiter, value)

        self.hand_over(work)
        return await waiter

    def close(self) -> None:
        """Finish what was handed over and end the threads. Idempotent."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def hand_over(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                raise UsageError("the pool was closed")
            self._waiting += 1
            if self._waiting > len(self._threads) < self._max_threads:
                name = f"perdure-vm-{len(self._threads)}"
                thread = threading.Thread(target=self._serve, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self._queue.put(work)

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            finally:
                with self._lock:
                    self._waiting -= 1
            del work  # its closure holds the result


def _settle(waiter: asyncio.Future[T], value: object) -> None:
    if not waiter.done():
        waiter.set_result(value)  # type: ignore[arg-type]  # work pairs them


def _settle_failed(waiter: asyncio.Future[T], error: object) -> None:
    if not waiter.done() and isinstance(error, BaseException):
        waiter.set_exception(error)
