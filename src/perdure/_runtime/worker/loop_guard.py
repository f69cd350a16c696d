"""Loop guard: no task or callback of a step ends the event loop.

asyncio lets ``SystemExit`` and ``KeyboardInterrupt`` of any task or callback out of its loop, and
anything in it may stop the loop: with that all that runs there would end, for one step. A loop
runs due callbacks in rounds, each in a context: a copy of the one in which it was asked for. So
callbacks of a step are told by the variable that its body has set. The guard stands around the
round, once each and not around each callback: 0.1 µs. A callback is out of the queue before it is
run, so the next round goes on behind it; a task has the exception by then, for those that await it.

Only loops of asyncio's own have rounds. In others (uvloop) a task factory has the tasks of steps
hold such an exception back (``Contained``), and a callback that raises it ends the loop still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, final

from ...errors import UsageError
from ..contained import Contained, step_in, tell_of
from ..containment import is_interrupt, traceback_of
from ..metadata import StepMetadata, entered

__all__ = ("guarded",)

_ROUND = "_run_once"
_RUN = asyncio.Handle._run.__code__  # what runs a callback
_REFUSED = ("stop", "shutdown_asyncgens", "shutdown_default_executor")


@contextmanager
def guarded(loop: asyncio.AbstractEventLoop) -> Generator[None, None, None]:
    """Within the block no step ends *loop*. For any number of workers at a time."""
    guard = _Guard.of(loop)
    guard.enter()
    try:
        yield
    finally:
        guard.leave()


@final
class _Guard:
    """Stands in for a few methods of one loop, while somebody asks for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._depth = 0
        self._methods: dict[str, object] = {}  # that stand in for the loop's own, by name
        self._run_once: Callable[[], None] = getattr(loop, _ROUND, _nothing)
        self._make_task: Any = None  # the application's factory

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Guard:
        """The one of *loop*."""
        guard = getattr(getattr(loop, _REFUSED[0], None), "guard", None)
        return guard if isinstance(guard, _Guard) else cls(loop)

    def __repr__(self) -> str:
        return f"<Guard of {self._loop!r} for {self._depth}>"

    def enter(self) -> None:
        """One more asks for it."""
        self._depth += 1
        if self._depth > 1:
            return
        if hasattr(self._loop, _ROUND):
            self._set(_ROUND, self.run_once)
        else:
            self._make_task = self._loop.get_task_factory()
            make_task: Any = self.make_task  # whose types none of the releases agrees on
            self._loop.set_task_factory(make_task)
        for name in _REFUSED:
            self._set(name, _Refusal(self, name, getattr(self._loop, name)))

    def leave(self) -> None:
        """One less."""
        self._depth -= 1
        if self._depth:
            return
        for name, method in self._methods.items():
            if vars(self._loop).get(name) is method:
                delattr(self._loop, name)
        self._methods.clear()
        if self._loop.get_task_factory() == self.make_task:  # else somebody has replaced it
            self._loop.set_task_factory(self._make_task)

    def make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **named: Any
    ) -> asyncio.Future[Any]:
        """The task factory of a loop without rounds."""
        context: Context | None = named.get("context")
        if entered.get(None) is not None if context is None else entered in context:
            coroutine = Contained(coroutine)
        if self._make_task is not None:
            task: asyncio.Future[Any] = self._make_task(loop, coroutine, **named)
            return task
        return asyncio.Task(coroutine, loop=loop, **named)

    def run_once(self) -> None:
        """A round of the loop."""
        try:
            self._run_once()
        except (SystemExit, KeyboardInterrupt) as exc:
            step = _step_of(traceback_of(exc))
            if step is None or is_interrupt(exc):
                raise
            tell_of(step, exc)

    def _set(self, name: str, method: object) -> None:
        setattr(self._loop, name, method)
        self._methods[name] = method


@final
class _Refusal:
    """A method of the loop for all but steps."""

    def __init__(self, guard: _Guard, name: str, method: Callable[..., object]) -> None:
        self.guard = guard
        self._name = name
        self._method = method

    def __call__(self, *args: object, **keywords: object) -> object:
        step = step_in(copy_context())
        if step is not None:
            raise UsageError(
                f"step {step.step} calls {self._name}() of its event loop, in which its worker and"
                " all other steps run: return from the step instead"
            )
        return self._method(*args, **keywords)


def _step_of(traceback: TracebackType | None) -> StepMetadata | None:
    """The step that began the callback which raised."""
    while traceback is not None:
        if traceback.tb_frame.f_code is _RUN:
            return step_in(traceback.tb_frame.f_locals["self"]._context)
        traceback = traceback.tb_next
    return None


def _nothing() -> None:
    """The round of a loop that has none."""
