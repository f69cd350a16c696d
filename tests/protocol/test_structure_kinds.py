"""Structure: classes of unusual kinds come back as they were, or are refused by name."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar
from zoneinfo import ZoneInfo

import pydantic
import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Json,
    RootModel,
    Tag,
    computed_field,
    field_serializer,
    model_serializer,
)

from perdure._protocol.annotations import converter
from perdure._protocol.bindings import bindings_of, filled, is_open
from perdure._protocol.codec import decode, encode
from perdure._protocol.models import serialized_fields
from perdure._protocol.schemas import Adapter
from perdure.errors import ValueNotCarriableError

T = TypeVar("T")
DAY = timedelta(days=1)


class Words(BaseModel):
    """Its fields have the names of parts of pydantic's schemas."""

    type: timedelta
    strict: timedelta = DAY
    cls: timedelta = DAY
    metadata: dict[str, timedelta]
    default: timedelta = DAY
    choices: timedelta = DAY
    fields_: timedelta = DAY
    serialization: timedelta = DAY


@dataclass
class DataWords:
    type: timedelta
    strict: timedelta
    cls: timedelta
    metadata: timedelta


class TypedWords(TypedDict):
    type: timedelta
    strict: timedelta
    expected: timedelta


class NamedWords(NamedTuple):
    type: timedelta
    strict: timedelta
    cls: timedelta


class Swapped(BaseModel):
    x: int = Field(alias="y")
    y: int = Field(alias="x")


class Placed(BaseModel):
    a: int = Field(validation_alias=AliasPath("x", 0))
    b: int = Field(validation_alias=AliasChoices("b1", AliasPath("a", "z")))


class Pet(enum.Enum):
    CAT = "cat"
    DOG = "dog"


class Shape(enum.Enum):
    SQUARE = (1, 1)
    WIDE = (2, 1)


class Cat(BaseModel):
    kind: Literal[Pet.CAT] = Field(default=Pet.CAT, alias="K")
    shape: Literal[Shape.SQUARE] = Shape.SQUARE


class Dog(BaseModel):
    kind: Literal[Pet.DOG] = Field(default=Pet.DOG, alias="K")
    shape: Literal[Shape.WIDE] = Shape.WIDE


def kind_of(value: Any) -> Any:
    # A dict or a model.
    return value["kind"] if isinstance(value, dict) else value.kind.value  # pyright: ignore[reportUnknownVariableType]


Chosen = Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)]


class Owner(RootModel[Annotated[Cat | Dog, Field(discriminator="shape")]]):
    pass


class Seconds(BaseModel):
    took: timedelta
    for_json: Annotated[
        timedelta, pydantic.PlainSerializer(lambda value: value.total_seconds(), when_used="json")
    ]
    hidden: timedelta = Field(exclude=True)
    every: list[timedelta]
    count: int
    data: pydantic.Base64Bytes

    @field_serializer("took", "hidden")
    def in_seconds(self, value: timedelta) -> float:
        return value.total_seconds()

    @field_serializer("count")
    def in_text(self, value: int) -> str:
        return str(value)

    @field_serializer("every")
    def as_they_are(self, value: Any) -> Any:
        return tuple(value)


class Wrapped(BaseModel):
    took: timedelta
    ends: datetime
    pet: Pet

    @model_serializer(mode="wrap")
    def noted(self, handler: Any) -> Any:
        return handler(self)


class Flat(BaseModel):
    took: timedelta
    ends: datetime

    @model_serializer
    def in_seconds(self) -> dict[str, float]:
        return {"took": self.took.total_seconds(), "ends": self.ends.timestamp()}


class Made(BaseModel):
    took: timedelta = Field(alias="TOOK")
    inner: Made | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class MadeByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True, extra="allow")
    took: timedelta = Field(alias="TOOK")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Twice(BaseModel):
    model_config = ConfigDict(extra="forbid")
    first: Pet
    second: Pet
    inner: Twice | None = None

    @computed_field
    def both(self) -> int:
        return 2


