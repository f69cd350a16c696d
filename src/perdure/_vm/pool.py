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
from typing import Generic, TypeVar, final

import anyio

from ..errors import UsageError
from ..posting import post

__all__ = ("Reply", "VmPool")

T = TypeVar("T")
DEFAULT_MAX_THREADS = 4


@final
class Reply(Generic[T]):
    """One answer from a thread to the task that made this."""

    __slots__ = ("_abandoned", "_begun", "_loop", "_waiter")
    _deciding = threading.Lock()  # whether work begins or its waiter leaves first

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[T] = self._loop.create_future()
        self._begun = False
        self._abandoned = False

    def __repr__(self) -> str:
        return f"<Reply {'given' if self._waiter.done() else 'awaited'}>"

    def begin(self) -> bool:
        """Whether somebody still wants the answer; then ``give`` or ``fail`` must follow."""
        with self._deciding:
            self._begun = not self._abandoned
            return self._begun

    def give(self, value: T) -> None:
        """Answer. From any thread, once."""
        self._post(lambda waiter: waiter.set_result(value))

    def fail(self, error: BaseException) -> None:
        """Answer with an error. From any thread, once."""
        self._post(lambda waiter: waiter.set_exception(error))

    async def wait(self, cancelled: Callable[[], None] | None = None) -> T:
        """The answer.

        Cancelled after the work has begun, it calls *cancelled* and still waits for the work's end:
        what the thread works on must not be pulled from under it.
        """
        try:
            return await self._waiter
        except asyncio.CancelledError:
            if not self._waiter.cancelled():
                raise
            with self._deciding:
                self._abandoned = True
            if not self._begun:
                raise
            self._waiter = self._loop.create_future()
            if cancelled is not None:
                cancelled()
            with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
                await self._waiter
            raise

    def _post(self, settle: Callable[[asyncio.Future[T]], None]) -> None:
        post(self._loop, lambda: settle(self._waiter))


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
            threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def hand_over(self, work: Callable[[], None]) -> None:
        """Run *work*, which must not raise, in a thread of the pool.

        Raises:
            UsageError: the pool was closed.
        """
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
