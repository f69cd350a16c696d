"""Forms: each class with fields becomes a type, and says what Python takes and returns."""

from __future__ import annotations

import enum
import inspect
import typing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)

import pydantic
import pytest
import tree_sitter_typescript
from tree_sitter import Language, Parser
from typing_extensions import TypeAliasType

from perdure._types import Declared, declare_module
from perdure._types.forms import Forms
from perdure.errors import GuestError
from perdure.values import BigInt, StepRef, Stream, Undefined, Url

if TYPE_CHECKING:
    from decimal import Decimal as ForCheckers

PARSER = Parser(Language(tree_sitter_typescript.language_typescript()))
T = TypeVar("T")
Number = TypeVar("Number", int, float)
Bound = TypeVar("Bound", bound=int)
UserId = NewType("UserId", int)


class Size(enum.IntEnum):
    SMALL = 1
    HUGE = 2**60


class Access(enum.Flag):
    READ = 1


class Shape(enum.Enum):
    WIDE = (2, 1)


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass
class Item:
    price: float
    count: int = field(init=False, default=0)


@dataclass
class Cart:
    items: list[Item]
    parent: Cart | None = None


@dataclass
class Box(Generic[T]):
    item: T


@dataclass
class Unseen:
    held: ForCheckers


class Options(TypedDict, total=False):
    name: Required[str]
    after: timedelta


class Loose(TypedDict):
    name: NotRequired[str]


class Order(pydantic.BaseModel):
    """An order."""

    order_id: int = pydantic.Field(alias="orderId")
    note: str | None = None

    @pydantic.computed_field
    def doubled(self) -> int:
        return self.order_id * 2


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Opaque:
    pass


class Cents(int):
    pass


class Serial(BigInt):
    pass


class Wide(enum.IntFlag):
    FIRST = 1
    LAST = 2**53


class Alias:
    """What ``type Alias = float`` makes in Python 3.12 and later."""

    __value__ = float


def both(argument: Any) -> Any:
    """What ``type Both[T] = tuple[T, T]`` makes in Python 3.12 and later, with an argument."""
    make: Any = TypeAliasType
    # An open type as a value.
    value: Any = tuple[T, T]  # type: ignore[valid-type]  # pyright: ignore[reportGeneralTypeIssues]
    return make("Both", value, type_params=(T,))[argument]


@pytest.mark.parametrize(
    ("annotation", "form"),
    [
        (Size, "1 | 1152921504606846976n"),
        (Access, "number"),
        (Wide, "number | bigint"),
        (BigInt, "bigint"),
        (list[BigInt | None], "(bigint | null)[]"),
        (Serial, "bigint"),
        (Shape, '"WIDE"'),
        (Literal[2**53, 1.5, -1], "9007199254740992n | 1.5 | -1"),
        (Literal[b"a"], "Uint8Array"),
        (Point, "Point"),
        (Box[int], "Box<number>"),
        (Box, "Box<any>"),
        (Page[Item], "Page<Item>"),
        (Page, "Page<any>"),
        (Numbers, "Numbers"),
        (UserId, "number"),
        (Alias(), "number"),
        (both(int), "[number, number]"),
        (Path, "string"),
        (Cents, "number"),
        (GuestError, "Error"),
        (Exception, "Error"),
        (Undefined, "undefined"),
        (int | Undefined, "number | undefined"),
        (Url, "URL"),
        (list[Stream], "globalThis.WritableStream[]"),
        (StepRef | None, "((...args: any[]) => Promise<any>) | null"),
        (dict[Literal["a", "b"], int], '{ [key in "a" | "b"]?: number }'),
        (dict[Annotated[str, "id"], int], "Record<string, number>"),
        (typing.Never, "never"),
        (Opaque, "unknown"),
        (typing.Callable[[], int], "unknown"),
        (T, "T"),
        ("not evaluated", "unknown"),
    ],
    ids=repr,
)
def test_an_annotation_has_its_form(annotation: Any, form: str) -> None:
    assert Forms().of(annotation) == form


@pytest.mark.parametrize(
    ("annotation", "taken", "declaration"),
    [
        (Point, False, "export type Point = [x: number, y: number];"),
        (Point, True, "export type PointInput = [x: number, y?: number];"),
        (Item, False, "export interface Item {\n  price: number;\n  count: number;\n}"),
        (Item, True, "export interface ItemInput {\n  price: number;\n  count?: number;\n}"),
        (Box[int], True, "export interface Box<T> {\n  item: T;\n}"),
        (Options, False, "export interface Options {\n  name: string;\n  after?: number;\n}"),
        (Loose, False, "export interface Loose {\n  name?: string;\n}"),
        (Numbers, False, "export type Numbers = number[];"),
        (Unseen, False, "export interface Unseen {\n  held: unknown;\n}"),
        (
            Order,
            False,
            "/** An order. */\nexport interface Order {\n  order_id: number;\n"
            "  note: string | null;\n  readonly doubled: number;\n}",
        ),
        (
            Order,
            True,
            "/** An order. */\nexport interface OrderInput {\n  order_id: number;\n"
            "  note?: string | null;\n}",
        ),
    ],
    ids=repr,
)
def test_a_class_is_declared(annotation: Any, taken: bool, declaration: str) -> None:
    forms = Forms()
    forms.of(annotation, is_input=taken)
    assert forms.declarations() == [declaration]


def test_a_class_within_a_class_is_taken_as_well() -> None:
    forms = Forms()
    assert forms.of(Cart, is_input=True) == "CartInput"
    assert forms.declarations() == [
        "export interface CartInput {\n  items: ItemInput[];\n  parent?: CartInput | null;\n}",
        "export interface ItemInput {\n  price: number;\n  count?: number;\n}",
    ]
    assert repr(forms) == "<Forms of 2 classes>"


def test_two_classes_of_one_name_are_told_apart() -> None:
    def other() -> type:
        @dataclass
        class Item:
            name: str

        return Item

    forms = Forms()
    assert [forms.of(Item), forms.of(other())] == ["Item", "Item2"]


def test_type_variables_become_type_parameters() -> None:
    def f(value: object, other: object) -> None: ...

    box: Any = Box
    number: Any = Number
    hints: dict[str, Any] = {"value": box[number], "other": Bound, "return": list[number]}
    declared = Declared(name="f", signature=inspect.signature(f), hints=hints)
    text = declare_module("m", [declared])
    assert (
        "export function f<Number extends number, Bound extends number>"
        "(value: Box<Number>, other: Bound): Promise<Number[]>;" in text
    )
    assert not PARSER.parse(text.encode()).root_node.has_error