class Read(BaseModel):
    numbers: Json[list[int]]
    anything: Json[Any]


@dataclass
class Late:
    a: int
    took: timedelta = field(init=False)
    inner: Late | None = None

    def __post_init__(self) -> None:
        self.took = timedelta(self.a)


@dataclass(frozen=True, slots=True)
class Sealed:
    a: int
    took: timedelta = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "took", DAY)


@dataclass
class Box(Generic[T]):
    item: T
    late: list[T] = field(init=False, default_factory=list[T])
    more: dict[str, T] = field(default_factory=dict[str, T])


@dataclass
class DayBox(Box[timedelta]):
    count: int = 0


@dataclass
class Never(Generic[T]):
    item: T
    late: T = field(init=False)


class Keyed(TypedDict, Generic[T]):
    item: T
    items: list[T]


class DayKeyed(Keyed[timedelta]):
    count: int


class Chain(TypedDict):
    took: timedelta
    next: NotRequired[Chain]


class Link(TypedDict):
    took: timedelta
    next: NotRequired[Loop]


class Loop(TypedDict):
    day: date
    next: NotRequired[Link]


class Small(BaseModel):
    a: int


class Larger(Small):
    b: int = 1


class Largest(Larger):
    c: int = 1


class Nested(BaseModel):
    parts: list[Nested | Leaf] = []
    a: int = 0


class Leaf(BaseModel):
    a: int


@dataclass
class Plain:
    a: int


@dataclass
class More(Plain):
    b: int = 1


class Odd(enum.Enum):
    NOTHING = float("nan")
    HALF = 0.5


class Pair(tuple[int, int], enum.Enum):
    ONE = (1, 2)


class Spans(enum.Enum):
    DAY = DAY


class Weight(enum.Flag):
    LIGHT = 1


late = Late(1, inner=Late(2))
late.took = timedelta(7)
box = DayBox(DAY, more={"a": DAY})
box.late = [DAY]
chain: Chain = {"took": DAY, "next": {"took": DAY}}

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (Words, Words(type=timedelta(2), metadata={"type": DAY, "strict": DAY})),
    (DataWords, DataWords(DAY, DAY, DAY, DAY)),
    (TypedWords, {"type": DAY, "strict": DAY, "expected": DAY}),
    (NamedWords, NamedWords(DAY, DAY, DAY)),
    (Swapped, Swapped(y=1, x=2)),
    (Placed, Placed.model_validate({"x": [1], "b1": 2})),
    (Annotated[Cat | Dog, Field(discriminator="kind")], Dog()),
    (Cat | Dog, Dog()),
    (Chosen, Dog()),
    (Owner, Owner(Dog())),
    (list[Literal[Shape.SQUARE, "SQUARE!", 1, True, None]], [Shape.SQUARE, 1, True, None]),
    (Literal[Spans.DAY], Spans.DAY),
    (Literal[Weight.LIGHT, b"a"], Weight.LIGHT),
    (Literal[1] | bool, True),
    (
        Seconds,
        Seconds(
            took=DAY, for_json=DAY, hidden=timedelta(seconds=3), every=[-DAY], count=1, data=b"YQ=="
        ),
    ),
    (Wrapped, Wrapped(took=-DAY, ends=datetime(2026, 1, 1, tzinfo=UTC), pet=Pet.DOG)),
    (Flat, Flat(took=DAY, ends=datetime(2026, 1, 1, tzinfo=UTC))),
    (Made, Made(TOOK=DAY, inner=Made(TOOK=DAY))),
    (list[MadeByName], [MadeByName(took=DAY, more=1)]),
    (Twice, Twice(first=Pet.CAT, second=Pet.DOG, inner=Twice(first=Pet.DOG, second=Pet.DOG))),
    (Read, Read.model_validate({"numbers": "[1]", "anything": '{"a": [1]}'})),
    (Read, Read.model_validate({"numbers": "[1]", "anything": '"text"'})),
    (Late, late),
    (Sealed, Sealed(1)),
    (DayBox, box),
    (Keyed[timedelta], {"item": DAY, "items": [DAY]}),
    (Keyed[Decimal], {"item": Decimal(1), "items": []}),
    (DayKeyed, {"item": DAY, "items": [DAY], "count": 1}),
    (Chain, chain),
    (Link, {"took": DAY, "next": {"day": date(2026, 1, 1), "next": {"took": DAY}}}),
    (Nested, Nested(parts=[Leaf(a=1), Nested()])),
    (Odd, Odd.NOTHING),
    (dict[Odd, int], {Odd.HALF: 1}),
    (dict[Pair, int], {Pair.ONE: 1}),
    (ZoneInfo, ZoneInfo("Europe/Berlin")),
    (Fraction, Fraction(1, 3)),
    (pydantic.HttpUrl, pydantic.HttpUrl("http://a/b?c=d")),
    (dict[str, pydantic.PostgresDsn], {"a": pydantic.PostgresDsn("postgres://u:p@h/d")}),
    (Decimal, Decimal("-Infinity")),
    (Annotated[Decimal, Field(max_digits=4)], Decimal("1.50")),
    (pydantic.IPvAnyAddress, IPv4Address("127.0.0.1")),
    (time, time(1, 2, 3, 4)),
    (timedelta, timedelta(days=999999999)),
]


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS, ids=repr)
def test_a_value_of_an_unusual_kind_comes_back(annotation: Any, value: object) -> None:
    back = converter(annotation)(decode(encode(value, where="value")), "arguments[0]")
    assert back == value
    assert type(back) is type(value)
    assert repr(back).replace("TzInfo(0)", "datetime.timezone.utc") == repr(value)


