"""Maps: dicts without entries that their types declare as Maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)

import pydantic
import pytest

from perdure._protocol.codec import decode, encode
from perdure._types.forms import says_map
from perdure._types.maps import empty_maps

T = TypeVar("T")
Table = dict[int, str]
Named = NewType("Named", dict[int, str])


@dataclass
class Row:
    table: Table = field(default_factory=lambda: Table())
    words: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    next: Row | None = None


@dataclass(slots=True)
class Slotted(Generic[T]):
    held: T


class Order(pydantic.BaseModel):
    table: dict[int, Row]


class Tables(pydantic.RootModel[list[Table]]):
    pass


class Page(pydantic.BaseModel, Generic[T]):
    held: T


class Pair(NamedTuple):
    table: Table
    words: dict[str, int]


class Keyed(TypedDict):
    table: NotRequired[Table]
    words: Required[dict[str, int]]


class Alias:
    """What ``type Alias = dict[int, str]`` makes in Python 3.12 and later."""

    __value__ = Table


def forms(annotation: Any, value: Any) -> str:
    """The value with M for each empty Map, O for each empty object."""
    payload = encode(value, where="value", maps=empty_maps(annotation, value).keys())
    assert decode(payload) == decode(encode(value, where="value"))
    tagged = payload.replace(b"\xd9\x01\x03\xa0", b"M").replace(b"\xa0", b"O")
    return "".join(chr(byte) for byte in tagged if byte in b"MO")


CASES: list[tuple[Any, Any, str]] = [
    (Table, {}, "M"),
    (dict[str, int], {}, "O"),
    (Any, {}, "O"),
    (dict, {}, "O"),
    (Mapping[int, str], {}, "M"),
    (Table | None, {}, "M"),
    (Annotated[Table, "some"], {}, "M"),
    (Final[Table], {}, "M"),
    (Named, {}, "M"),
    (Alias(), {}, "M"),
    (list[Table], [{}, {1: "a"}, {}], "MM"),
    (tuple[Table, dict[str, int]], ({}, {}), "MO"),
    (tuple[Table, ...], ({}, {}), "MM"),
    (dict[int, Table], {1: {}}, "M"),
    (dict[str, dict[str, Table]], {"a": {}, "b": {"c": {}}}, "OM"),
    (Row, Row(next=Row()), "MOMO"),
    (list[Row], [Row(table={1: "a"})], "O"),
    (Slotted[Table], Slotted[Table]({}), "M"),
    (Slotted[dict[str, int]], Slotted[dict[str, int]]({}), "O"),
    (Order, Order(table={1: Row()}), "MO"),
    (Tables, Tables([{}]), "M"),
    (Page[Table], Page[Table](held={}), "M"),
    (Pair, Pair({}, {}), "MO"),
    (Keyed, {"table": {}, "words": {}}, "MO"),
    (Keyed, {"words": {}}, "O"),
    (Table | dict[str, int], {}, "O"),
    (Table | Keyed, {}, "O"),
    (Table | list[Table], [{}], "M"),
    (int | Row, Row(), "MO"),
    (Table, [1], ""),
    (list[Table], {"a": {}}, "O"),
    (Row, {"table": 5}, ""),
    (set[int], {1}, ""),
    (Row, [1], ""),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), CASES, ids=repr)
def test_an_empty_dict_is_what_its_type_says(annotation: Any, value: Any, expected: str) -> None:
    assert forms(annotation, value) == expected
    assert says_map(annotation) or "M" not in expected


def test_a_value_that_holds_itself_is_walked_once() -> None:
    row = Row()
    row.next = row
    assert list(empty_maps(Row, row).values()) == [{}]
