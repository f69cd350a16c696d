"""Step options: how a step is run, checked when it is decorated.

Each option of ``@step`` is what it says or is refused there, by name, with what to write: a wrong
one would be noticed at the first failure in production, if at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import cast

from .._frozen import frozen
from ..errors import UsageError

__all__ = ("DEFAULT_QUEUE", "StepOptions", "checked_name", "checked_options", "checked_queues")

DEFAULT_QUEUE = "default"


@frozen
class StepOptions:
    """How a step is run."""

    max_retries: int = 3  # retries after the first execution; 0 is one execution
    timeout: timedelta | None = None
    queue: str = DEFAULT_QUEUE


def checked_options(*, max_retries: object, timeout: object, queue: object) -> StepOptions:
    """The options, if each is one.

    Raises:
        UsageError: one is not; names it.
    """
    limit = None if timeout is None else _checked_span("timeout", timeout)
    return StepOptions(
        max_retries=_checked_count("max_retries", max_retries),
        timeout=limit,
        queue=_checked_queue(queue),
    )


def _checked_count(option: str, value: object) -> int:
    """A whole number that is not negative.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{option}={value!r}: it is a whole number and at least 0")
    return value


def _checked_span(option: str, value: object, *, least: timedelta | None = None) -> timedelta:
    """A length of time: seconds or a ``timedelta``.

    Args:
        least: the shortest there is; None is any that is longer than nothing.

    Raises:
        UsageError: it is none, or is too short.
    """
    span = _span(value)
    if span is None:
        raise UsageError(
            f"{option}={value!r}: it is seconds as a finite number, or a timedelta; "
            f"write {option}=5.0 or {option}=timedelta(minutes=2)"
        )
    if span < least if least is not None else span <= timedelta(0):
        bound = "longer than nothing" if least is None else f"at least {least.total_seconds():g} s"
        raise UsageError(f"{option}={value!r}: it is {bound}")
    return span


def _span(value: object) -> timedelta | None:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return timedelta(seconds=value) if math.isfinite(value) else None
    except OverflowError:
        return None


def checked_name(option: str, value: object) -> str:
    """A text that is not empty.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{option}={value!r}: it is a text that is not empty")
    return value


def checked_queues(values: object) -> frozenset[str]:
    """Names of queues.

    Raises:
        UsageError: they are none.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"queues={values!r}: it is a list of names; write queues=['gpu']")
    return frozenset([_checked_queue(value) for value in cast("Iterable[object]", values)])


def _checked_queue(value: object) -> str:
    name = checked_name("queue", value)
    if "/" in name:
        raise UsageError(f"queue={value!r}: a queue's name has no slash")
    return name
