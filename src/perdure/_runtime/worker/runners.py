"""Runners: tasks that run one piece of work after another.

A run takes a few pieces, and a task for each would cost as much as the work itself: one that is
done waits for the next. Each piece begins in the context of the worker, not of the caller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context
from typing import TypeAlias, final

from anyio.abc import TaskGroup

from ..containment import ends_worker
from ..own_tasks import start_own

__all__ = ("Runners", "Work")

Work: TypeAlias = "Coroutine[object, object, None]"
MAX_IDLE = 64
_log = logging.getLogger("perdure")


@final
class Runners:
    """Tasks of one group. Used in its event loop."""

    def __init__(self, group: TaskGroup, context: Context) -> None:
        """Make none yet.

        Args:
            context: the context they run in; each has a copy.
        """
        self._group = group
        self._context = context
        self._idle: list[asyncio.Future[Work | None]] = []  # of those that wait for a work
        self._closed = False
        self._unbegun: set[Work] = set()  # handed to tasks that have not begun either

    def __repr__(self) -> str:
        return f"<Runners {len(self._idle)} idle>"

    def run(self, work: Work) -> None:
        """Run *work*; its error is logged, and ends the group only if it ends the worker."""
        while self._idle:
            waiter = self._idle.pop()
            if not waiter.done():  # it was cancelled, and has not noticed yet
                waiter.set_result(work)
                return
        self._unbegun.add(work)
        self._context.run(start_own, self._group, self._serve, work)

    def close(self) -> None:
        """End those that are idle, and others when they are done. Idempotent."""
        self._closed = True
        idle, self._idle = self._idle, []
        for waiter in idle:
            if not waiter.done():
                waiter.set_result(None)

    def abandon(self) -> None:
        """Close the work whose tasks were cancelled before they began. After the group's end."""
        unbegun, self._unbegun = self._unbegun, set()
        for work in unbegun:
            work.close()

    async def _serve(self, work: Work) -> None:
        self._unbegun.discard(work)
        next_work: Work | None = work
        while next_work is not None:
            try:
                await next_work
            except BaseException as exc:
                if ends_worker(exc):
                    raise
                _log.error("%s failed; the worker goes on", next_work, exc_info=exc)
            if self._closed or len(self._idle) == MAX_IDLE:
                return
            next_work = await self._wait()

    async def _wait(self) -> Work | None:
        waiter: asyncio.Future[Work | None] = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._idle:
                self._idle.remove(waiter)
            if not waiter.cancelled() and (work := waiter.result()) is not None:
                work.close()  # it was handed over and has not begun
            raise
