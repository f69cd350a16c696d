"""Listener: waits to be told how a run ended by the worker beside it that carries the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import final

import anyio

from .._model.runs import RunOutcome

__all__ = ("SOON", "Listener", "Patience")

SOON = 0.05  # seconds; a run that ends within this time spares its waiter a look at the store


@final
class Patience:
    """Ends the waits of one event loop that have lasted ``SOON``, by one timer for all of them."""

    __slots__ = ("_timer", "_waiters")

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: dict[asyncio.Future[None], float] = {}  # with the end of each, in order

    def __repr__(self) -> str:
        return f"<Patience of {len(self._waiters)}>"

    def add(self, waiter: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        """Let *waiter* wait no longer than ``SOON``."""
        self._waiters[waiter] = end = loop.time() + SOON
        if self._timer is None:
            self._timer = loop.call_at(end, self._look, loop)

    def remove(self, waiter: asyncio.Future[None]) -> None:
        """It waits no more. Idempotent."""
        self._waiters.pop(waiter, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._waiters:
            waiter, end = next(iter(self._waiters.items()))
            if end > now:
                self._timer = loop.call_at(end, self._look, loop)
                return
            del self._waiters[waiter]
            _wake(waiter)


@final
class Listener:
    """One that waits. Used in one event loop."""

    __slots__ = ("_patience", "_wake", "outcome")

    def __init__(self, patience: Patience) -> None:
        """Have been told nothing.

        Args:
            patience: of the event loop that this is used in.
        """
        self.outcome: RunOutcome | None = None
        self._patience = patience
        self._wake: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Listener {'waiting' if self.outcome is None else self.outcome.status.value}>"

    def tell(self, outcome: RunOutcome | None) -> None:
        """The run has ended so; None: it is not carried here any more."""
        self.outcome = outcome
        if self._wake is not None:
            self._wake()

    async def wait(self, *, seconds: float = SOON) -> None:
        """Return once something was told, or after *seconds*, ``SOON`` at most."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._wake = lambda: _wake(waiter)
        timer = loop.call_later(seconds, _wake, waiter) if seconds < SOON else None
        self._patience.add(waiter, loop)
        try:
            await waiter
        finally:
            self._patience.remove(waiter)
            if timer is not None:
                timer.cancel()
            self._wake = None

    @contextmanager
    def cutting_short(self, scope: anyio.CancelScope) -> Generator[None, None, None]:
        """Cancel *scope* once an outcome is told, within the block."""

        def wake() -> None:
            if self.outcome is not None:
                scope.cancel()

        self._wake = wake
        try:
            yield
        finally:
            self._wake = None


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
