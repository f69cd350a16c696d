"""Retries: what follows a step's failure.

Pure. The arithmetic is the reference SDK's: 3 retries are 4 executions; a plain failure is
tried again after one second; a claim that was lost may or may not have run, so a step that must
not run twice fails then, and others have a budget of lost claims of their own.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from .._frozen import frozen

__all__ = (
    "LOST_BUDGET",
    "MAX_DELAY_MS",
    "MIN_DELAY_MS",
    "Fail",
    "Proceed",
    "Retry",
    "Verdict",
    "after_failure",
    "before_execution",
    "delay_ms",
)

MIN_DELAY_MS = 1000
MAX_DELAY_MS = 36_525 * 86_400_000  # a hundred years: what is due then, every store can hold
LOST_BUDGET = 10


@frozen(kw_only=False)
class Proceed:
    """Run the body; *execution* counts from 1."""

    execution: int


@frozen(kw_only=False)
class Retry:
    """Try again after this long."""

    delay_ms: int


@frozen(kw_only=False)
class Fail:
    """The step fails; *retries* were made; *exhausted* wraps the last error as a cause."""

    retries: int
    exhausted: bool


Verdict: TypeAlias = "Retry | Fail"


def before_execution(*, attempt: int, lost: int, returned: int, max_retries: int) -> Proceed | Fail:
    """Whether a claimed step may run its body."""
    if lost and max_retries == 0:
        return Fail(retries=0, exhausted=False)
    if lost > LOST_BUDGET:
        return Fail(retries=lost, exhausted=False)
    execution = attempt - returned
    if execution - lost > max_retries + 1:
        return Fail(retries=max_retries, exhausted=False)
    return Proceed(execution)


def after_failure(
    *, execution: int, lost: int, max_retries: int, fatal: bool, delay_ms: int = MIN_DELAY_MS
) -> Verdict:
    """What follows an execution that raised.

    Args:
        execution: which execution it was, from 1, lost ones included.
        lost: how many of them were lost; they do not use up retries.
    """
    if fatal:
        return Fail(retries=0, exhausted=False)
    failures = execution - lost
    if failures > max_retries:
        return Fail(retries=max_retries, exhausted=True)
    return Retry(delay_ms=max(MIN_DELAY_MS, delay_ms))


def delay_ms(seconds: float) -> int:
    """A wait of *seconds* in milliseconds: whole seconds up, as in the reference.

    At least one second, also for what is no number, and at most a hundred years.
    """
    if not MIN_DELAY_MS < seconds * 1000 < math.inf:
        return MIN_DELAY_MS
    return min(math.ceil(seconds) * 1000, MAX_DELAY_MS)
