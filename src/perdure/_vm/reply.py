"""Reply: one answer from a thread to the task that waits for it.

The task goes on within the call that brings the answer to its event loop. With a future it would
wait for the loop's next round, which costs as much as everything else the loop does for a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar, final

import anyio

from ..worldkit.posting import post

__all__ = ("Reply",)

T = TypeVar("T")


@final
class _Answer(Generic[T]):
    """An awaitable in place of an asyncio future; only the task that made it awaits it."""

    __slots__ = (
        "_asyncio_future_blocking",
        "_error",
        "_is_cancelled",
        "_loop",
        "_message",
        "_value",
        "_wake",
        "is_given",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._wake: tuple[Context, Callable[[Any], object]] | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._message: object = None  # of the cancellation
        self.is_given = False
        self._is_cancelled = False

    def __await__(self) -> Generator[Any, Any, T]:
        self._is_cancelled = False  # whoever was cancelled may wait again
        if not self.is_given:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def set(self, value: T | None, error: BaseException | None) -> None:
        """Answer, and wake the task. In its loop, from outside of any task; once."""
        self._value, self._error, self.is_given = value, error, True
        if self._wake is not None and not self._is_cancelled:  # else it is about to wake
            (context, call), self._wake = self._wake, None
            context.run(call, self)

    def _rouse(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            context, call = wake
            context.run(call, self)

    # --- what asyncio's tasks ask of a future -----------------------------------------------------

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(
        self, call: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        assert context is not None  # as tasks do
        self._wake = context, call
        if self._is_cancelled or self.is_given:  # since a step's first piece awaited it
            self._loop.call_soon(self._rouse)

    def cancel(self, msg: object = None) -> bool:
        if self.is_given or self._is_cancelled:
            return False
        self._is_cancelled, self._message = True, msg
        self._loop.call_soon(self._rouse)  # not now: another task may be running
        return True

    def cancelled(self) -> bool:
        return self._is_cancelled

    def done(self) -> bool:
        return self.is_given or self._is_cancelled

    def result(self) -> T:
        if self._is_cancelled:
            raise asyncio.CancelledError(self._message)  # by which anyio knows its own
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value


@final
class Reply(Generic[T]):
    """One answer from a thread to the task that made this."""

    __slots__ = ("_abandoned", "_answer", "_is_at_work", "_loop")
    _deciding = threading.Lock()  # whether work begins or its waiter leaves first

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: _Answer[T] = _Answer(self._loop)
        self._is_at_work = False
        self._abandoned = False

    def __repr__(self) -> str:
        return f"<Reply {'given' if self._answer.is_given else 'awaited'}>"

    def begin(self) -> bool:
        """Whether somebody still wants the answer; then ``give`` or ``fail`` must follow."""
        with self._deciding:
            self._is_at_work = not self._abandoned
            return self._is_at_work

    def give(self, value: T) -> None:
        """Answer. From any thread, once."""
        post(self._loop, partial(self._answer.set, value, None))

    def fail(self, error: BaseException) -> None:
        """Answer with an error. From any thread, once."""
        post(self._loop, partial(self._answer.set, None, error))

    async def wait(self, cancelled: Callable[[], None] | None = None) -> T:
        """The answer.

        Cancelled after the work has begun, it calls *cancelled* and still waits for the work's end:
        the thread's memory must not be pulled from under it.
        """
        answer = self._answer
        try:
            return await answer
        except asyncio.CancelledError:
            if not answer.cancelled():
                raise  # the work's own
            with self._deciding:
                self._abandoned = True
            if not self._is_at_work:
                raise
            if cancelled is not None:
                cancelled()
            while not answer.is_given:
                with anyio.CancelScope(shield=True):
                    with contextlib.suppress(Exception, asyncio.CancelledError):
                        await answer
            raise
