"""Bodies: the async body of a step in a task and a context of its own.

The tasks of a worker run one thing after another, and a body may do anything to the task it runs
in: cancel it, swallow a cancellation, leave a timeout or a cancel scope behind. So it gets one that
ends with it. Its first piece, up to where it first waits, runs at once in the caller's turn, as
with ``asyncio.eager_task_factory`` of Python 3.12. A task that the loop begins costs 4 µs and a
round of the loop; so a body that never waits leaves its task to the next one.
A body's error is data here; only the caller's own cancellation is raised.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Coroutine
from contextvars import copy_context
from sys import getrefcount
from typing import Any, Generic, TypeVar, final
from weakref import getweakrefcount

import anyio
from anyio._backends import _asyncio as backend  # for ``_is_shielded`` alone

from ..._value_class import value_class
from ..containment import is_interrupt
from ..log_fields import of_task

__all__ = ("Body", "Hosts", "Raised")

T = TypeVar("T")
_log = logging.getLogger("perdure")
GRACE = 0.5  # seconds that a body has to clean up in when its worker is cancelled
# For whoever extends asyncio: https://docs.python.org/3/library/asyncio-extending.html
_enter = asyncio.tasks._enter_task  # pyright: ignore[reportPrivateUsage] # documented there
_leave = asyncio.tasks._leave_task  # pyright: ignore[reportPrivateUsage] # documented there
IDLE = "perdure: the next step's body"  # a task that has none
LOOK_EVERY = 0.05  # seconds between looks whether it has left a shielded scope
SHIELDED = 5.0  # seconds that a shielded scope may last once its worker is cancelled


@value_class(kw_only=False)
class Raised:
    """A body ended with this error, of any kind."""

    error: BaseException


def _is_shielded(task: asyncio.Task[None]) -> bool:
    """Whether the task is in a shielded scope of anyio's, which does not tell publicly.

    ``tests/runtime/test_bodies.py`` fails when a release of anyio moves it.
    """
    states: Any = getattr(backend, "_task_states", {})
    scope: Any = getattr(states.get(task), "cancel_scope", None)
    while scope is not None and not scope.shield:
        scope = getattr(scope, "_parent_scope", None)
    return scope is not None


def _is_as_new(task: asyncio.Task[None]) -> bool:
    """Whether the task goes on, and nobody has asked for its end."""
    return not (task.cancelling() or getattr(task, "_must_cancel", True) or task.done())


def _leave_all(loop: asyncio.AbstractEventLoop) -> None:
    """Have *loop* in no task, also if a body has changed that."""
    task: Any = asyncio.current_task(loop)
    if task is not None:
        _leave(loop, task)


@final
class Body(Generic[T]):
    """A body, from its first piece to its outcome."""

    __slots__ = ("_context", "_coroutine", "_outcome", "_task", "_waiter", "is_done", "is_left")

    def __init__(self, coroutine: Coroutine[object, object, T]) -> None:
        self._coroutine = coroutine
        self._context = copy_context()
        self._outcome: Any = None
        self.is_left = False  # it would not end, and has no outcome
        self._task: asyncio.Task[None] | None = None  # from the first wait to the outcome
        self._waiter: asyncio.Future[None] | None = None  # told when it is done
        self.is_done = False

    def __repr__(self) -> str:
        return f"<Body{', done' if self.is_done else ''}>"

    def begin(self, name: str, hosts: Hosts) -> bool:
        """Run the first piece. Returns whether that was all; else ``wait`` must follow.

        Args:
            name: the task's.
            hosts: which has tasks for it, of the running loop.
        """
        loop, (host, task) = hosts.loop, hosts.take()
        counts = getrefcount(task), getweakrefcount(task)
        task.set_name(name)
        caller: Any = asyncio.current_task(loop)
        _leave(loop, caller)
        _enter(loop, task)
        try:
            awaited = self.advance()
        finally:
            try:
                _leave(loop, task)
            except RuntimeError:  # it left by itself
                _leave_all(loop)
            _enter(loop, caller)
        if not self.is_done:
            self._task = task
            host.carry(self, awaited)
        elif counts == (getrefcount(task), getweakrefcount(task)):
            hosts.offer(host, task)
        else:
            host.end()
        return self.is_done

    async def wait(self, *, limit: float | None = None) -> None:
        """Return once it is done, or left behind.

        Args:
            limit: seconds after which it was to end by itself; ``GRACE`` later it is cancelled.

        Cancelled, it cancels the body once that is in no shielded scope, or after ``SHIELDED``. One
        that has not ended after ``GRACE`` is left behind, and closed at the next place where it
        waits.
        """
        if self.is_done:
            return
        assert self._task is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._task.add_done_callback(self._end_with)
        try:
            if limit is not None and not await self._is_done_after(limit + GRACE):
                await self._end()
                return
            await self._waiter
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._end(shielded=SHIELDED)
            raise

    def outcome(self) -> T | Raised:
        """The outcome. Once: an error refers to this by its traceback."""
        outcome: T | Raised = self._outcome
        self._outcome = self._task = None  # which refers to this
        return outcome

    async def _is_done_after(self, seconds: float) -> bool:
        assert self._waiter is not None
        await asyncio.wait({self._waiter}, timeout=seconds)
        return self.is_done

    async def _end(self, *, shielded: float = math.inf) -> None:
        """Have it end, also against its resistance.

        Args:
            shielded: seconds that a shielded scope is waited for.
        """
        task, until = self._task, time.monotonic() + shielded
        assert task is not None
        while _is_shielded(task) and not task.done() and time.monotonic() < until:
            await asyncio.wait({task}, timeout=LOOK_EVERY)
        task.cancel()
        if not (await asyncio.wait({task}, timeout=GRACE))[0]:
            _log.warning(
                "%s swallows its cancellation; it is left behind",
                task.get_name(),
                extra=of_task(task.get_name()),
            )
            self.is_left = True  # nobody asks for its outcome
            task.cancel()

    def advance(self, error: BaseException | None = None) -> Any:
        """Run the next piece, in the body's context. Returns the future that it waits for."""
        try:
            if self.is_left:
                self._coroutine.close()
                raise StopIteration
            if error is None:
                return self._context.run(self._coroutine.send, None)
            return self._context.run(self._coroutine.throw, error)
        except StopIteration as stop:
            self._outcome = stop.value
        except BaseException as exc:  # of whatever kind: data
            if is_interrupt(exc):
                raise
            self._outcome = Raised(exc)
        self._tell_done()
        return None

    def cancel(self) -> None:
        """Cancel it; nobody asks for its outcome."""
        self.is_left = True
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Let it end where it waits: its event loop is gone, or somebody ends it from outside.

        Raises:
            ValueError: it is running.
        """
        if getattr(self._coroutine, "cr_running", False):
            raise ValueError("the step is running, and ends by itself")
        error: BaseException = RuntimeError("the coroutine of the step was closed")
        try:
            self._coroutine.close()
        except BaseException as exc:  # data, too
            error = exc
        if not self.is_done:
            self._outcome = Raised(error)
            self._tell_done()

    def end_task(self) -> None:
        """It is closed, and its task waits for a piece that comes no more."""
        if self._task is not None:
            self._task.cancel()

    def _tell_done(self) -> None:
        self.is_done = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end_with(self, _: asyncio.Task[None]) -> None:
        """Its task has ended: nobody would run it on."""
        if not self.is_done:
            self.close()


@final
class Hosts:
    """Tasks for the bodies of one event loop. ``close`` it when no body runs.

    A body that ends in its first piece, and makes its task known to nobody, leaves it to the next
    one. So a step that waits for nothing needs no task of its own, and no round of the loop.
    """

    __slots__ = ("_spare", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._spare: tuple[_Host, asyncio.Task[None]] | None = None

    def __repr__(self) -> str:
        return f"<Hosts, {'none' if self._spare is None else 'one'} to spare>"

    def take(self) -> tuple[_Host, asyncio.Task[None]]:
        """One that no body has, and its task, which is nobody's."""
        spare, self._spare = self._spare, None
        if spare is not None:
            if _is_as_new(spare[1]):
                return spare
            spare[0].end()
        host = _Host(self.loop)
        return host, asyncio.Task(host, loop=self.loop)

    def offer(self, host: _Host, task: asyncio.Task[None]) -> None:
        """Let the next body have these, unless somebody asks for the task's end meanwhile."""
        if self._spare is not None:
            host.end()
            return
        task.set_name(IDLE)
        self._spare = host, task

    def close(self) -> None:
        """Let the task end that no body has. Idempotent."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare[0].end()


@final
class _Host(Coroutine[object, None, None]):
    """The coroutine of a task that a body has for its own; raises nothing but ``StopIteration``.

    A task is made for a body, and begins with the loop's next round. If it has no body by then it
    waits for one. It does not refer to its task, which refers to it for good.
    """

    __slots__ = ("_awaited", "_body", "_is_over", "_loop", "_parked")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._awaited: Any = None  # by the first piece, until the task waits for it
        self._body: Body[Any] | None = None
        self._is_over = False  # no body comes any more
        self._loop = loop
        self._parked: asyncio.Future[None] | None = None  # what the task waits for meanwhile

    def __repr__(self) -> str:
        return f"<Host of {self._body!r}>"

    def carry(self, body: Body[Any], awaited: Any) -> None:
        """Have the task go on with a body whose first piece waits for *awaited*."""
        self._body, self._awaited = body, awaited
        self._wake()

    def end(self) -> None:
        """Let the task end, which no body has."""
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(None)

    # --- what a task asks of its coroutine --------------------------------------------------------

    def send(self, value: None, /) -> Any:
        awaited, self._awaited = self._awaited, None
        return self._handed_on(awaited, None)

    def throw(self, error: Any, /, *_: Any) -> Any:
        awaited, self._awaited = self._awaited, None
        cancel = getattr(awaited, "cancel", None)
        if issubclass(type(error), asyncio.CancelledError) and cancel is not None and cancel():
            return awaited  # cancelled before the task came to wait for it
        return self._handed_on(None, error)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            if not self._loop.is_closed():
                self._body.end_task()

    def __await__(self) -> Any:
        return self

    def _handed_on(self, awaited: Any, error: BaseException | None) -> Any:
        body = self._body
        if body is None:
            if self._is_over or error is not None:
                raise StopIteration
            return self._park()
        if awaited is None and not body.is_done:
            awaited = body.advance(error)
        if body.is_done:
            raise StopIteration
        return awaited

    def _park(self) -> asyncio.Future[None]:
        """Wait for a body, as ``await`` would."""
        self._parked = parked = self._loop.create_future()
        parked._asyncio_future_blocking = True
        return parked
