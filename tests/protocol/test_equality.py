"""Two payloads are of the same value however it was written."""

# Values of any type are turned round:
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given, strategies as st

from perdure._protocol.codec import encode
from perdure._protocol.equality import same_value
from perdure.values import Url

SHARED = [1]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner),
    max_leaves=8,
)


def turned(value: Any) -> Any:
    """The same value with its keys the other way round."""
    match value:
        case dict():
            pairs: dict[str, Any] = value
            return {key: turned(pairs[key]) for key in reversed(pairs)}
        case list():
            items: list[Any] = value
            return [turned(item) for item in items]
        case _:
            return value


@given(VALUES)
def test_the_order_of_keys_says_nothing(value: Any) -> None:
    assert same_value(encode(value, where="v"), encode(turned(value), where="v"))


CASES: list[tuple[Any, Any, bool]] = [
    ([1.0], [1], True),
    ([True], [1], False),
    ([1], [2], False),
    (["1"], [1], False),
    ({"a": 1}, {"a": 1, "b": 2}, False),
    ([{1, 2, 3}], [{3, 2, 1}], True),
    ([{1}], [{2}], False),
    ({1: "a", 2: "b"}, {2: "b", 1: "a"}, True),
    ([1, 2], [2, 1], False),
    (float("nan"), float("nan"), True),
    ({(1, 2.0): 1}, {(1.0, 2): 1}, True),
    ({frozenset({1, 2}): 1}, {frozenset({1.0, 2.0}): 1}, True),
    ([{"x": {(1, frozenset({2}))}}], [{"x": {(1.0, frozenset({2.0}))}}], True),
    ({(1, 2): 1}, {(1, 3): 1}, False),
    ({frozenset(): 1}, {(): 1}, False),
    ([SHARED, SHARED], [[1], [1]], True),
    ([SHARED, SHARED], [[1], [2]], False),
    ({"a": [SHARED] * 3, "b": SHARED}, {"b": [1.0], "a": [[1]] * 3}, True),
    ({1: "a"}, {True: "a"}, False),
    ([], {}, False),
    ({"a": None}, {}, False),
    (Url("http://a/"), "http://a/", False),
]


@pytest.mark.parametrize(("one", "other", "equal"), CASES)
def test_values_are_compared(one: Any, other: Any, equal: bool) -> None:
    assert same_value(encode(one, where="v"), encode(other, where="v")) is equal


def test_values_that_contain_themselves_are_compared() -> None:
    def loop(number: object) -> dict[str, Any]:
        value: dict[str, Any] = {"n": number}
        value["me"] = [value, value]
        return value

    one, other = encode(loop(1.0), where="v"), encode(loop(1), where="v")
    assert one != other
    assert same_value(one, other)
    assert not same_value(one, encode(loop(2), where="v"))


def test_a_set_is_written_in_one_order() -> None:
    tag = b"\xd9\x01\x02\x84"
    expected = tag + b"".join(map(cbor2.dumps, ["a", "b", "c", [1, "x"]]))
    assert encode({"b", "a", "c", (1, "x")}, where="v") == expected


def test_a_difference_within_a_loop_is_found() -> None:
    one: list[Any] = [1]
    other: list[Any] = [1]
    one.append([one, 2])
    other.append([other, 3])
    assert not same_value(encode(one, where="v"), encode(other, where="v"))
