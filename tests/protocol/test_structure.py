"""Structure: values with parts come back as the types that annotations name."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import typing
from collections import abc, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Protocol,
    Required,
    TypedDict,
    TypeVar,
    cast,
)
from uuid import UUID

import pydantic
import pydantic.dataclasses
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field, field_serializer

from perdure._protocol.annotations import converter
from perdure._protocol.codec import decode, encode
from perdure.errors import ValueNotCarriableError
from perdure.values import UNDEFINED, RegExp, Undefined, Url

ID = UUID(int=1)
AT = datetime(2026, 1, 1, tzinfo=UTC)
UserId = NewType("UserId", UUID)
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Swapped(enum.Enum):
    A = "B"
    B = "A"


class Access(enum.IntFlag):
    READ = 1
    WRITE = 2


class Shape(enum.Enum):
    SQUARE = (1, 1)
    WIDE = (2, 1)


@dataclass
class Item:
    id: UUID
    price: float
    when: datetime | None = None


@dataclass
class Counted:
    name: str
    count: timedelta = field(init=False, default=timedelta(0))


@dataclass
class Box(Generic[T]):
    item: T


class Pair(NamedTuple):
    left: int
    right: timedelta = timedelta(seconds=1)


class Order(TypedDict):
    total: float
    items: NotRequired[list[Item]]


class Loose(TypedDict, total=False):
    name: Required[str]
    inner: Order


class Tree(BaseModel):
    value: Decimal
    children: list[Tree] = []


class Named(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    user_id: UUID = Field(alias="userId")
    version: int = Field(validation_alias="VERSION")
    shown: str = Field(serialization_alias="SHOWN")
    secret: str = Field(exclude=True)
    took: timedelta
    path: Path
    at: tuple[int, Decimal]
    colour: Colour

    @computed_field
    def doubled(self) -> int:
        return self.version * 2


class Aliased(BaseModel):
    user_id: UUID = Field(alias="userId")


def as_complex(value: Any) -> Any:
    return complex(*cast("list[float]", value)) if isinstance(value, list) else value


class Weighted(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    weight: Annotated[
        complex,
        pydantic.PlainSerializer(lambda value: [value.real, value.imag]),
        pydantic.BeforeValidator(as_complex),
    ]
    label: str

    @field_serializer("label")
    def shouted(self, value: str) -> str:
        return value.upper()


class Numbers(RootModel[list[int]]):
    pass


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Narrow(TypedDict):
    # Pydantic's, no stub has it.
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    a: int


@pydantic.dataclasses.dataclass(config=ConfigDict(extra="ignore"))
class Lax:
    a: int


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


class Wrapping(BaseModel):
    content: dict[str, list[Item]]
    maybe: int | Undefined = 3

    @pydantic.model_serializer(mode="wrap")
    def noted(self, handler: Any) -> Any:
        return handler(self)


NAMED = Named.model_validate(
    {
        "userId": ID,
        "VERSION": 1,
        "shown": "s",
        "secret": "t",
        "took": timedelta(seconds=1.5),
        "path": Path("/a"),
        "at": (1, Decimal("1.50")),
        "colour": Colour.TWO,
    }
)
COUNTED = Counted("n")
COUNTED.count = timedelta(seconds=7)
OPEN = Open.model_validate({"name": "n", "more": [1]})

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (UUID, ID),
    (UserId, ID),
    (Decimal, Decimal("1.50")),
    (datetime, AT),
    (date, date(2026, 1, 2)),
    (time, time(10, 30)),
    (timedelta, timedelta(milliseconds=1500)),
    (timedelta, timedelta(microseconds=1)),
    (Path, Path("/a/b")),
    (PurePosixPath, PurePosixPath("a")),
    (ipaddress.IPv4Address, ipaddress.IPv4Address("127.0.0.1")),
    (ipaddress.IPv6Network, ipaddress.IPv6Network("::/8")),
    (Colour, Colour.RED),
    (Colour, Colour.TWO),
    (Size, Size.LARGE),
    (Swapped, Swapped.A),
    (Access, Access(0)),
    (Access, Access.READ | Access.WRITE),
    (Shape, Shape.WIDE),
    (Item, Item(ID, 1.0, AT)),
    (Counted, COUNTED),
    (Box[timedelta], Box(timedelta(seconds=2))),
    (Box[Item], Box(Item(ID, 1.0))),
    (Pair, Pair(1)),
    (Order, {"total": 1.0, "items": [Item(ID, 2.0)]}),
    (Order, {"total": 1.0, "unnamed": 2}),
    (Loose, {"name": "n", "inner": {"total": 1.0}}),
    (Tree, Tree(value=Decimal(1), children=[Tree(value=Decimal("2.5"))])),
    (Named, NAMED),
    (Weighted, Weighted(weight=1 + 2j, label="A")),
    (Numbers, Numbers([1, 2])),
    (Open, OPEN),
    (Cat | Dog, Dog(lives=3)),
    (Literal["none"] | Cat, Cat(lives=2)),
    (Literal["none"] | Cat, "none"),
    (Cat | None, None),
    (tuple[int, str], (1, "a")),
    (tuple[float, ...], (1.0, 2.0)),
    (tuple, (1, 2)),
    (set[UUID], {ID}),
    (frozenset[int], frozenset({1, 2})),
    (deque[int], deque([1, 2])),
    (list[bytes], [b"a"]),
    (abc.Sequence[Item], [Item(ID, 1.0)]),
    (abc.Iterable[float], [1.0]),
    (abc.Mapping[str, list[Colour]], {"a": [Colour.RED]}),
    (dict[UUID, int], {ID: 1}),
    (dict[int, str], {1: "a"}),
    (dict[Size, str], {Size.SMALL: "a"}),
    (Annotated[int, Field(ge=0)], 3),
    (int | list[int], [1]),
    (list[Url | RegExp], [Url("http://a/"), RegExp("a", "g")]),
    (Any | None, {"a": 1}),
]


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS, ids=repr)
def test_a_value_comes_back_as_it_was(annotation: Any, value: object) -> None:
    payload = encode(value, where="value")
    back = converter(annotation)(decode(payload), "arguments[0]")
    assert back == value
    assert type(back) is type(value)


NESTED: list[Any] = [UUID, timedelta, Path, Size, Shape, Item, Named, Pair, Order, Box[timedelta]]
SAMPLES: dict[Any, Any] = dict(reversed(ROUND_TRIPS))


@pytest.mark.parametrize("annotation", NESTED, ids=repr)
def test_a_value_comes_back_from_within_others(annotation: Any) -> None:
    value = SAMPLES[annotation]
    holder = dataclasses.make_dataclass("Holder", [("held", annotation)])
    model = pydantic.create_model("Model", held=(annotation, ...))
    make: Any = TypedDict
    keyed = make("Keyed", {"held": annotation})
    cases: list[tuple[Any, Any]] = [
        (list[annotation], [value]),
        (dict[str, annotation], {"a": value}),
        (annotation | None, value),
        (holder, holder(value)),
        (model, model(held=value)),
        (keyed, {"held": value}),
    ]
    for kind, whole in cases:
        back = converter(kind)(decode(encode(whole, where="value")), "arguments[0]")
        assert back == whole
        assert type(back) is type(whole)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (datetime, "2026-01-01T00:00:00Z", AT),
        (datetime, "2026-01-01T00:00:00", AT),
        (datetime, 1767225600000, AT),
        (pydantic.NaiveDatetime, "2026-01-01T00:00:00", datetime(2026, 1, 1)),
        (date, AT, date(2026, 1, 1)),
        (date, 1767225600000, date(2026, 1, 1)),
        (timedelta, "P1D", timedelta(days=1)),
        (Decimal, 1.5, Decimal("1.5")),
        (list[int], [2.0**53], [2**53]),
        (Order, {"total": 1, "items": UNDEFINED}, {"total": 1.0}),
        (Cat, {"kind": UNDEFINED, "lives": 1}, Cat(lives=1)),
        (Wrapping, {"content": {}, "maybe": UNDEFINED}, Wrapping(content={}, maybe=UNDEFINED)),
        (
            Wrapping,
            {"content": {"a": [{"id": str(ID), "price": 1, "when": UNDEFINED}]}},
            Wrapping(content={"a": [Item(ID, 1.0)]}),
        ),
        (Lax, {"a": 1, "b": 2}, Lax(1)),
        (list[int | Undefined], [UNDEFINED, 1], [UNDEFINED, 1]),
        (tuple[int | Undefined, list[int | None]], [1, [UNDEFINED]], (1, [None])),
        (Aliased, {"userId": str(ID)}, Aliased(userId=ID)),
        (Aliased, {"user_id": str(ID)}, Aliased(userId=ID)),
        (Annotated[int, Field(strict=False)], "1", 1),
        (typing.Callable[[], int] | int, 1, 1),
    ],
    ids=repr,
)
def test_a_value_of_javascript_is_put_into_its_type(
    annotation: Any, value: Any, expected: object
) -> None:
    converted = converter(annotation)(value, "arguments[0]")
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (UUID, "zz", ""),
        (Item, {"id": "zz", "price": 1}, ".id"),
        (Item, {"price": 1}, ".id"),
        (list[Item], [{"id": str(ID), "price": 1, "colour": 1}], "[0].colour"),
        (Counted, {"name": "n", "count": "x"}, ".count"),
        (Counted, "x", ""),
        (tuple[int, int], [1], "[1]"),
        (Colour, "blue", ""),
        (Colour, "RED", ""),
        (Size, "SMALL", ""),
        (Size, True, ""),
        (Shape, "ROUND", ""),
        (Shape, [1, 1], ""),
        (list[int], [1.5], "[0]"),
        (list[int], ["1"], "[0]"),
        (list[float], [True], "[0]"),
        (list[bool], ["true"], "[0]"),
        (list[bytes], ["a"], "[0]"),
        (list[int], None, ""),
        (Pair, {"left": 1, "middle": 2}, ".middle"),
        (dict[str, Item], {"a": 1}, ".a"),
        (Wrapping, "x", ""),
        (Named, "x", ""),
        (Narrow, {"a": 1, "b": 2}, ".b"),
    ],
    ids=repr,
)
def test_a_value_of_another_kind_is_refused_with_its_path(
    annotation: Any, value: Any, path: str
) -> None:
    with pytest.raises(ValueNotCarriableError) as caught:
        converter(annotation)(value, "arguments[0]")
    assert caught.value.path == "arguments[0]" + path


def test_a_refusal_does_not_show_the_value() -> None:
    with pytest.raises(ValueNotCarriableError) as caught:
        converter(Item)({"id": "hunter2", "price": "hunter2"}, "arguments[0]")
    assert "hunter2" not in str(caught.value)
    assert "(1 more)" in str(caught.value)
    assert caught.value.__cause__ is None


class Opaque:
    pass


class Readable(Protocol):
    def read(self) -> bytes: ...


@pytest.mark.parametrize(
    "annotation",
    [
        Opaque,
        Readable,
        typing.Callable[[], int],
        list[typing.Callable[[], int]],
        type[int],
        complex,
        typing.Callable[[], int] | complex,
        typing.Never,
        range,
    ],
    ids=repr,
)
def test_an_annotation_that_nothing_fits_is_refused(annotation: Any) -> None:
    with pytest.raises(TypeError):
        converter(annotation)


def test_a_class_that_is_not_whole_yet_is_told_as_such() -> None:
    class Later(BaseModel):
        # Not there on purpose.
        field: NotThere  # type: ignore[name-defined]  # noqa: F821

    @dataclass
    class Unseen:
        field: NotThere  # type: ignore[name-defined]  # noqa: F821  # likewise

    for annotation in (Later, Unseen):
        with pytest.raises(NameError, match=r"NotThere|not defined"):
            converter(list[annotation])  # type: ignore[valid-type]  # a type that is a value
    with pytest.raises(NameError, match="NotThere"):
        # Not there on purpose.
        converter(list["NotThere"])  # type: ignore[name-defined]  # noqa: F821


def test_a_typed_dict_that_names_what_is_not_there_is_refused() -> None:
    class Unseen(TypedDict):
        # Not there on purpose.
        field: NotThere  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(NameError):
        converter(Unseen)


def test_a_union_keeps_what_is_a_member_already() -> None:
    assert converter(str | UUID)(str(ID), "v") == str(ID)
