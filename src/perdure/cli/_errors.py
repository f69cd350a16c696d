"""Errors: one clear message on stderr, and an exit code that scripts can use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import typer

from ..errors import (
    GuestError,
    PerdureError,
    RunCancelledError,
    RunEndedError,
    RunFailedError,
    UsageError,
    WorldError,
)
from ._output import say

__all__ = ("DEFECT", "FAILED", "INTERRUPTED", "USAGE", "WORLD", "report", "run_async")

T = TypeVar("T")
FAILED, USAGE, WORLD, DEFECT, INTERRUPTED = 1, 2, 3, 70, 130


def run_async(main: Callable[[], Awaitable[T]], *, hint: str = "") -> T:
    """Run a command's coroutine; Perdure's errors become messages and exit codes.

    Args:
        hint: what to say on Ctrl-C, besides that it was interrupted.
    """
    try:
        return anyio.run(main)
    except KeyboardInterrupt:  # before or after the command heeds signals itself
        say(f"interrupted{': ' + hint if hint else ''}")
        raise typer.Exit(INTERRUPTED) from None
    except PerdureError as exc:
        raise typer.Exit(report(exc)) from None
    except BaseExceptionGroup as group:
        errors = group.subgroup(PerdureError)
        if errors is None:
            raise
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, PerdureError)
        raise typer.Exit(report(error)) from None


def report(error: PerdureError) -> int:
    """Report an error to the user. Returns the exit code."""
    notes = getattr(error, "__notes__", ())  # where in the workflow
    say("\n".join([f"error: {error}", *notes]), style="red")
    failure = error.error if isinstance(error, RunFailedError) else None
    cause = failure.cause if isinstance(failure, GuestError) else None
    while isinstance(cause, GuestError):
        say(f"caused by {cause}\n{cause.stack}")
        cause = cause.cause
    if isinstance(error, RunFailedError | RunCancelledError):
        return FAILED
    if isinstance(error, RunEndedError):  # the world is fine; the caller asked too late
        return USAGE
    if isinstance(error, WorldError):
        return WORLD
    return USAGE if isinstance(error, UsageError) else FAILED
