"""Loop guard: no task or callback of a step ends the event loop.

asyncio lets ``SystemExit`` and ``KeyboardInterrupt`` of any task or callback out of its loop, and
anything in it may stop the loop: with that all that runs there would end, for one step. A loop
runs due callbacks in rounds, each in a context: a copy of the one in which it was asked for. So
callbacks of a step are told by the variable that its body has set. The guard stands around the
round, once each and not around each callback: 0.1 µs. A callback is out of the queue before it is
run, so the next round goes on behind it; a task has the exception by then, for those that await it.

Only loops of asyncio's own have rounds. In others (uvloop) the loop still ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, final

from ..errors import UsageError
from .containment import is_interrupt, traceback_of
from .log_fields import first_line, of_step
from .metadata import StepMetadata, entered, step_metadata

__all__ = ("guarded",)

_log = logging.getLogger("perdure")
_ROUND = "_run_once"
_RUN = asyncio.Handle._run.__code__  # what runs a callback
_UNKNOWN = StepMetadata(
    id="?/?", step="?", attempt=1, started_at=datetime.fromtimestamp(0, UTC)
)  # one that hides itself
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
        self._names: list[str] = []  # of the methods that it stands in for
        self._run_once: Callable[[], None] = getattr(loop, _ROUND, _nothing)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Guard:
        """The one of *loop*."""
        guard = getattr(getattr(loop, _ROUND, None), "__self__", None)
        return guard if isinstance(guard, _Guard) else cls(loop)

    def __repr__(self) -> str:
        return f"<Guard of {self._loop!r} for {self._depth}>"

    def enter(self) -> None:
        """One more asks for it."""
        self._depth += 1
        if self._depth > 1 or not hasattr(self._loop, _ROUND):
            return
        self._set(_ROUND, self.run_once)
        for name in _REFUSED:
            self._set(name, _refused(name, getattr(self._loop, name)))

    def leave(self) -> None:
        """One less."""
        self._depth -= 1
        if self._depth:
            return
        for name in self._names:
            delattr(self._loop, name)
        self._names.clear()

    def run_once(self) -> None:
        """A round of the loop."""
        try:
            self._run_once()
        except (SystemExit, KeyboardInterrupt) as exc:
            step = _step_of(traceback_of(exc))
            if step is None or is_interrupt(exc):
                raise
            _log.error(
                "a task or callback of step %s raised %s: the step fails with it where it awaits"
                " the task; the worker goes on",
                step.step,
                first_line(exc),
                extra=of_step(step.id, step=step.step, attempt=step.attempt),
            )

    def _set(self, name: str, method: Callable[..., Any]) -> None:
        setattr(self._loop, name, method)
        self._names.append(name)


def _refused(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The loop's *method* for all but steps."""

    def guarded_method(*args: Any, **keywords: Any) -> Any:
        step = _step_in(copy_context())
        if step is not None:
            raise UsageError(
                f"step {step.step} calls {name}() of its event loop, in which its worker and all"
                " other steps run: return from the step instead"
            )
        return method(*args, **keywords)

    return guarded_method


def _step_of(traceback: TracebackType | None) -> StepMetadata | None:
    """The step that began the callback which raised."""
    while traceback is not None:
        if traceback.tb_frame.f_code is _RUN:
            return _step_in(traceback.tb_frame.f_locals["self"]._context)
        traceback = traceback.tb_next
    return None


def _step_in(context: Context) -> StepMetadata | None:
    if entered not in context:
        return None
    try:
        return context.run(step_metadata)
    except BaseException:  # the step put something of its own there
        return _UNKNOWN


def _nothing() -> None:
    """The round of a loop that has none."""