@pytest.mark.parametrize("value", [Small(a=1), Larger(a=1), Largest(a=1), Plain(1), More(1)])
@pytest.mark.parametrize(
    "annotation",
    [
        Small | Larger | Largest | Plain | More,
        More | Plain | Largest | Larger | Small,
        Larger | Plain | Largest | str | More | Small | None,
    ],
    ids=repr,
)
def test_a_class_with_fewer_fields_is_not_taken_for_its_child(annotation: Any, value: Any) -> None:
    back = converter(annotation)(decode(encode(value, where="value")), "arguments[0]")
    # The models' fields are those of the dataclasses, too.
    assert repr(back).partition("(")[2] == repr(value).partition("(")[2]


def test_the_order_of_a_union_that_asks_for_it_is_kept() -> None:
    annotation = Annotated[Larger | Small, Field(union_mode="left_to_right")]
    assert type(converter(annotation)({"a": 1}, "value")) is Larger


def test_not_a_number_is_a_decimal_but_no_amount_of_a_model() -> None:
    class Bill(BaseModel):
        total: Decimal

    assert converter(Decimal)("NaN", "value").is_nan()
    with pytest.raises(ValueNotCarriableError, match="finite"):
        converter(Bill)({"total": "NaN"}, "value")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Literal[1, "a"], 2),
        (Literal[1, "a"], True),
        (Literal[1, "a"], [1]),
        (Literal[Shape.WIDE], "SQUARE"),
        (Literal[Shape.WIDE], Shape.SQUARE),
        (datetime, float("nan")),
        (datetime, 1e20),
        (timedelta, 1e20),
        (date, float("inf")),
        (Sealed, "a"),
        (Twice, "a"),
        (Words, {"type": "x", "metadata": {}}),
        (Read, {"numbers": "{", "anything": "{"}),
    ],
    ids=repr,
)
def test_a_value_that_does_not_fit_is_refused_by_name(annotation: Any, value: Any) -> None:
    with pytest.raises(ValueNotCarriableError, match="value"):
        converter(annotation)(value, "value")


