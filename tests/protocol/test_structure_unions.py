# ruff: noqa: E501  # one kind a line
"""Unions: members whose values cross in other forms are told apart by those."""

from __future__ import annotations

import enum
import itertools
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union
from uuid import UUID

import pydantic
import pytest
from pydantic import BaseModel, Field

from perdure._protocol.annotations import converter
from perdure._protocol.codec import decode, encode
from perdure.errors import ValueNotCarriableError


class Size(enum.IntEnum):
    SMALL = 1


class Access(enum.Flag):
    READ = 1


class Pair(NamedTuple):
    left: int
    right: int


class Spans(pydantic.RootModel[list[timedelta]]):
    pass


class Tree(BaseModel):
    parts: list[Tree | set[int]] | date | int = 0


@dataclass
class Point:
    x: int


# form -> types of which values cross in it, with a value that pydantic makes others of
MEMBERS: dict[str, list[tuple[Any, Any]]] = {
    "number": [(int, 0), (int, 20000), (float, 1.5), (timedelta, timedelta(0)), (Size, Size.SMALL), (Access, Access.READ)],
    "text": [
        (date, date(2026, 1, 1)), (time, time(0, 9, 40)), (UUID, UUID(int=1)), (Decimal, Decimal("1.50")),
        (IPv4Address, IPv4Address("0.0.0.5")), (Path, Path("1")), (Fraction, Fraction(4)), (str, "1"), (Literal["0"], "0"),
    ],
    "Date": [(datetime, datetime(2026, 1, 1, tzinfo=UTC)), (pydantic.AwareDatetime, datetime(1970, 1, 1, tzinfo=UTC))],
    "Array": [(list[int], [1]), (list[date], []), (tuple[int, ...], ()), (tuple[()], ()), (deque[int], deque([1])), (Pair, Pair(1, 2)), (Spans, Spans([])), (Sequence[int], [1])],
    "Set": [(set[int], {1}), (set[date], set()), (frozenset[int], frozenset({1}))],
    "object": [(dict[str, int], {}), (Mapping[str, int], {"a": 1}), (Point, Point(1)), (Tree, Tree()), (Counter[str], Counter(a=1)), (OrderedDict[str, int], OrderedDict()), (defaultdict[str, int], defaultdict(int))],
    "null": [(None, None)],
    "bytes": [(bytes, b"1")],
    "boolean": [(bool, True)],
}  # fmt: skip
PAIRS = [
    (one, other)
    for left, right in itertools.permutations(MEMBERS, 2)
    for one in MEMBERS[left]
    for other in MEMBERS[right]
]


@pytest.mark.slow
def test_each_of_two_members_comes_back_in_either_order() -> None:
    wrong: list[str] = []
    for (one, value), (other, _) in PAIRS:
        for wrapped in (False, True):
            kinds = [Annotated[kind, "some"] if wrapped else kind for kind in (one, other)]
            made: Any = Union[tuple(kinds)]  # noqa: UP007  # of so many
            back = converter(made)(decode(encode(value, where="value")), "value")
            if back != value or type(back) is not type(value):
                wrong.append(f"{one} of {one} | {other}: {value!r} came back as {back!r}")
    assert wrong == []


def test_a_model_that_names_itself_tells_its_members_apart() -> None:
    for parts in (date(1970, 1, 1), 5, [{1}, Tree(parts=[set()])]):
        tree = Tree(parts=parts)  # type: ignore[arg-type]  # pydantic takes them
        back = converter(Tree | int)(decode(encode(tree, where="value")), "value")
        assert back == tree


def doubled(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (timedelta | date, "2026-01-01", date(2026, 1, 1)),
        (timedelta | None, "P1D", timedelta(days=1)),
        (date | None, 86_400_000, date(1970, 1, 2)),
        (Decimal | None, 1.5, Decimal("1.5")),
        (set[int] | None, [1], {1}),
        (Annotated[int | date, Field(union_mode="left_to_right")], 5, 5),
        (Annotated[date, pydantic.BeforeValidator(doubled)] | int, 0, date(1970, 1, 1)),
        (Annotated[int, pydantic.AfterValidator(doubled)] | datetime, 5, 5),
        (datetime | Annotated[int, Field(gt=3)], 5, 5),
        (datetime | Literal[5, None] | None, 5, 5),
        (datetime | int | str | date, "2026-01-01", "2026-01-01"),
        (Annotated[Tree | Point, Field(union_mode="smart")] | int, {"x": 1}, Point(1)),
        (Any | date, 5, 5),
        (datetime | Annotated[int | None, Field(ge=0)], 0, 0),
    ],
    ids=repr,
)  # fmt: skip
def test_where_no_member_has_a_form_of_its_own_pydantic_decides(
    annotation: Any, value: Any, expected: object
) -> None:
    back = converter(annotation)(value, "value")
    assert (back, type(back)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (date | Annotated[int, Field(gt=3)], 1),
        (timedelta | time, "no time"),
        (tuple[int, int] | set[int], {1, 2, 3.5}),
    ],
    ids=repr,
)
def test_a_value_that_its_own_member_refuses_is_no_other(annotation: Any, value: Any) -> None:
    with pytest.raises(ValueNotCarriableError):
        converter(annotation)(value, "value")
