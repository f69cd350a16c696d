"""Retries: the reference's arithmetic, and a budget of their own for lost claims."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from perdure._core.retries import (
    LOST_BUDGET,
    MAX_DELAY_MS,
    MIN_DELAY_MS,
    Fail,
    Proceed,
    Retry,
    RetryPolicy,
    after_failure,
    before_execution,
    delay_ms,
    planned_delay_ms,
)


def test_three_retries_are_four_executions() -> None:
    verdicts = [
        after_failure(execution=n, losses=0, max_retries=3, fatal=False) for n in range(1, 5)
    ]
    assert verdicts == [Retry(1000)] * 3 + [Fail(3, True)]


@given(st.integers(0, 20), st.integers(1, LOST_BUDGET))
def test_lost_claims_use_up_no_retries(max_retries: int, lost: int) -> None:
    executions = 0
    while True:
        executions += 1
        claim = lost + executions
        found = before_execution(claims=claim, losses=lost, returned=0, max_retries=max_retries)
        if max_retries == 0:
            assert found == Fail(0, False)
            return
        assert found == Proceed(claim)
        if isinstance(
            after_failure(execution=claim, losses=lost, max_retries=max_retries, fatal=False), Fail
        ):
            break
    assert executions == max_retries + 1


def test_a_fatal_failure_is_never_retried() -> None:
    assert after_failure(execution=1, losses=0, max_retries=3, fatal=True) == Fail(0, False)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_claim_that_was_given_back_never_ran(attempt: int, returned: int, retries: int) -> None:
    found = before_execution(
        claims=attempt + returned, losses=0, returned=returned, max_retries=retries
    )
    assert found == (Proceed(attempt) if attempt <= retries + 1 else Fail(retries, False))


def test_a_lost_claim_fails_a_step_that_must_not_run_twice_or_was_lost_too_often() -> None:
    assert before_execution(claims=2, losses=1, returned=0, max_retries=0) == Fail(0, False)
    assert before_execution(claims=2, losses=1, returned=0, max_retries=3) == Proceed(2)
    lost = LOST_BUDGET + 1
    found = before_execution(claims=lost + 1, losses=lost, returned=0, max_retries=99)
    assert found == Fail(lost, False)


@pytest.mark.parametrize("asked", [0, 999, 1000, 60_000])
def test_the_delay_is_the_one_asked_for(asked: int) -> None:
    found = after_failure(execution=1, losses=0, max_retries=1, fatal=False, delay_ms=asked)
    assert found == Retry(asked)


policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 100),
    delay_ms=st.integers(0, 10**7),
    backoff=st.floats(1, 1000),
    max_delay_ms=st.integers(0, MAX_DELAY_MS),
    jitter=st.floats(0, 1),
)
failures = st.integers(1, 1000)
keys = st.text(st.characters(), max_size=20)


@given(failures, keys)
def test_the_default_is_a_second_each_time(count: int, key: str) -> None:
    assert planned_delay_ms(RetryPolicy(), failures=count, key=key) == MIN_DELAY_MS


@given(policies, failures, keys)
def test_a_wait_is_the_same_wherever_it_is_worked_out(
    policy: RetryPolicy, count: int, key: str
) -> None:
    waits = {planned_delay_ms(policy, failures=count, key=key) for _ in range(3)}
    assert len(waits) == 1
    assert 0 <= waits.pop() <= policy.max_delay_ms


@given(policies, failures, keys)
def test_a_wait_is_shorter_by_the_jitters_share_at_most(
    policy: RetryPolicy, count: int, key: str
) -> None:
    longest = planned_delay_ms(replace(policy, jitter=0.0), failures=count, key=key)
    wait = planned_delay_ms(policy, failures=count, key=key)
    assert longest * (1 - policy.jitter) - 1 <= wait <= longest


@given(policies, failures, keys)
def test_waits_without_jitter_do_not_fall_and_grow_by_the_backoff(
    policy: RetryPolicy, count: int, key: str
) -> None:
    plain = replace(policy, jitter=0.0)
    one, two = (planned_delay_ms(plain, failures=n, key=key) for n in (count, count + 1))
    assert one <= two
    assert two <= one * plain.backoff + 1
    assert two == plain.max_delay_ms or two >= (one - 1) * plain.backoff


def test_waits_double_up_to_their_bound() -> None:
    policy = RetryPolicy(delay_ms=500, backoff=2.0, max_delay_ms=3000)
    waits = [planned_delay_ms(policy, failures=n, key="k") for n in (1, 2, 3, 4, 5000)]
    assert waits == [500, 1000, 2000, 3000, 3000]


def test_jitter_spreads_steps_and_attempts() -> None:
    policy = RetryPolicy(delay_ms=10_000, jitter=1.0)
    waits = [planned_delay_ms(policy, failures=1 + n % 2, key=f"run/{n}") for n in range(1000)]
    assert len(set(waits)) > 900
    assert 4500 < sum(waits) / len(waits) < 5500


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
