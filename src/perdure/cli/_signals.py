"""Signals: a first SIGINT or SIGTERM stops in good order, a second one at once."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import typer

from ._errors import INTERRUPTED

__all__ = ("stop_on_signal",)


@asynccontextmanager
async def stop_on_signal(
    stop: Callable[[anyio.CancelScope], None], leave: Callable[[], None]
) -> AsyncGenerator[None, None]:
    """Call *stop* with the block's scope at the first signal; leave the process at the second.

    Args:
        leave: says what becomes of what is running, at the second signal.

    Raises:
        typer.Exit: the block was cancelled by *stop*.
    """
    scope = anyio.CancelScope()
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as group:
            with scope:
                group.start_soon(_listen, signals, scope, stop, leave)
                yield
            group.cancel_scope.cancel()
    if scope.cancelled_caught:
        raise typer.Exit(INTERRUPTED)


async def _listen(
    signals: AsyncIterator[signal.Signals],
    scope: anyio.CancelScope,
    stop: Callable[[anyio.CancelScope], None],
    leave: Callable[[], None],
) -> None:
    stopped = False
    async for _ in signals:
        if stopped:
            leave()
            os._exit(INTERRUPTED)  # a step in a thread cannot be stopped otherwise
        stopped = True
        stop(scope)
