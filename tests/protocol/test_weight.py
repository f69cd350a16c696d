"""Weight: a value is small by its items and its text, whatever else it is."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import pytest

from perdure._protocol.weight import SMALL_ITEMS, is_small, parts_of_text
from perdure.errors import GuestError


@dataclass
class Row:
    id: int
    name: str


class Endless(list[int]):
    """Has more items than it says."""

    def __iter__(self) -> Iterator[int]:
        return itertools.repeat(1)


@dataclass(slots=True)
class Slotted:
    rows: list[int]


@pytest.mark.parametrize(
    ("value", "small"),
    [
        (5, True),
        ("a" * 1000, True),
        ([1] * SMALL_ITEMS, True),
        ([1] * (SMALL_ITEMS + 1), False),
        (dict.fromkeys(range(SMALL_ITEMS + 1)), False),
        (dict.fromkeys(range(300)), True),
        ([[1] * 400, (2,) * 400, {*range(400)}], False),
        ({tuple(range(2000)): 1}, False),
        ("a" * (2 << 20), False),
        ([b"a" * (1 << 19)] * 3, False),
        (Row(1, "a"), True),
        ([Row(n, "a") for n in range(500)], False),
        (Row, True),
        (Slotted([1]), True),
        ([Slotted([1] * 900), [1] * 900], False),
        (deque([1] * (SMALL_ITEMS + 1)), False),
        (MappingProxyType({"a": [1] * (SMALL_ITEMS + 1)}), False),
        (object(), True),
        (Endless([1]), False),
        (KeyError([1] * 2000), False),
        (ValueError("a"), True),
        (ExceptionGroup("g", [ValueError()] * 2000), False),
        (GuestError(name="E", message="m", props={"a": [1] * 2000}), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_small_by_its_items_and_its_text(value: object, small: bool) -> None:
    assert is_small(value) is small


def test_a_cycle_is_not_small() -> None:
    value: list[object] = []
    value.append(value)
    assert not is_small(value)


def test_the_text_of_an_error_of_the_system_names_files() -> None:
    assert parts_of_text(OSError(2, "no such file", "a", None, "b")) == (
        2,
        "no such file",
        "a",
        "b",
    )
    assert parts_of_text(ExceptionGroup("g", [ValueError("x")])) == ()
    assert parts_of_text(ValueError("x", 1)) == ("x", 1)
