"""Listener: waits to be told how a run ended by the worker beside it that carries the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import final

import anyio

from .._model.runs import RunOutcome

__all__ = ("Listener",)


@final
class Listener:
    """One that waits. Used in one event loop."""

    __slots__ = ("_wake", "outcome")

    def __init__(self) -> None:
        self.outcome: RunOutcome | None = None
        self._wake: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Listener {'waiting' if self.outcome is None else self.outcome.status.value}>"

    def tell(self, outcome: RunOutcome | None) -> None:
        """The run has ended so; None: it is not carried here any more."""
        self.outcome = outcome
        if self._wake is not None:
            self._wake()

    async def wait(self, *, seconds: float) -> None:
        """Return once something was told, or after *seconds*."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        self._wake = wake
        timer = loop.call_later(seconds, wake)
        try:
            await waiter
        finally:
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
