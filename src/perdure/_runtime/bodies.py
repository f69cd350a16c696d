"""Bodies: the async body of a step in a task and a context of its own.

The tasks of a worker run one thing after another, and a body may do anything to the task it runs
in: cancel it, swallow a cancellation, leave a timeout or a cancel scope behind. So it gets one that
ends with it. Its first piece, up to where it first waits, runs at once in the caller's turn, as
with ``asyncio.eager_task_factory`` of Python 3.12: a body that never waits costs 2 µs more than in
the caller's task, where a task that the loop begins costs 4 and a round of the loop.
What a body raises is data here; what is raised is the caller's own cancellation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, Generic, TypeVar, final

import anyio
from anyio._backends import _asyncio as backend  # for ``_is_shielded`` alone

from .._frozen import frozen

__all__ = ("Raised", "await_body")

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


async def await_body(body: Coroutine[Any, Any, T], *, name: str) -> T | Raised:
    """Await *body* in a task of its own.

    Cancelled, it cancels the body once that is in no shielded scope. One that has not ended after
    ``GRACE`` is left behind, and closed at the next place where it waits.

    Args:
        name: the task's.
    """
    running = _Running(body, name)
    task = running.begin()
    if not running.is_done:
        await _wait(running, task)
    return running.outcome()


async def _wait(running: _Running[Any], task: asyncio.Task[None]) -> None:
    running.waiter = waiter = asyncio.get_running_loop().create_future()
    try:
        await waiter
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await _end(running, task)
        raise


async def _end(running: _Running[Any], task: asyncio.Task[None]) -> None:
    """Have a body end, whatever it does against that."""
    while _is_shielded(task) and not task.done():
        await asyncio.wait({task}, timeout=LOOK_EVERY)
    task.cancel()
    if not (await asyncio.wait({task}, timeout=GRACE))[0]:
        _log.warning("%s swallows its cancellation; it is left behind", task.get_name())
        running.leave()
        task.cancel()


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
class _Running(Coroutine[Any, Any, None], Generic[T]):
    """A body under way, as the coroutine of its task; raises nothing but ``StopIteration``."""

    __slots__ = ("_awaited", "_body", "_is_left", "_name", "_outcome", "is_done", "waiter")

    def __init__(self, body: Coroutine[Any, Any, T], name: str) -> None:
        self._body = body
        self._name = name
        self._awaited: Any = None  # by the first piece, until the task waits for it
        self._outcome: Any = None
        self._is_left = False
        self.is_done = False
        self.waiter: asyncio.Future[None] | None = None  # told when it is done

    def __repr__(self) -> str:
        return f"<Running {self._name}{', done' if self.is_done else ''}>"

    def begin(self) -> asyncio.Task[None]:
        """Run the first piece, as the task that goes on with the others."""
        context, loop = copy_context(), asyncio.get_running_loop()
        task = asyncio.Task(self, loop=loop, name=self._name, context=context)
        caller: Any = asyncio.current_task(loop)
        _leave(loop, caller)
        _enter(loop, task)
        try:
            self._awaited = context.run(self._advance)
        finally:
            _leave(loop, task)
            _enter(loop, caller)
        return task

    def outcome(self) -> T | Raised:
        """What came of it. Once: an error refers to this by its traceback."""
        outcome: T | Raised = self._outcome
        self._outcome = None
        return outcome

    def leave(self) -> None:
        """Close the body where it waits next: nobody asks for its outcome."""
        self._is_left = True

    # --- what a task asks of its coroutine --------------------------------------------------------

    def send(self, value: None, /) -> Any:
        awaited, self._awaited = self._awaited, None
        if awaited is None and not self.is_done:
            awaited = self._advance()
        return self._handed_on(awaited)

    def throw(self, error: Any, /, *_: Any) -> Any:
        awaited, self._awaited = self._awaited, None
        if awaited is not None and self._is_cancelled_with(awaited, error):
            return awaited
        return self._handed_on(None if self.is_done else self._advance(error))

    def close(self) -> None:
        self._body.close()

    def __await__(self) -> Any:
        return self

    def _is_cancelled_with(self, awaited: Any, error: object) -> bool:
        """Whether a cancellation that came before the task waited is that of what it waits for."""
        cancel = getattr(awaited, "cancel", None)
        return isinstance(error, asyncio.CancelledError) and cancel is not None and bool(cancel())

    def _handed_on(self, awaited: Any) -> Any:
        if self.is_done:
            raise StopIteration
        return awaited

    def _advance(self, error: BaseException | None = None) -> Any:
        """Run the next piece; gives what it waits for."""
        try:
            if self._is_left:
                self._body.close()
                raise StopIteration
            return self._body.send(None) if error is None else self._body.throw(error)
        except StopIteration as stop:
            self._outcome = stop.value
        except BaseException as exc:  # of whatever kind: data
            self._outcome = Raised(exc)
        self.is_done = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
        return None
