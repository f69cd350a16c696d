"""Waiting: how a world's methods that wait for something wait, for world authors.

A writer that changes the store rings a bell by name. A waiting call looks at the store, and looks
again after each ring. A store that other processes write to is also looked at every now and then. A
caller that heeds an ``Ending``, as a draining worker does, can end its wait; nothing else is cut
short.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import TypeVar, final

import anyio

from .._ending import Ending as Ending, ends_waiting as ends_waiting
from .._opened import elsewhere_text, running_loop
from .._value_class import record_class
from ..errors import UsageError
from .clock import Bell, Clock

__all__ = ("Bells", "Ending", "Home", "Look", "ends_waiting", "run_to_end")

T = TypeVar("T")


@final
class Home:
    """The event loop that a world was opened in, which alone may use it.

    Args:
        url: the world's, without secrets.
    """

    __slots__ = ("_loop", "_url")

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop: asyncio.AbstractEventLoop | None = None  # until it is opened

    def __repr__(self) -> str:
        return f"<Home of {self._url}>"

    @property
    def is_gone(self) -> bool:
        """Whether that loop is closed: nothing in it can be waited for."""
        return self._loop is not None and self._loop.is_closed()

    def enter(self) -> None:
        """The world is opened in the running loop.

        Raises:
            UsageError: no asyncio event loop runs here.
        """
        self._loop = running_loop()

    def check(self) -> None:
        """Pass in that loop, and before the world is opened.

        Raises:
            UsageError: another loop runs here, or none.
        """
        try:
            if self._loop is None or asyncio.get_running_loop() is self._loop:
                return
        except RuntimeError:
            running_loop()  # which says so
        raise UsageError(elsewhere_text(self._url, is_over=self.is_gone))


async def run_to_end(work: Coroutine[object, object, T]) -> T:
    """The result of *work*, in a task of its own that nothing cuts short.

    A cancellation of the caller, be it asyncio's or of a scope of anyio's, is raised once *work*
    has ended. For closing a store: half of that would leave threads and locks behind.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            with anyio.CancelScope(shield=True):
                await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled
    return task.result()


@record_class(kw_only=False)
class Look:
    """One look at the store by something that waits for it to change."""

    next_due_ms: int | None = None  # when another look is worth while, for the waiter to say


@final
class Bells:
    """Bells by name, there while somebody listens."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bells: dict[str, tuple[Bell, int]] = {}

    def __repr__(self) -> str:
        return f"<Bells {sorted(self._bells)}>"

    def ring(self, *names: str) -> None:
        """Wake the listeners of the bells of these *names*. From any thread; never blocks."""
        for name in names:
            entry = self._bells.get(name)
            if entry is not None:
                entry[0].ring()

    def ring_all(self) -> None:
        """Wake everybody."""
        self.ring(*set(self._bells))

    async def looks(
        self,
        bell: str,
        wait_ms: int,
        *,
        check: Callable[[], object],
        poll_s: Callable[[], float] | None = None,
    ) -> AsyncIterator[Look]:
        """Yield once, then again whenever *bell* rang, until *wait_ms* have passed.

        Or until the caller's ``Ending`` has come. By the world's clock, or by the machine's if
        that is sooner: a clock that stands still must not hang its callers.

        Args:
            check: raises ``WorldClosedError`` once the world is closed.
            poll_s: asked before each pause, after how many seconds to look without a ring.
        """
        until_ms = self._clock.now_ms() + wait_ms
        until = anyio.current_time() + wait_ms / 1000
        with self._held(bell) as ringer, ends_waiting(ringer) as has_ended:
            while True:
                rings, look = ringer.rings, Look()
                yield look
                rest = until - anyio.current_time()
                if rest <= 0 or self._clock.now_ms() >= until_ms or has_ended():
                    return
                due_ms = look.next_due_ms
                wake_ms = until_ms if due_ms is None else min(until_ms, due_ms)
                pause = rest if poll_s is None else min(rest, poll_s())
                with anyio.move_on_after(pause):
                    await ringer.wait(rings, clock=self._clock, until_ms=wake_ms)
                check()
                if has_ended():
                    return

    @contextlib.contextmanager
    def _held(self, name: str) -> Generator[Bell, None, None]:
        """The bell, kept until the block ends."""
        with self._lock:
            bell, holders = self._bells.get(name, (None, 0))
            bell = bell or Bell()
            self._bells[name] = bell, holders + 1
        try:
            yield bell
        finally:
            with self._lock:
                bell, holders = self._bells[name]
                if holders == 1:
                    del self._bells[name]
                else:
                    self._bells[name] = bell, holders - 1
