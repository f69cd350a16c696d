"""Bodies: the async body of a step in a task and a context of its own.

The tasks of a worker run one thing after another, and a body may do anything to the task it runs
in: cancel it, swallow a cancellation, leave a timeout or a cancel scope behind. So it gets one that
ends with it. Its first piece, up to where it first waits, runs at once in the caller's turn, as
with ``asyncio.eager_task_factory`` of Python 3.12: a step that never waits costs 1.7 µs more than
in the caller's task, where a task that the loop begins costs 4 and a round of the loop.
What a body raises is data here; what is raised is the caller's own cancellation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import copy_context
from sys import getrefcount
from typing import Any, Generic, TypeVar, final
from weakref import getweakrefcount

import anyio
from anyio._backends import _asyncio as backend  # for ``_is_shielded`` alone

from .._frozen import frozen
from .log_fields import of_task

__all__ = ("Body", "Raised")

T = TypeVar("T")
_log = logging.getLogger("perdure")
GRACE = 0.5  # seconds that a body has to clean up in when its worker is cancelled
# For whoever extends asyncio: https://docs.python.org/3/library/asyncio-extending.html
_enter = asyncio.tasks._enter_task  # pyright: ignore[reportPrivateUsage] # documented there
_leave = asyncio.tasks._leave_task  # pyright: ignore[reportPrivateUsage] # documented there
LOOK_EVERY = 0.05  # seconds between looks whether it has left a shielded scope


@frozen(kw_only=False)
class Raised:
    """A body ended with this error, of whatever kind."""

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


@final
class Body(Generic[T]):
    """A body, from its first piece to its outcome."""

    __slots__ = ("_context", "_coroutine", "_host", "_outcome", "_waiter", "is_done", "is_left")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._context = copy_context()
        self._outcome: Any = None
        self.is_left = False  # it would not end, and has no outcome
        self._host: _Host | None = None
        self._waiter: asyncio.Future[None] | None = None  # told when it is done
        self.is_done = False

    def __repr__(self) -> str:
        return f"<Body{', done' if self.is_done else ''}>"

    def begin(self, name: str) -> bool:
        """Run the first piece; gives whether that was all, else ``wait`` must follow.

        Args:
            name: the task's.
        """
        loop = asyncio.get_running_loop()
        host = _Host.of(loop)
        task = host.task
        known = getrefcount(task), getweakrefcount(task)
        task.set_name(name)
        caller: Any = asyncio.current_task(loop)
        _leave(loop, caller)
        _enter(loop, task)
        try:
            awaited = self.advance()
        finally:
            _leave(loop, task)
            _enter(loop, caller)
        if not self.is_done:
            self._host = host
            host.carry(self, awaited)
        elif known == (getrefcount(task), getweakrefcount(task)) and host.is_as_new:
            host.offer()
        return self.is_done

    async def wait(self, *, limit: float | None = None) -> None:
        """Return once it is done, or left behind.

        Args:
            limit: seconds after which it was to end by itself; ``GRACE`` later it is cancelled.

        Cancelled, it cancels the body once that is in no shielded scope. One that has not ended
        after ``GRACE`` is left behind, and closed at the next place where it waits.
        """
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            if limit is not None and not await self._is_done_after(limit + GRACE):
                return await self._end()
            await self._waiter
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._end()
            raise

    def outcome(self) -> T | Raised:
        """What came of it. Once: an error refers to this by its traceback."""
        outcome: T | Raised = self._outcome
        self._outcome = None
        return outcome

    async def _is_done_after(self, seconds: float) -> bool:
        assert self._waiter is not None
        await asyncio.wait({self._waiter}, timeout=seconds)
        return self.is_done

    async def _end(self) -> None:
        """Have it end, whatever it does against that."""
        assert self._host is not None
        task = self._host.task
        while _is_shielded(task) and not task.done():
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
        """Run the next piece, in the body's context; gives what it waits for."""
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
            self._outcome = Raised(exc)
        self.is_done = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return None

    def close(self) -> None:
        """Let it end where it waits: its event loop is gone."""
        self._coroutine.close()


@final
class _Host(Coroutine[Any, Any, None]):
    """The coroutine of a task that a body has for its own; raises nothing but ``StopIteration``.

    Until the loop comes to the task, bodies that end in their first piece have it one after
    another, as long as none of them makes it known to anybody. In a fan-out of 500 steps that wait
    for nothing, a task for each cost 8 µs a step, a tenth of all that one takes; this costs 4.
    """

    __slots__ = ("_awaited", "_body", "_loop", "task")
    _spare: _Host | None = None  # of whichever loop offered one last

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._awaited: Any = None  # by the first piece, until the task waits for it
        self._body: Body[Any] | None = None
        self._loop = loop
        self.task: asyncio.Task[None] = asyncio.Task(self, loop=loop)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Host:
        """One whose task is nobody's."""
        spare = cls._spare
        if spare is None or spare._loop is not loop:
            return cls(loop)
        cls._spare = None
        return spare

    def __repr__(self) -> str:
        return f"<Host of {self._body!r}>"

    @property
    def is_as_new(self) -> bool:
        """Whether nobody has asked for the task's end."""
        return not (self.task.cancelling() or getattr(self.task, "_must_cancel", True))

    def offer(self) -> None:
        """Let the next body have the task."""
        _Host._spare = self

    def carry(self, body: Body[Any], awaited: Any) -> None:
        """Have the task go on with a body whose first piece waits for *awaited*."""
        self._body, self._awaited = body, awaited

    # --- what a task asks of its coroutine --------------------------------------------------------

    def send(self, value: None, /) -> Any:
        awaited, self._awaited = self._awaited, None
        return self._handed_on(awaited, None)

    def throw(self, error: Any, /, *_: Any) -> Any:
        awaited, self._awaited = self._awaited, None
        cancel = getattr(awaited, "cancel", None)
        if isinstance(error, asyncio.CancelledError) and cancel is not None and cancel():
            return awaited  # cancelled before the task came to wait for it
        return self._handed_on(None, error)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()

    def __await__(self) -> Any:
        return self

    def _handed_on(self, awaited: Any, error: BaseException | None) -> Any:
        body = self._body
        if body is None:
            if _Host._spare is self:
                _Host._spare = None
            raise StopIteration
        if awaited is None:
            awaited = body.advance(error)
        if body.is_done:
            raise StopIteration
        return awaited
