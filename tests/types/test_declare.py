"""Declarations are TypeScript, and say what the annotations say."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, make_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict, get_type_hints
from uuid import UUID

import pytest
import tree_sitter_typescript
from tree_sitter import Language, Parser

from perdure._types import AMBIENT, Declared, declare_module, is_declarable
from perdure.display import shown_text

PARSER = Parser(Language(tree_sitter_typescript.language_typescript()))


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Empty(enum.Enum):
    pass


@dataclass
class Point:
    """Where."""

    x: int
    parent: Point | None


class Options(TypedDict):
    name: str
    size: NotRequired[Annotated[int, "px"]]


class Opaque:
    pass


def declared(function: Callable[..., Any]) -> Declared:
    return Declared(
        name=function.__name__,
        signature=inspect.signature(function),
        hints=get_type_hints(function, include_extras=True),
        doc=function.__doc__ or "",
    )


def parses(text: str) -> bool:
    return not PARSER.parse(text.encode()).root_node.has_error


CASES: list[tuple[Any, str]] = [
    (int, "number"),
    (float | None, "number | null"),
    (bytes, "Uint8Array"),
    (list[int | None], "(number | null)[]"),
    (tuple[int, str], "[number, string]"),
    (tuple[int, ...], "number[]"),
    (dict[str, bool], "Record<string, boolean>"),
    (Mapping[int, str], "Map<number, string>"),
    (set[str], "Set<string>"),
    (datetime, "Date"),
    (timedelta, "number"),
    (UUID, "string"),
    (Decimal, "string"),
    (Colour, '"red" | "blue"'),
    (Empty, "never"),
    (Literal["a", 1, True, None, Colour.RED, 'q"'], '"a" | 1 | true | null | "red" | "q\\""'),
    (Annotated[int, "cents"], "number"),
    (Any, "any"),
    (object, "unknown"),
    (Opaque, "unknown"),
    (Point, "Point"),
    (Options, "Options"),
    (Callable[[int], int], "unknown"),
    ("not evaluated", "unknown"),
]


@pytest.mark.parametrize(("annotation", "expected"), CASES, ids=[text for _, text in CASES])
def test_an_annotation_has_its_form(annotation: Any, expected: str) -> None:
    def step(value: object) -> None: ...

    made = declare_module(
        "m",
        [Declared(name="f", signature=inspect.signature(step), hints={"value": annotation})],
    )
    assert f"export function f(value: {expected}): Promise<any>;" in made
    assert parses(made)


def test_parameters_and_docs() -> None:
    def send(to: str, /, text: str = "", *rest: int | None, loud: bool = False) -> None:
        """Send it.

        Or not */ at all.
        """

    made = declare_module("shop.steps", [declared(send)])
    assert made.startswith('declare module "python:shop.steps" {\n')
    assert "send(to: string, text?: string, ...rest: (number | null)[] | " in made
    assert "[...(number | null)[], { loud?: boolean }]): Promise<null>;" in made
    assert "   * Or not * / at all." in made
    assert parses(made)


def test_structures_become_interfaces_once() -> None:
    def both(a: Point, b: Options) -> Point:
        return a

    made = declare_module("m", [declared(both)])
    assert made.count("export interface Point {") == 1
    assert "parent: Point | null;" in made
    assert "/** Where. */" in made
    assert "size?: number;" in made
    assert parses(made)


class Request(NamedTuple):
    """Asked for."""

    text: str
    limit: int = 10


class Unused:
    x: int


def test_a_class_that_only_a_workflow_takes_or_returns_is_declared_too() -> None:
    def paint(colour: Colour) -> Point:
        return Point(1, None)

    classes = [Colour, Point, Options, Request, Empty]
    text = declare_module("m", [declared(paint)], classes)
    assert parses(text)
    lines = [line.strip() for line in text.splitlines()]
    assert 'export type Colour = "red" | "blue";' in lines
    assert "export type Empty = never;" in lines
    assert lines.count("export interface Point {") == lines.count("export interface Options {") == 1
    # As Python hands it over, and as a workflow may return it.
    assert "export type Request = [text: string, limit: number];" in lines
    assert "export type RequestInput = [text: string, limit?: number];" in lines
    assert lines.count("/** Asked for. */") == 2


def test_a_class_keeps_its_name_if_a_step_names_another_of_that_name() -> None:
    def paint(colour: Point) -> None: ...

    other = make_dataclass("Point", [("z", int)])
    text = declare_module("m", [declared(paint)], [other])
    assert "paint(colour: Point)" in text
    assert "export interface Point2 {\n    z: number;" in text


@pytest.mark.parametrize(
    ("owner", "is_one"),
    [
        *((Colour, True), (Point, True), (Options, True), (Request, True), (Opaque, False)),
        *((Unused, False), (int, False), (ValueError, False), (Enum, False), (Flag, False)),
    ],
)
def test_classes_with_fields_and_enums_can_be_declared(owner: type[Any], is_one: bool) -> None:
    assert is_declarable(owner) == is_one


def test_the_ambient_declarations_parse() -> None:
    assert parses(AMBIENT)


def joined(a: object, b: object) -> None: ...


def test_text_is_data_in_what_is_declared() -> None:
    bad = 'x";\n} evil\x1b[2J\u202e*/ export const y = 1; /*'
    # Names that are data.
    kind = TypedDict("Bad", {bad: int, "plain": Literal[bad]})  # type: ignore[misc]
    nameless: Any = dataclass(type("no name {", (), {"__annotations__": {"a": int}}))
    step = Declared(
        name="f",
        signature=inspect.signature(joined),
        hints={"a": kind, "b": nameless, "return": None},
        doc=f"First.\n{bad}\x85 \u2028",
    )
    declared = declare_module(f"m{bad}", [step])
    for line in declared.splitlines():
        assert shown_text(line) == line
    assert parses(declared)
    assert "\n} evil" not in declared
    assert "* / export" in declared  # in the comment
    assert "b: unknown" in declared


def one(*, key: str, count: int = 1) -> None: ...


def after(a: int, b: str = "x", *, key: str) -> None: ...


def spare(a: int, b: str = "x", *, options: bool = False) -> None: ...


def named(options: int, options2: int, *, key: str) -> None: ...


def many(*rest: int | str, key: str) -> None: ...


def many_spare(*rest: int, key: str = "k") -> None: ...


@pytest.mark.parametrize(
    ("function", "taken"),
    [
        (one, "options: { key: string; count?: number }"),
        (after, "a: number, b: string | undefined, options: { key: string }"),
        (spare, "a: number, b?: string, options2?: { options?: boolean }"),
        (named, "options: number, options2: number, options3: { key: string }"),
        (many, "...rest: [...(number | string)[], { key: string }]"),
        (many_spare, "...rest: number[] | [...number[], { key?: string }]"),
    ],
)
def test_keyword_only_parameters_are_a_last_object(
    function: Callable[..., Any], taken: str
) -> None:
    text = declare_module("m", [declared(function)])
    assert f"({taken}): Promise<null>" in text
    assert parses(text)
