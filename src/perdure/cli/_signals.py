"""Signals: a first SIGINT or SIGTERM stops in good order, a second one at once.

On Windows those are Ctrl-C and Ctrl-Break: its loops hear no signals, so a handler of the process
calls them.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import anyio
import typer

from ._errors import INTERRUPTED

__all__ = ("stop_on_signal",)

_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")  # of which a system has some


@asynccontextmanager
async def stop_on_signal(
    stop: Callable[[anyio.CancelScope], None], leave: Callable[[], None]
) -> AsyncGenerator[None, None]:
    """Call *stop* with the block's scope at the first signal; leave the process at the second.

    Args:
        leave: tells the fate of the running steps, at the second signal.

    Raises:
        typer.Exit: the block was cancelled by *stop*.
    """
    scope = anyio.CancelScope()
    send, signals = anyio.create_memory_object_stream[None](math.inf)
    with send, signals, _calling(lambda: send.send_nowait(None)):
        async with anyio.create_task_group() as group:
            with scope:
                group.start_soon(_listen, signals, scope, stop, leave)
                yield
            group.cancel_scope.cancel()
    if scope.cancelled_caught:
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _calling(call: Callable[[], None]) -> Generator[None, None, None]:
    """Within the block, have the running loop make this *call* at each signal that says stop."""
    loop = asyncio.get_running_loop()
    with ExitStack() as undo:
        for number in [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]:
            try:
                loop.add_signal_handler(number, call)
                undo.callback(loop.remove_signal_handler, number)
            except NotImplementedError:

                def heard(number: int, frame: object) -> None:
                    loop.call_soon_threadsafe(call)

                undo.callback(signal.signal, number, signal.signal(number, heard))
        yield


async def _listen(
    signals: AsyncIterator[None],
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
