"""Contained: the coroutine of a task that a step began, in a loop without rounds to guard.

A task raises ``SystemExit`` and ``KeyboardInterrupt`` out of its loop once it has them for those
who await it. Here it gets them while its coroutine still runs, which then waits for ever: the task
has ended, and nobody runs it again. So nothing is raised out of the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context, copy_context
from datetime import UTC, datetime
from typing import Any, final

from .containment import is_interrupt
from .log_fields import first_line, of_step
from .metadata import StepMetadata, entered, step_metadata

__all__ = ("Contained", "step_in", "tell_of")

_log = logging.getLogger("perdure")
UNKNOWN = StepMetadata(
    id="?/?", step="?", attempt=1, started_at=datetime.fromtimestamp(0, UTC)
)  # one that hides itself


def step_in(context: Context) -> StepMetadata | None:
    """The step whose context this is, or a copy of it."""
    if entered not in context:
        return None
    try:
        return context.run(step_metadata)
    except BaseException:  # the step put something of its own there
        return UNKNOWN


def tell_of(step: StepMetadata, error: BaseException) -> None:
    """Log that a task or callback of *step* raised *error*, which would have ended the loop."""
    _log.error(
        "a task or callback of step %s raised %s: the step fails with it where it awaits"
        " the task; the worker goes on",
        step.step,
        first_line(error),
        extra=of_step(step.id, step=step.step, attempt=step.attempt),
    )


@final
class Contained(Coroutine[object, object, object]):
    """A coroutine that raises no error that ends a loop, unless it is a signal's."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[object, object, object]) -> None:
        self._coroutine = coroutine

    def __repr__(self) -> str:
        return f"<Contained {self._coroutine!r}>"

    def __getattr__(self, name: str) -> object:
        """Its name, its frame: those of the coroutine, for those who look at a task."""
        return getattr(self._coroutine, name)

    # --- what a task asks of its coroutine --------------------------------------------------------

    def send(self, value: object, /) -> object:
        try:
            return self._coroutine.send(value)
        except (SystemExit, KeyboardInterrupt) as exc:
            return self._end(exc)

    def throw(self, error: Any, /, *rest: Any) -> object:
        try:
            return self._coroutine.throw(error, *rest)
        except (SystemExit, KeyboardInterrupt) as exc:
            return self._end(exc)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def _end(self, error: BaseException) -> object:
        """End the task with *error*. Returns the future that the coroutine waits for now."""
        task: asyncio.Task[Any] | None = asyncio.current_task()
        if is_interrupt(error) or task is None or task.done():
            raise error
        asyncio.Future[Any].set_exception(task, error)
        tell_of(step_in(copy_context()) or UNKNOWN, error)
        return _Never(task.get_loop())


@final
class _Never:
    """Nothing that a task is told of ever comes of it."""

    __slots__ = ("_asyncio_future_blocking", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = True  # as ``await`` says
        self._loop = loop

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, call: object, *, context: object = None) -> None: ...

    def cancel(self, msg: object = None) -> bool:
        return False
