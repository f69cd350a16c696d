"""Retries: the reference's arithmetic, and a budget of their own for lost claims."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from perdure._core.retries import (
    LOST_BUDGET,
    MAX_DELAY_MS,
    MIN_DELAY_MS,
    Fail,
    Proceed,
    Retry,
    after_failure,
    before_execution,
    delay_ms,
)


def test_three_retries_are_four_executions() -> None:
    verdicts = [after_failure(execution=n, lost=0, max_retries=3, fatal=False) for n in range(1, 5)]
    assert verdicts == [Retry(1000)] * 3 + [Fail(3, True)]


@given(st.integers(0, 20), st.integers(1, LOST_BUDGET))
def test_lost_claims_use_up_no_retries(max_retries: int, lost: int) -> None:
    executions = 0
    while True:
        executions += 1
        claim = lost + executions
        found = before_execution(attempt=claim, lost=lost, returned=0, max_retries=max_retries)
        if max_retries == 0:
            assert found == Fail(0, False)
            return
        assert found == Proceed(claim)
        if isinstance(
            after_failure(execution=claim, lost=lost, max_retries=max_retries, fatal=False), Fail
        ):
            break
    assert executions == max_retries + 1


def test_a_fatal_failure_is_never_retried() -> None:
    assert after_failure(execution=1, lost=0, max_retries=3, fatal=True) == Fail(0, False)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_claim_that_was_given_back_never_ran(attempt: int, returned: int, retries: int) -> None:
    found = before_execution(
        attempt=attempt + returned, lost=0, returned=returned, max_retries=retries
    )
    assert found == (Proceed(attempt) if attempt <= retries + 1 else Fail(retries, False))


def test_a_lost_claim_fails_a_step_that_must_not_run_twice_or_was_lost_too_often() -> None:
    assert before_execution(attempt=2, lost=1, returned=0, max_retries=0) == Fail(0, False)
    assert before_execution(attempt=2, lost=1, returned=0, max_retries=3) == Proceed(2)
    lost = LOST_BUDGET + 1
    found = before_execution(attempt=lost + 1, lost=lost, returned=0, max_retries=99)
    assert found == Fail(lost, False)


@pytest.mark.parametrize("asked", [0, 999, 1000, 60_000])
def test_the_delay_is_the_one_asked_for_and_at_least_a_second(asked: int) -> None:
    found = after_failure(execution=1, lost=0, max_retries=1, fatal=False, delay_ms=asked)
    assert found == Retry(max(MIN_DELAY_MS, asked))


@given(st.floats(-10, 1e9))
def test_seconds_are_rounded_up_to_whole_ones(seconds: float) -> None:
    found = delay_ms(seconds)
    assert found % 1000 == 0
    assert found >= max(MIN_DELAY_MS, seconds * 1000)
    assert found <= max(MIN_DELAY_MS, seconds * 1000 + 1000)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
def test_a_delay_that_is_no_number_is_the_least(seconds: float) -> None:
    assert delay_ms(seconds) == MIN_DELAY_MS


@pytest.mark.parametrize("seconds", [1e12, 1e300, 10**12, 10**400])
def test_a_delay_is_one_that_every_store_can_hold(seconds: float) -> None:
    assert delay_ms(seconds) == MAX_DELAY_MS


@pytest.mark.parametrize("seconds", [-1, -1e300, -(10**400)])
def test_a_delay_that_has_passed_is_the_least(seconds: float) -> None:
    assert delay_ms(seconds) == MIN_DELAY_MS
