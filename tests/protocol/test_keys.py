"""Keys and items of sets on their way to JavaScript: all arrive, or they are refused by name."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import cbor2
import pytest
from hypothesis import given, strategies as st

from perdure._protocol.codec import decode, encode
from perdure._protocol.survey import MAX_ITEMS
from perdure.errors import GuestError, ValueNotCarriableError
from perdure.values import UNDEFINED, ArrayBuffer, DataView, RegExp, StepRef, TypedArray, Url


class Colour(Enum):
    RED = "red"
    OTHER = 7


class Sku(str):
    __slots__ = ()

    def __hash__(self) -> int:
        return 5

    def __eq__(self, other: object) -> bool:
        return self is other


AT = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# Two that Python keeps apart and JavaScript does not.
MERGING: dict[str, tuple[Any, Any]] = {
    "an enum and its value": (Colour.RED, "red"),
    "an enum and its number": (Colour.OTHER, 7),
    "a UUID and its text": (UUID(int=1), str(UUID(int=1))),
    "a decimal and its text": (Decimal("1.10"), "1.10"),
    "a date and its text": (date(2026, 1, 2), "2026-01-02"),
    "a duration and its milliseconds": (timedelta(seconds=1), 1000),
    "texts of a subclass": (Sku("a"), Sku("a")),
    "two that are no number": (math.nan, float("nan")),
}
# Two that JavaScript keeps apart, too.
APART: dict[str, tuple[Any, Any]] = {
    "a number and its text": (1, "1"),
    "nothing and its text": (None, "null"),
    "nothing and undefined": (None, UNDEFINED),
    "false and nothing": (False, None),
    "true and two": (True, 2),
    "a float and a large integer": (float(2**60), 2**60 + 1),
    "bytes and text": (b"a", "a"),
    "instants": (AT, AT + timedelta(seconds=1)),
    "tuples": ((1, 2), (1, (2,))),
    "sets": (frozenset({1}), frozenset({1, (2,)})),
    "dicts": (cbor2.frozendict({1: 2}), cbor2.frozendict({"a": frozenset({1})})),
    "kinds of ours": (RegExp("a"), StepRef("a")),
    "buffers": (ArrayBuffer(b"a"), TypedArray(72, b"a")),
    "views": (DataView(b"b"), Url("http://a/")),
    "errors": (GuestError(name="E", message="m"), GuestError(name="E", message="m")),
}


@pytest.mark.parametrize("kind", MERGING)
def test_what_javascript_would_merge_is_refused_by_name(kind: str) -> None:
    first, second = MERGING[kind]
    pairs: dict[Any, int] = {first: 1, second: 2}
    frozen: Any = cbor2.frozendict(pairs)
    values: list[object] = [pairs, pairs | {(1,): 3}, {"a": pairs}, {frozen: 1}]
    values += [{first, second}, frozenset({first, second}), {frozenset({first, second}): 1}]
    for value in values:
        with pytest.raises(ValueNotCarriableError, match="one in JavaScript") as caught:
            encode([value], where="arguments")
        assert caught.value.path.startswith("arguments[0]")


@pytest.mark.parametrize("kind", APART)
def test_what_javascript_keeps_apart_arrives(kind: str) -> None:
    first, second = APART[kind]
    back = decode(encode([{first: 1, second: 2}, {first, second}], where="v"))
    assert list(back[0].values()) == [1, 2]
    assert len(back[1]) == 2


def _frozen(value: dict[Any, Any]) -> Any:
    return cbor2.frozendict(value)


KEYS: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    | st.binary(max_size=3)
    | st.just(UNDEFINED),
    lambda inner: (
        st.lists(inner, max_size=2).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.dictionaries(inner, inner, min_size=1, max_size=2).map(_frozen)
    ),
    max_leaves=4,
)


@given(st.dictionaries(KEYS, st.integers(), max_size=6))
def test_a_dict_comes_back_with_all_its_keys(value: Any) -> None:
    back = decode(encode(value, where="v"))
    assert back == value
    assert [type(key) for key in back] == [type(key) for key in value]


def test_a_key_that_is_nested_too_deep_is_refused_by_name() -> None:
    key: Any = ()
    other: Any = cbor2.frozendict()
    for _ in range(250):
        key, other = (key,), cbor2.frozendict({other: 1})
    for value in ({key: 1}, {other: 1}):
        with pytest.raises(ValueNotCarriableError, match="deeper"):
            encode(value, where="v")


def test_a_value_whose_tags_nest_too_deep_is_refused_by_name() -> None:
    value: Any = {1: 0}
    for _ in range(180):
        value = {1: value, 2: value}
    with pytest.raises(ValueNotCarriableError, match="deeper"):
        encode(value, where="v")


def test_more_items_than_can_cross_are_refused_by_name() -> None:
    for value in ([None] * MAX_ITEMS, {"a": [None] * (MAX_ITEMS - 2)}):
        with pytest.raises(ValueNotCarriableError, match="1,000,000 items"):
            encode(value, where="the result of add")


@pytest.mark.slow
def test_more_items_of_other_kinds_than_can_cross_are_refused_by_name() -> None:
    for value in ([UNDEFINED] * MAX_ITEMS, {(n,): n for n in range(MAX_ITEMS // 3 + 1)}):
        with pytest.raises(ValueNotCarriableError, match="1,000,000 items"):
            encode(value, where="v")


class Growing(dict[str, object]):
    """A dict that somebody writes to while it is read."""

    def items(self) -> Any:
        for key, item in super().items():
            self[key + "x"] = 1
            yield key, item


def test_a_container_that_changes_while_it_is_read_is_refused_by_name() -> None:
    with pytest.raises(ValueNotCarriableError, match="changed size") as caught:
        encode([Growing(a=1)], where="arguments")
    assert caught.value.path.startswith("arguments[0]")