def test_a_text_is_read_as_json_where_it_holds_json() -> None:
    read = converter(Json)
    assert [read(text, "value") for text in ('{"a": 1}', "[", "1", b"[2]", 3)] == [
        {"a": 1},
        "[",
        "1",
        [2],
        3,
    ]
    assert converter(Json[list[int]])("[1]", "value") == [1]
    assert converter(Literal[1, Shape.WIDE])(1.0, "value") == 1


class Opaque:
    pass


class Holding(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    held: Opaque


@pytest.mark.parametrize(
    "annotation",
    [
        Holding,
        pydantic.InstanceOf[Cat],
        list[Holding],
        Never[timedelta],
        Literal[Pet.CAT, "cat"],
        Literal[1.5],  # pyright: ignore[reportInvalidTypeForm]  # people write it
        lambda: None,
        set[list[int]],
        dict[frozenset[int], set[dict[str, int]]],
        enum.Enum("Broken", {"A": "\ud800"}),
    ],
    ids=repr,
)
def test_an_annotation_that_cannot_hold_is_refused(annotation: Any) -> None:
    with pytest.raises(TypeError):
        converter(annotation)


@pytest.mark.parametrize(
    "value",
    [timedelta.max, timedelta.min + timedelta.resolution, timedelta(days=365000, microseconds=1)],
    ids=repr,
)
def test_a_duration_that_milliseconds_cannot_tell_is_refused(value: timedelta) -> None:
    with pytest.raises(ValueNotCarriableError, match="more digits"):
        encode(value, where="value")


def test_an_adapter_shows_how_much_it_knows() -> None:
    assert repr(Adapter(keeps_undefined=False)) == "<Adapter of 0 definitions>"


def test_bindings_go_through_bases() -> None:
    assert bindings_of(DayBox) == {T: timedelta}
    assert bindings_of(Box[int]) == {T: int}
    # An open type as a value.
    assert filled(dict[str, T], {T: int}) == dict[str, int]  # type: ignore[valid-type]
    assert filled(int, {T: int}) is int


class Starred(BaseModel):
    took: timedelta

    @field_serializer("*")
    def as_it_is(self, value: Any) -> Any:
        return value


class WrittenRoot(RootModel[int]):
    @model_serializer(mode="wrap")
    def in_an_object(self, handler: Any) -> Any:
        return {"root": handler(self)}


def test_serializers_of_every_field_and_of_a_root_are_respected() -> None:
    assert serialized_fields(Starred) == {"took"}
    assert serialized_fields(int) == frozenset()
    payload = encode(Starred(took=-DAY), where="value")
    assert decode(payload) == {"took": "-P1DT0.000000S"}
    assert converter(Starred)(decode(payload), "value") == Starred(took=-DAY)
    assert decode(encode(WrittenRoot(1), where="value")) == {"root": 1}
    assert converter(WrittenRoot)(1, "value") == WrittenRoot(1)


def test_a_member_of_a_literal_is_taken_as_it_is() -> None:
    assert converter(Literal[Shape.WIDE])(Shape.WIDE, "value") is Shape.WIDE


def test_schemas_of_other_kinds_are_left_to_pydantic() -> None:
    adapter = Adapter(keeps_undefined=False)
    assert adapter.adapt("another choice") == "another choice"
    assert adapter.adapt({"type": "is-instance", "cls": "no class"})["cls"] == "no class"
    plain = {"type": "dataclass", "cls": Plain, "schema": {"type": "any"}}
    assert adapter.adapt(plain)["schema"] == {"type": "any"}
    deep: dict[str, Any] = {"type": "any"}
    for _ in range(200):
        deep = {"type": "nullable", "schema": deep}
    assert adapter._count_fields(deep) is None


def test_a_type_variable_within_a_type_leaves_it_open() -> None:
    assert is_open(dict[str, list[T]])  # type: ignore[valid-type]  # likewise
    assert not is_open(dict[str, int])
