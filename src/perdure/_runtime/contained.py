"""Contained: a callback that a step asks for, in a loop without rounds to guard.

A loop lets ``SystemExit`` and ``KeyboardInterrupt`` of a callback out, and so of a task, of which
each piece is a callback; the task has the exception by then, for those who await it. Here they end
in the callback, and are logged. So nothing is raised out of the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime
from typing import final

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
class Contained:
    """A callback that raises no error that ends a loop, unless it is a signal's."""

    __slots__ = ("_callback", "_context")

    def __init__(self, callback: Callable[..., object], context: Context) -> None:
        self._callback = callback
        self._context = context  # the step's

    def __repr__(self) -> str:
        return repr(self._callback)

    def __getattr__(self, name: str) -> object:
        """Its name, its task: those of the callback, for those who look at a handle."""
        return getattr(self._callback, name)

    def __call__(self, *args: object) -> object:
        try:
            return self._callback(*args)
        except (SystemExit, KeyboardInterrupt) as exc:
            if is_interrupt(exc):
                raise
            tell_of(step_in(self._context.copy()) or UNKNOWN, exc)  # it may be entered
            return None
