"""Structure: fields that a class sets in a way of its own, and those that two values share."""

from __future__ import annotations

import enum
from dataclasses import InitVar, dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    NotRequired,  # pydantic takes no other before Python 3.12
    TypeVar,
)

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from perdure._protocol.annotations import converter
from perdure._protocol.codec import decode, encode
from perdure.errors import ValueNotCarriableError

T = TypeVar("T")
DAY = timedelta(days=1)


class Whole:
    """A descriptor that keeps whole numbers under another name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"_{name}"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return 5 if instance is None else instance.__dict__[self.name]

    def __set__(self, instance: object, value: Any) -> None:
        instance.__dict__[self.name] = int(value)


class Fixed:
    """A descriptor that only reads."""

    def __get__(self, instance: object, owner: type | None = None) -> int:
        return 7


@dataclass
class Described:
    x: int = Whole()  # type: ignore[assignment]  # a descriptor
    took: timedelta = DAY


@dataclass(frozen=True)
class Sealed:
    x: int = Whole()  # type: ignore[assignment]  # likewise


@dataclass
class Watched:
    start: InitVar[int]
    x: int = Whole()  # type: ignore[assignment]  # likewise
    late: timedelta = field(init=False, default=DAY)
    seen: list[int] = field(init=False, default_factory=lambda: list[int]())

    def __post_init__(self, start: int) -> None:
        self.seen.append(self.x)


@dataclass
class Celsius:
    degrees: float  # pyright: ignore[reportRedeclaration]  # people do so

    @property  # type: ignore[no-redef]  # likewise
    def degrees(self) -> float:
        return float(self._degrees)

    @degrees.setter
    def degrees(self, value: float) -> None:
        self._degrees = value


@dataclass
class OnlyRead:
    x: int = Fixed()  # type: ignore[assignment]  # a descriptor


@dataclass(slots=True)
class Slotted:
    x: int
    took: timedelta = DAY


watched = Watched(1, x=3)
watched.late = 2 * DAY


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Described, Described(7, 2 * DAY)),
        (Described, Described()),
        (Sealed, Sealed(7)),
        (list[Celsius], [Celsius(1.5)]),
        (OnlyRead, OnlyRead(7)),
        (Slotted, Slotted(1, DAY)),
        (dict[str, Described], {"a": Described(1)}),
    ],
    ids=repr,
)
def test_a_field_that_a_descriptor_keeps_comes_back(kind: Any, value: object) -> None:
    back = converter(kind)(decode(encode(value, where="value")), "value")
    assert back == value
    assert repr(back) == repr(value)


def test_a_descriptor_s_class_is_made_by_its_own_init() -> None:
    sent = decode(encode(watched, where="value"))
    back = converter(Watched)({**sent, "start": 1}, "value")
    assert (back.x, back.late, back.seen) == (3, 2 * DAY, [3])


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Name(enum.StrEnum):
    RED = "red"


class Shape(enum.Enum):
    SQUARE = (1, 1)


class Kept(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    colour: Colour = Colour.RED


class KeptName(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    names: Annotated[list[Name], "some"] = [Name.RED]


class KeptTable(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    table: dict[str, Colour] = {"a": Colour.RED}


class KeptByFactory(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    colour: Colour = pydantic.Field(default_factory=lambda: Colour.RED)


@dataclass
class Holder:
    colour: Colour


@dataclass
class Carton(Generic[T]):
    held: T


@dataclass
class Around:
    holders: list[Holder]
    around: Around | None = None


class KeptInside(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    holder: Holder | None


class KeptGeneric(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    held: dict[str, Carton[Colour]]


class KeptDeep(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    around: Around


class Unscalar(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    shape: Shape | None


class Broken(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    colour: Colour = pydantic.Field(default_factory=lambda: Colour("none"))
    other: Colour = pydantic.Field(default_factory=lambda data: data["colour"])
    table: dict[str, Colour] = {}


class Point(NamedTuple):
    shape: Shape


class Keys(TypedDict):
    point: Point
    more: NotRequired[list[Keys]]


class UnscalarInside(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    shape: list[Keys]


class Checked(BaseModel):
    model_config = ConfigDict(use_enum_values=True, validate_default=True)
    colour: Colour = Colour.RED
    maybe: Colour | None = None


class CheckedField(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    colour: Colour = pydantic.Field(default=Colour.RED, validate_default=True)


@dataclass
class Chain:
    next: Chain | None = None
    took: timedelta = DAY


class ByValue(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    chain: Chain = Chain(Chain())
    colour: Colour = "red"  # type: ignore[assignment]  # pydantic takes it
    count: int = 1


@pytest.mark.parametrize(
    "kind",
    [Kept, KeptName, KeptTable, KeptByFactory, list[Kept], Kept | None, Kept | int],
    ids=repr,
)
def test_a_default_that_is_another_value_than_what_was_given_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"use_enum_values.*validate_default=True"):
        converter(kind)


@pytest.mark.parametrize("kind", [KeptInside, KeptGeneric, KeptDeep])
def test_a_dataclass_that_may_hold_members_or_values_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"use_enum_values, and (Holder|Carton) in it may hold"):
        converter(kind)


@pytest.mark.parametrize(
    "kind", [IPv4Address, IPv6Network, pydantic.IPvAnyAddress, Path, list[IPv4Address]], ids=repr
)
@pytest.mark.parametrize("value", [5, True, 1.5, b"\0\0\0\5", None], ids=repr)
def test_only_a_text_is_read_as_a_class_of_texts(kind: Any, value: object) -> None:
    with pytest.raises(ValueNotCarriableError):
        converter(kind)([value] if kind == list[IPv4Address] else value, "value")


@pytest.mark.parametrize("kind", [Unscalar, UnscalarInside])
def test_an_enum_whose_values_are_no_scalars_does_not_cross_by_them(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"Unscalar(Inside)?\.shape.*use_enum_values.*Shape"):
        converter(kind)


@pytest.mark.parametrize(
    "value",
    [
        Checked(),
        Checked(colour=Colour.BLUE),
        CheckedField(),
        ByValue(),
        Broken(colour=Colour.RED, table={"a": Colour.RED}),
    ],
    ids=repr,
)
def test_an_enum_that_is_kept_as_its_value_comes_back(value: BaseModel) -> None:
    back = converter(type(value))(decode(encode(value, where="value")), "value")
    assert back == value
    assert repr(back) == repr(value)


class Encoded(BaseModel):
    text: pydantic.Base64Str
    data: pydantic.Base64Bytes | None
    texts: list[pydantic.Base64UrlStr]
    by_name: dict[str, tuple[pydantic.Base64Bytes, int]]


class Outer(BaseModel):
    inner: Encoded


@dataclass
class Bare:
    text: pydantic.Base64Str


class BareKeyed(TypedDict):
    text: pydantic.Base64Str


def test_what_a_model_encodes_comes_back_from_within_containers() -> None:
    value = Encoded(
        text="aGVsbG8=", data=b"aGVsbG8=", texts=["aGVsbG8="], by_name={"a": (b"YQ==", 1)}
    )
    for whole in (value, Outer(inner=value)):
        assert converter(type(whole))(decode(encode(whole, where="value")), "value") == whole


@pytest.mark.parametrize(
    "kind",
    [pydantic.Base64Str, list[pydantic.Base64Bytes], Bare, BareKeyed, pydantic.Base64Str | int],
    ids=repr,
)
def test_an_encoded_text_outside_of_a_model_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="encoded"):
        converter(kind)
