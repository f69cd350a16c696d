"""Options of ``@step`` that are none: refused where the step is decorated, by name."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from perdure import step
from perdure._core.retries import RetryPolicy
from perdure._runtime import steps as registry
from perdure.errors import UsageError

NO_COUNTS = (-1, 1.5, 3.0, math.nan, True, False, "3", None, [3])
NO_SPANS = ("5s", "5", math.nan, math.inf, -math.inf, -1, 0, 0.0, -0.5, True, 1e300, 10**400)
WRONG: list[tuple[str, Any]] = [
    *(("max_retries", value) for value in NO_COUNTS),
    *(("timeout", value) for value in NO_SPANS),
    *(("timeout", value) for value in (timedelta(0), timedelta(seconds=-1), [1], b"1")),
    *(("retry_delay", value) for value in ("1s", math.nan, math.inf, -1, True, None, 1e300)),
    *(("max_delay", value) for value in ("1s", math.nan, math.inf, -1, True, 0.5, timedelta(0))),
    *(("backoff", value) for value in (0, 0.5, -1, math.nan, math.inf, "2", True, None, 10**400)),
    *(("jitter", value) for value in (-0.1, 1.1, math.nan, math.inf, "full", True, None)),
    *(("retry_on", value) for value in ("ValueError", int, [int], 3, ["ValueError"], ValueError())),
    *(("fatal_on", value) for value in ("ValueError", int, [int], 3, None, (ValueError, "x"))),
    *(("name", value) for value in (3, "", "  ", b"steps:body", ["a"])),
    *(("queue", value) for value in (3, "", " ", None, b"gpu", ["gpu"], "a/b")),
]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


@pytest.mark.parametrize(("option", "value"), WRONG, ids=repr)
def test_an_option_that_is_none_is_refused_by_name(option: str, value: Any) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(UsageError, match=f"^{option}="):
        step(**options)


@given(st.floats(0.000001, 1e9) | st.integers(1, 10**9))
def test_seconds_are_a_timeout(seconds: float) -> None:
    made = step(name="options:body", timeout=seconds)(lambda: None)
    assert made.options.timeout == timedelta(seconds=seconds)


def test_a_policy_is_kept_in_milliseconds() -> None:
    made = step(
        name="options:body",
        max_retries=5,
        retry_delay=0.5,
        backoff=2,
        max_delay=timedelta(minutes=1),
        jitter=0.25,
        retry_on=OSError,
        fatal_on=[FileNotFoundError],
    )(lambda: None)
    assert made.options.policy == RetryPolicy(
        max_retries=5, delay_ms=500, backoff=2.0, max_delay_ms=60_000, jitter=0.25
    )
    assert (made.options.retry_on, made.options.fatal_on) == ((OSError,), (FileNotFoundError,))
    assert step(name="options:other")(lambda: None).options.policy == RetryPolicy()


def test_what_yields_is_no_step() -> None:
    async def gives() -> AsyncIterator[int]:
        yield 1

    def plain() -> Iterator[int]:
        yield 1

    for function in (gives, plain):
        with pytest.raises(UsageError, match="yields"):
            step(function)
