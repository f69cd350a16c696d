"""Annotations: decoded values in the types a step asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    NotRequired,
    Protocol,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import pytest

from perdure._protocol.annotations import convert, without_undefined
from perdure.errors import ValueNotCarriableError
from perdure.values import UNDEFINED, Undefined

ID = "00000000-0000-0000-0000-000000000001"
AT = datetime(2026, 1, 1, tzinfo=UTC)
UserId = NewType("UserId", UUID)
T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    TWO = 2


@dataclass
class Item:
    id: UUID
    price: float
    when: datetime | None = None


class Order(TypedDict):
    total: float
    items: NotRequired[list[Item]]


@dataclass
class Unseen:
    price: OnlyForCheckers  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


@dataclass
class Box(Generic[T]):
    item: T


class Named(Protocol):
    name: str


class Alias:
    """What ``type Alias = float`` makes in Python 3.12 and later."""

    __value__ = float


class Model:
    def __init__(self, value: object) -> None:
        self.value = value

    @classmethod
    def model_validate(cls, value: object) -> Model:
        return cls(value)


@pytest.mark.parametrize(
    ("value", "annotation", "made"),
    [
        (1, float, 1.0),
        (True, float, True),
        (1, int, 1),
        (ID, UUID, UUID(ID)),
        (ID, UserId, UUID(ID)),
        ("1.5", Decimal, Decimal("1.5")),
        (1.5, Decimal, Decimal("1.5")),
        ("2026-01-01T00:00:00Z", datetime, AT),
        (1767225600000, datetime, AT),
        (AT, datetime, AT),
        (AT, date, date(2026, 1, 1)),
        ("2026-01-01", date, date(2026, 1, 1)),
        ("10:00", time, time(10)),
        (1500, timedelta, timedelta(seconds=1.5)),
        ("red", Colour, Colour.RED),
        ("TWO", Colour, Colour.TWO),
        (2, Colour, Colour.TWO),
        (b"a", bytearray, bytearray(b"a")),
        (None, float, None),
        (UNDEFINED, int, None),
        (UNDEFINED, int | Undefined, UNDEFINED),
        (1, float | None, 1.0),
        (None, float | None, None),
        (ID, str | UUID, ID),
        (ID, UUID | None, UUID(ID)),
        ([1], list[float], [1.0]),
        ([1], Sequence[float], [1.0]),
        ([1], set[float], {1.0}),
        ([1, "x"], tuple[float, str], (1.0, "x")),
        ([1, 2], tuple[float, ...], (1.0, 2.0)),
        ([1], tuple, (1,)),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        ({"a": [1]}, Mapping[str, list[float]], {"a": [1.0]}),
        ({ID: 1}, dict[UUID, int], {UUID(ID): 1}),
        ({"id": ID, "price": 1}, Item, Item(UUID(ID), 1.0)),
        (
            {"total": 1, "items": [{"id": ID, "price": 1, "when": UNDEFINED}]},
            Order,
            {"total": 1.0, "items": [Item(UUID(ID), 1.0)]},
        ),
        (1, Annotated[float, "note"], 1.0),
        ("a", Literal["a"], "a"),
        ({"a": UNDEFINED}, Any, {}),
        ([UNDEFINED], "not evaluated", [None]),
        ("x", Item, "x"),
        (1, int | Undefined, 1),
        (1, Alias(), 1.0),
        ({"price": 1}, Unseen, Unseen(1)),
        ({"item": 1}, Box[int], Box(1)),
        ("x", Box[int], "x"),
        ("x", int | float, "x"),
        ({"total": 1}, str | Order, {"total": 1.0}),
        ([1], int | Named, [1]),
        ("b", Literal["a"] | Literal["b"], "b"),
        (bytearray(b"a"), bytes, b"a"),
        ("a", bytes, "a"),
        ({1: "x"}, Item | dict[int, str], {1: "x"}),
        ({"a": 1}, object, {"a": 1}),
        (1, None | float, 1.0),
        (1, timedelta | None, timedelta(milliseconds=1)),
        ("1 day", timedelta, "1 day"),
        (True, Decimal, True),
        ("2026-01-01T00:00:00", datetime, AT),
        (None, list[int], None),
        ({1, 2}, frozenset[float], frozenset({1.0, 2.0})),
    ],
    ids=repr,
)
def test_values_take_the_type_asked_for(value: Any, annotation: Any, made: object) -> None:
    found = convert(value, annotation)
    assert found == made
    assert type(found) is type(made)


def test_a_model_validates_its_own_data() -> None:
    assert convert({"a": UNDEFINED, "b": 1}, Model).value == {"b": 1}


@pytest.mark.parametrize(
    ("value", "annotation", "path"),
    [
        ("zz", UUID, "arguments[0]"),
        ({"id": "zz", "price": 1}, Item, "arguments[0].id"),
        ([{"id": ID, "price": 1, "colour": 1}], list[Item], "arguments[0][0]"),
        ({"price": 1}, Item, "arguments[0]"),
        ([1], tuple[int, int], "arguments[0]"),
        ("blue", Colour, "arguments[0]"),
        ("zz", UUID | Decimal, "arguments[0]"),
    ],
)
def test_values_of_another_kind_are_refused_with_their_path(
    value: Any, annotation: Any, path: str
) -> None:
    with pytest.raises(ValueNotCarriableError) as caught:
        convert(value, annotation, where="arguments[0]")
    assert caught.value.path == path


def test_undefined_is_dropped_from_objects_and_cycles_end() -> None:
    value: dict[str, Any] = {"a": UNDEFINED, "b": [UNDEFINED]}
    value["me"] = value
    made = without_undefined(value)
    assert list(made) == ["b", "me"]
    assert made["b"] == [None]
    assert made["me"] is made
