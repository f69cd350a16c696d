"""Containment: which exceptions end the worker they turn up in.

Its own cancellation does, and what a signal raises. Nothing else that comes out of a step, a turn
or a call of the world: that is told, and the worker goes on.
"""

from __future__ import annotations

import asyncio
import math

import anyio

__all__ = ("ends_worker",)


def ends_worker(error: BaseException) -> bool:
    """Whether *error*, just caught in a task of a worker, is to be raised again."""
    if isinstance(error, asyncio.CancelledError):
        return _is_cancelled()  # else somebody let one of his own out
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0 or anyio.current_effective_deadline() == -math.inf
