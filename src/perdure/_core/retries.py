"""Retries: whether and when a step runs again after a failure.

Pure. The arithmetic is the reference SDK's where nothing else is asked for: 3 retries are 4
executions; a plain failure is tried again after one second. A policy may let the wait grow, bound
it, and shorten it by a share that follows from the step's id, so that it is the same wherever and
however often it is worked out. A claim that was lost may or may not have run, so a step that must
not run twice fails then, and others have a budget of lost claims of their own.
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import TypeAlias

from .._value_class import value_class

__all__ = (
    "LOST_BUDGET",
    "MAX_DELAY_MS",
    "MIN_DELAY_MS",
    "Fail",
    "Proceed",
    "Retry",
    "RetryPolicy",
    "Verdict",
    "after_failure",
    "before_execution",
    "delay_ms",
    "planned_delay_ms",
)

MIN_DELAY_MS = 1000
MAX_DELAY_MS = 36_525 * 86_400_000  # a hundred years: a time that every store can hold
LOST_BUDGET = 10


@value_class
class RetryPolicy:
    """How often a step is tried again, and after how long."""

    max_retries: int = 3
    delay_ms: int = MIN_DELAY_MS  # before the first retry
    backoff: float = 1.0  # each wait is so many times the one before; at least 1
    max_delay_ms: int = MAX_DELAY_MS
    jitter: float = 0.0  # the share of a wait, 0 to 1, by which it may be shorter


@value_class(kw_only=False)
class Proceed:
    """Run the body; *execution* counts from 1."""

    execution: int


@value_class(kw_only=False)
class Retry:
    """Try again after this long."""

    delay_ms: int


@value_class(kw_only=False)
class Fail:
    """The step fails; *retries* were made; *exhausted* wraps the last error as a cause."""

    retries: int
    exhausted: bool


Verdict: TypeAlias = "Retry | Fail"


def before_execution(
    *, claims: int, losses: int, returned: int, max_retries: int
) -> Proceed | Fail:
    """Whether a claimed step may run its body."""
    if losses and max_retries == 0:
        return Fail(retries=0, exhausted=False)
    if losses > LOST_BUDGET:
        return Fail(retries=losses, exhausted=False)
    execution = claims - returned
    if execution - losses > max_retries + 1:
        return Fail(retries=max_retries, exhausted=False)
    return Proceed(execution)


def after_failure(
    *, execution: int, losses: int, max_retries: int, fatal: bool, delay_ms: int = MIN_DELAY_MS
) -> Verdict:
    """Whether and when a step runs again after an execution that raised.

    Args:
        execution: which execution it was, from 1, lost ones included.
        losses: how many of them were lost; they do not use up retries.
        delay_ms: the wait before a retry.
    """
    if fatal:
        return Fail(retries=0, exhausted=False)
    failures = execution - losses
    if failures > max_retries:
        return Fail(retries=max_retries, exhausted=True)
    return Retry(delay_ms=delay_ms)


def planned_delay_ms(policy: RetryPolicy, *, failures: int, key: str) -> int:
    """The wait before a retry, as the policy has it.

    Args:
        failures: executions that failed so far, lost ones not included; at least 1.
        key: the step's id in its run, which the jitter follows from.
    """
    try:
        wait_ms = policy.delay_ms * policy.backoff ** (failures - 1)
    except OverflowError:
        wait_ms = math.inf
    longest = min(wait_ms, policy.max_delay_ms) if policy.delay_ms else 0
    if not policy.jitter:
        return math.ceil(longest)
    return math.ceil(longest * (1 - policy.jitter * _share(f"{key}/{failures}")))


def _share(key: str) -> float:
    """A number from 0 up to 1 that follows from *key*, and looks as if drawn."""
    return int.from_bytes(sha256(key.encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2**48


def delay_ms(seconds: float) -> int:
    """A wait of *seconds* in milliseconds: whole seconds up, as in the reference.

    At least one second, also for NaN, and at most a hundred years.
    """
    if not MIN_DELAY_MS < seconds * 1000 < math.inf:
        return MIN_DELAY_MS
    return min(math.ceil(seconds) * 1000, MAX_DELAY_MS)
