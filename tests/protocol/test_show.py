"""Show: any value has a text, in bounded time and of bounded length."""

from __future__ import annotations

import sys
from typing import Any

import cbor2
import pytest
from hypothesis import given, strategies as st

from perdure._protocol.codec import decode_error, encode
from perdure._protocol.show import show, show_integer
from perdure.errors import GuestError
from perdure.values import UNDEFINED, RegExp, TypedArray

MAX_DIGITS = 4300  # decimal ones; Python refuses to write more

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


def unfolding(levels: int) -> list[object]:
    """A small value that is met as often as a binary tree has leaves."""
    value: list[object] = []
    for _ in range(levels):
        value = [value, value]
    return value


@given(PLAIN)
def test_a_small_value_is_shown_as_its_repr(value: object) -> None:
    assert show(value) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (set[int](), "set()"),
        ({1}, "{1}"),
        (frozenset[int](), "frozenset()"),
        (cbor2.CBORTag(5, [1]), "CBORTag(5, [1])"),
        (TypedArray(85, b"abcd"), "TypedArray(85, b'abcd')"),
        (RegExp("a", "g"), "RegExp(source='a', flags='g')"),
        ([GuestError(name="E", message="m")], "[E: m]"),
        ({"a": UNDEFINED}, "{'a': UNDEFINED}"),
        (10**20, "1" + "0" * 20),
    ],
    ids=repr,
)
def test_values_of_ours_have_a_text(value: object, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize(
    "value",
    [
        unfolding(60),
        {"a": unfolding(60), "b": unfolding(60)},
        cbor2.CBORTag(1, unfolding(60)),
        [0] * 100_000,
        {n: n for n in range(100_000)},
        "a" * 100_000,
        [b"a" * 100_000],
        TypedArray(85, bytes(100_000)),
        2 ** (8 * 100_000),
        -(2 ** (8 * 100_000)),
        GuestError(name="E", message="m" * 100_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_large_value_is_cut(value: Any) -> None:
    text = show(value)
    assert len(text) <= 10_001
    assert "…" in text


def test_a_deep_value_is_cut() -> None:
    value: list[object] = []
    for _ in range(sys.getrecursionlimit() * 2):
        value = [value]
    assert "…" in show(value)


@pytest.mark.parametrize("digits", [MAX_DIGITS - 100, MAX_DIGITS + 100, 100_000])
def test_an_integer_of_any_length_has_a_text(digits: int) -> None:
    value = 2 ** int(digits / 0.30103)
    text = show_integer(value)
    assert int(text, 0) == value if digits < MAX_DIGITS else text == hex(value)


def test_a_thrown_value_that_unfolds_is_an_error_that_shows_it() -> None:
    error = decode_error(encode(unfolding(60), where="error"))
    assert len(error.text) <= 10_001
