"""Names and kinds of classes: a declaration is TypeScript whatever things are called in Python."""

from __future__ import annotations

import enum
import inspect
import typing
from collections import Counter, OrderedDict
from dataclasses import InitVar, dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from os import PathLike
from re import Pattern
from typing import Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from zoneinfo import ZoneInfo

import pydantic
import pytest
from pydantic import BaseModel, field_serializer
from typing_extensions import ReadOnly, TypedDict

from perdure._types import Declared, declare_module
from perdure._types.forms import Forms

T = TypeVar("T")


class Record(BaseModel):
    numbers: dict[str, int]


class Date(NamedTuple):
    var: datetime
    at: int = 0


class Text(enum.Enum):
    BAR = "a | b"
    QUOTE = 'x" | "y'


class Keyed(TypedDict):
    a: ReadOnly[int]
    b: NotRequired[ReadOnly[str]]


@dataclass
class Box(Generic[T]):
    item: T


@dataclass
class DayBox(Box[list[timedelta]]):
    start: InitVar[timedelta]
    end: InitVar[int] = 0


class Written(BaseModel):
    at: datetime

    @field_serializer("at")
    def shown(self, value: datetime) -> str:
        return value.isoformat()


class Links(BaseModel):
    link: pydantic.HttpUrl
    at: pydantic.AwareDatetime
    day: pydantic.PastDate
    secret: pydantic.SecretStr
    address: pydantic.IPvAnyAddress


def lines_of(annotation: Any) -> list[str]:
    forms = Forms()
    forms.of(annotation)
    return "\n".join(forms.declarations()).splitlines()


@pytest.mark.parametrize(
    ("annotation", "declared"),
    [
        (Record, "export interface Record2 {"),
        (Record, "  numbers: Record<string, number>;"),
        (Date, "export type Date2 = [var_: Date, at: number];"),
        (Keyed, "  a: number;"),
        (Keyed, "  b?: string;"),
        (DayBox, "  item: number[];"),
        (Written, "  at: any;"),
        (Links, "  link: string;"),
        (Links, "  at: Date;"),
        (Links, "  day: string;"),
        (Links, "  secret: string;"),
        (Links, "  address: string;"),
    ],
)
def test_a_class_is_declared(annotation: Any, declared: str) -> None:
    assert declared in lines_of(annotation)


@pytest.mark.parametrize(
    ("annotation", "form"),
    [
        (dict[Text, int], '{ [key in "a | b" | "x\\" | \\"y"]?: number }'),
        (dict[Text | str, int], "Record<string, number>"),
        (dict[Literal["a", 1], int], 'Map<"a" | 1, number>'),
        (Counter[str], "Record<string, number>"),
        (OrderedDict[int, str], "Map<number, string>"),
        (typing.List, "any[]"),  # noqa: UP006  # the old names are meant
        (typing.Dict, "Record<string, any>"),  # noqa: UP006  # likewise
        (typing.Tuple, "any[]"),  # noqa: UP006  # likewise
        (typing.Sequence, "any[]"),
        (typing.Mapping, "Record<string, any>"),
        (PathLike, "string"),
        (PathLike[str], "string"),
        (Pattern, "string"),
        (ZoneInfo, "string"),
        (Fraction, "string"),
    ],
    ids=repr,
)
def test_a_type_has_the_form_in_which_values_cross(annotation: Any, form: str) -> None:
    assert Forms().of(annotation) == form


def test_what_only_init_takes_is_passed_and_never_returned() -> None:
    forms = Forms()
    assert forms.of(DayBox, is_input=True) == "DayBoxInput"
    passed = "\n".join(forms.declarations())
    assert "start: number;" in passed
    assert "end?: number;" in passed
    assert "start" not in "\n".join(lines_of(DayBox))


class Nest:
    """An alias that names itself, as ``type Nest = list[Nest] | int`` does."""

    __name__ = "Nest"

    def __init__(self) -> None:
        # As a type statement makes it.
        self.__value__: Any = typing.Union[int, list[self]]  # type: ignore[valid-type]  # noqa: UP007

    def __call__(self) -> None: ...


def test_an_alias_that_names_itself_is_declared() -> None:
    forms = Forms()
    assert forms.of(Nest()) == "Nest"
    assert forms.declarations() == ["export type Nest = number | Nest[];"]
    assert Forms().of(Nest(), is_input=True) == "NestInput"


def test_an_alias_may_name_itself_twice() -> None:
    twice = Nest()
    # Likewise.
    twice.__value__ = typing.Union[list[twice], dict[str, twice], int]  # type: ignore[valid-type]  # noqa: UP007
    forms = Forms()
    assert forms.of(twice) == "Nest"
    assert forms.declarations() == ["export type Nest = Nest[] | Record<string, Nest> | number;"]


def test_steps_and_parameters_may_be_named_as_words_of_typescript() -> None:
    def function(new: int, *arguments: int) -> None: ...

    step = Declared(
        name="function",
        signature=inspect.signature(function),
        hints={"new": int, "arguments": int, "return": None},
    )
    text = declare_module("m", [step])
    assert "function function_(new_: number, ...arguments_: number[]): Promise<null>;" in text
    assert "export { function_ as function };" in text
