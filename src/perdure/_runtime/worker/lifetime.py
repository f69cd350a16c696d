"""Lifetime: a task group in a task of its own, from its beginning to its end.

The task that begins it and the one that ends it may be two, as those of a test's fixtures or of a
web framework's hooks are, and either may be cancelled: the group ends once, whole, and its failure
is raised to one that waits for its end. Until then a failure is in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from ..._opened import Block, check_here, running_loop
from ...abc import World
from ...errors import UsageError
from ..own_tasks import own_task
from .loop_guard import guarded

__all__ = ("Lifetime", "world_around")

_log = logging.getLogger("perdure")
# Of the task it is asked in: a step must not wait for the end of its own worker.
_around: ContextVar[Lifetime | None] = ContextVar("perdure_lifetime", default=None)


def world_around() -> tuple[World, asyncio.AbstractEventLoop]:
    """The world and the event loop of the worker whose step is running here.

    Raises:
        UsageError: none is.
    """
    lifetime = _around.get()
    if lifetime is None or lifetime.loop is None:
        raise UsageError("no worker runs this")
    return lifetime.world, lifetime.loop


def is_around(world: World) -> bool:
    """Whether the worker whose step is running here works for *world*."""
    lifetime = _around.get()
    return lifetime is not None and lifetime.world is world


@final
class Lifetime:
    """One task group of a worker. Used in one event loop."""

    def __init__(self, world: World) -> None:
        """Begin nothing yet.

        Args:
            world: the worker's, which calls in the group go to by default.
        """
        self.world = world
        self._name = f"the worker of {world.url}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._group: TaskGroup | None = None
        self._context = Context()  # the group's
        self._host: asyncio.Task[Any] | None = None  # is cancelled when the group fails
        self._interrupted = False  # which has happened
        self._closed = False
        self._cancelled = False
        self._waiting = 0  # for the end
        self._failure: BaseException | None = None  # that nobody was told by an exception

    def __repr__(self) -> str:
        state = "not begun" if self._task is None else "over" if self._task.done() else "on"
        return f"<Lifetime of {self._name}, {state}>"

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """Where it began; None: nowhere yet."""
        return self._loop

    async def begin(
        self,
        work: Callable[[TaskGroup], Awaitable[None]],
        tidy: Callable[[], Awaitable[None]],
        *,
        prepare: Callable[[], object],
        in_block: bool,
    ) -> None:
        """Begin the group; cancelled, it has ended. Once.

        Args:
            prepare: called first, in a thread.
            work: run in the group, as far as it comes at once before this returns.
            tidy: run once the group has ended, however that came.
            in_block: the running task is in a block that lasts as long; it is cancelled if the
                group fails before.

        Raises:
            UsageError: it has begun or ended before, the world is open in another event loop, or
                no asyncio event loop runs here.
        """
        loop = running_loop()
        if self._loop is not None:
            raise self._used("closed" if self._closed else "started")
        self._check_not_closed()
        check_here(self.world)
        self._loop = loop
        await anyio.to_thread.run_sync(prepare)
        self._check_not_closed()  # meanwhile
        self._host = asyncio.current_task() if in_block else None
        ready: asyncio.Future[None] = loop.create_future()
        context = copy_context()
        context.run(Block, self.world)
        context.run(_around.set, self)
        living = self._live(work, tidy, ready)
        self._task = task = own_task(loop, living, name=self._name, context=context)
        self._context = context
        task.add_done_callback(lambda _: self._ended(task, ready))
        try:
            await ready
        except BaseException:
            self._host, self._cancelled = None, True
            task.cancel()
            await self._outlast(task)
            raise

    def _check_not_closed(self) -> None:
        if self._closed:
            raise self._used("closed")

    def _used(self, before: str) -> UsageError:
        return UsageError(f"{self._name} was {before} before, and works once; make another Worker")

    def close(self) -> None:
        """It may not begin any more, and is about to be ended. Idempotent.

        Raises:
            UsageError: it would wait for itself, or it began in another event loop.
        """
        if _around.get() is self:
            raise UsageError(
                "a step cannot close the worker that runs it, which would wait for itself; call "
                "drain(), or close it in a task that no step has made"
            )
        here, loop = running_loop(), self._loop
        if loop is not None and loop is not here and not loop.is_closed():
            raise UsageError(
                f"{self._name} was started in another event loop; close it there: "
                f"asyncio.run_coroutine_threadsafe(worker.aclose(), loop)"
            )
        self._closed = True

    def cancel(self) -> None:
        """Cancel all tasks of the group. Idempotent."""
        self._cancelled = True
        if self._group is not None:
            self.run(self._group.cancel_scope.cancel)

    def run(self, call: Callable[[], None]) -> None:
        """Call it in the group's context, not in the caller's: a step cancels none of it."""
        self._context.copy().run(call)

    async def wait(self) -> None:
        """Return once it has ended; cancelled, it is cancelled, and has ended when this raises.

        Raises:
            BaseExceptionGroup: its failures, to the first that waits.
            UsageError: its tasks were cancelled from outside.
        """
        await self._wait()
        failure, self._failure = self._failure, None
        is_over = self._loop is not None and self._loop.is_closed()  # which has cancelled all
        if failure is not None and not is_over:
            raise failure

    async def leave(self, error: BaseException | None) -> None:
        """The same for the block around it, which ends with *error*.

        Raises:
            BaseExceptionGroup: its failures, and the block's error beside them, if it has one.
        """
        host, self._host = self._host, None
        if self._interrupted and host is not None and asyncio.current_task() is host:
            host.uncancel()
            if error is None:  # the cancellation may be still on its way
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
        if error is not None:
            self.cancel()
        await self._wait()
        failure, self._failure = self._failure, None
        if failure is None:
            return
        if error is None or isinstance(error, asyncio.CancelledError):
            raise failure
        raise BaseExceptionGroup("a block and its worker failed", [error, failure])

    async def _live(
        self,
        work: Callable[[TaskGroup], Awaitable[None]],
        tidy: Callable[[], Awaitable[None]],
        ready: asyncio.Future[None],
    ) -> None:
        try:
            with guarded(asyncio.get_running_loop()):
                async with anyio.create_task_group() as self._group:
                    if not ready.done():  # else nobody waits for it any more
                        ready.set_result(None)
                    await work(self._group)
        finally:
            with anyio.CancelScope(shield=True):
                await tidy()
        if self._group.cancel_scope.cancel_called and not self._is_asked:
            raise _from_outside()

    @property
    def _is_asked(self) -> bool:
        """Whether it was to end."""
        return self._closed or self._cancelled

    def _ended(self, task: asyncio.Task[None], ready: asyncio.Future[None]) -> None:
        ready.cancel()
        if not task.cancelled():
            error = task.exception()
        else:
            error = None if self._is_asked else _from_outside()
        if error is None:
            return
        self._failure = error
        if self._waiting:
            return
        self._tell(error)
        if self._host is not None and not self._host.done():
            self._interrupted = True
            self._host.cancel()

    async def _wait(self) -> None:
        task = self._task
        if task is None or task.done() or task.get_loop().is_closed():
            return
        self._waiting += 1
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            self.cancel()
            await self._outlast(task)
            if self._failure is not None:
                self._tell(self._failure)
            raise
        finally:
            self._waiting -= 1

    def _tell(self, error: BaseException) -> None:
        _log.error(
            "%s has stopped and does nothing more: mend what is told here, and start another",
            self._name,
            exc_info=error,
        )

    async def _outlast(self, task: asyncio.Task[None]) -> None:
        """Return once it has ended, also if the running task is cancelled meanwhile."""
        while not task.done():
            with suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
                await asyncio.wait({task})


def _from_outside() -> UsageError:
    return UsageError(
        "a task of the worker was cancelled from outside, so it has ended; its runs go on in"
        " another worker. Cancel your own tasks, not all of asyncio.all_tasks(), and close a worker"
        " before its event loop ends: await worker.aclose()"
    )
