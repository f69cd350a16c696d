"""Step options: how a step is run, checked when it is decorated.

Each option of ``@step`` is valid or is refused there, by name, with a valid one as an example: a
wrong one would be noticed at the first failure in production, if at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import cast

from .._core.retries import MAX_DELAY_MS, RetryPolicy
from .._value_class import value_class
from ..errors import UsageError
from .arguments import checked_text

__all__ = (
    "DEFAULT_QUEUE",
    "StepOptions",
    "checked_drain_timeout",
    "checked_name",
    "checked_options",
    "checked_queues",
)

DEFAULT_QUEUE = "default"
MAX_BACKOFF = 1000.0


@value_class
class StepOptions:
    """How a step is run."""

    policy: RetryPolicy = RetryPolicy()
    retry_on: tuple[type[BaseException], ...] | None = None  # None: whatever is not fatal
    fatal_on: tuple[type[BaseException], ...] = ()
    timeout: timedelta | None = None
    queue: str = DEFAULT_QUEUE
    cancellable: bool = False

    @property
    def max_retries(self) -> int:
        """Retries after the first execution; 0 is one execution."""
        return self.policy.max_retries


def checked_options(**options: object) -> StepOptions:
    """The options of ``@step``, if each is one.

    Raises:
        UsageError: one is not; names it.
    """
    limit, retry_on = options["timeout"], options["retry_on"]
    return StepOptions(
        policy=_checked_policy(options),
        retry_on=None if retry_on is None else _checked_types("retry_on", retry_on),
        fatal_on=_checked_types("fatal_on", options["fatal_on"]),
        timeout=None if limit is None else _checked_span("timeout", limit),
        queue=_checked_queue(options["queue"]),
        cancellable=_checked_flag("cancellable", options["cancellable"]),
    )


def _checked_flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is True or False, not {value!r}")
    return value


def _checked_policy(options: Mapping[str, object]) -> RetryPolicy:
    delay = _checked_span("retry_delay", options["retry_delay"], least=timedelta(0))
    longest = options["max_delay"]
    bound_ms = MAX_DELAY_MS
    if longest is not None:
        bound_ms = _milliseconds(_checked_span("max_delay", longest, least=delay))
    return RetryPolicy(
        max_retries=_checked_count("max_retries", options["max_retries"]),
        delay_ms=_milliseconds(delay),
        backoff=_checked_number("backoff", options["backoff"], 1, MAX_BACKOFF),
        max_delay_ms=bound_ms,
        jitter=_checked_number("jitter", options["jitter"], 0, 1),
    )


def _milliseconds(span: timedelta) -> int:
    return min(math.ceil(span / timedelta(milliseconds=1)), MAX_DELAY_MS)


def _checked_number(option: str, value: object, least: float, most: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
        return float(value)
    raise UsageError(f"{option}={value!r}: it is a number from {least:g} to {most:g}")


def _checked_types(option: str, value: object) -> tuple[type[BaseException], ...]:
    types: tuple[object, ...] = (value,)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | type):
        types = tuple(cast("Iterable[object]", value))
    for one in types:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise UsageError(
                f"{option}={value!r}: it is a class of exceptions or several; "
                f"write {option}=(ConnectionError, TimeoutError)"
            )
    return cast("tuple[type[BaseException], ...]", types)


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
        limit = "longer than nothing" if least is None else f"at least {least.total_seconds():g} s"
        raise UsageError(f"{option}={value!r}: it is {limit}")
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


def checked_drain_timeout(value: object) -> float | None:
    """Seconds that a worker may drain; None: as long as it takes.

    Raises:
        UsageError: it is no length of time.
    """
    if value is None:
        return None
    return _checked_span("drain_timeout", value, least=timedelta(0)).total_seconds()


def checked_name(option: str, value: object) -> str:
    """A text that is not empty.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{option}={value!r}: it is a text that is not empty")
    return checked_text(option, value)


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
