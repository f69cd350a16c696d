"""Generic models: a type variable that a model leaves open is the function's, or its holder's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_type_hints

import pydantic
import pytest

from perdure._types import Declared, declare_module
from perdure._types.forms import Forms, says_number
from perdure.values import BigInt

T = TypeVar("T")
U = TypeVar("U")
N = TypeVar("N", int, str)


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


class Bounded(pydantic.BaseModel, Generic[N]):
    first: N


class Pair(pydantic.BaseModel, Generic[T, U]):
    left: Page[T]
    right: U


@dataclass
class Box(Generic[T]):
    page: Page[T]
    pages: list[Page[T]]


class Words(pydantic.BaseModel):
    """A number of words."""

    number: str
    kind: Literal["a number"]


class Counts(pydantic.BaseModel):
    words: dict[str, Words | int]


def same(page: Page[T]) -> Page[T]: ...  # type: ignore[empty-body]  # never called


def first(page: Page[T]) -> T: ...  # type: ignore[empty-body]  # likewise


def other(page: Page[U]) -> U: ...  # type: ignore[empty-body]  # likewise


# Likewise.
def halves(pair: Pair[int, U], *more: Page[T]) -> Pair[T, U]: ...  # type: ignore[empty-body]


def bounded(value: Bounded[N]) -> N: ...  # type: ignore[empty-body]  # likewise


def made() -> Page[T]: ...  # type: ignore[empty-body]  # likewise


def boxed(box: Box) -> Box[int]: ...  # type: ignore[empty-body, type-arg]  # likewise


FUNCTIONS: list[tuple[Callable[..., Any], str]] = [
    (same, "same<T>(page: Page<T>): Promise<Page<T>>;"),
    (first, "first<T>(page: Page<T>): Promise<T>;"),
    (other, "other<U>(page: Page<U>): Promise<U>;"),
    (halves, "halves<U, T>(pair: Pair<number, U>, ...more: Page<T>[]): Promise<Pair<T, U>>;"),
    (bounded, "bounded<N extends number | string>(value: Bounded<N>): Promise<N>;"),
    (made, "made(): Promise<Page<any>>;"),
    (boxed, "boxed(box: Box<any>): Promise<Box<number>>;"),
]


@pytest.mark.parametrize(("function", "declared"), FUNCTIONS)
def test_a_function_has_the_variables_that_its_models_leave_open(
    function: Callable[..., Any], declared: str
) -> None:
    step = Declared(
        name=function.__name__,
        signature=inspect.signature(function),
        hints=get_type_hints(function),
    )
    assert f"export function {declared}" in declare_module("m", [step])


@pytest.mark.parametrize(
    ("owner", "member"),
    [(Pair, "left: Page<T>;"), (Box, "page: Page<T>;"), (Box, "pages: Page<T>[];")],
)
def test_a_model_within_a_generic_class_has_that_ones_variable(owner: Any, member: str) -> None:
    forms = Forms()
    forms.of(owner)
    assert member in "\n".join(forms.declarations())


@pytest.mark.parametrize("annotation", [int, list[float], Counts, Page[int], dict[int, str]])
def test_a_type_that_has_numbers_says_so(annotation: Any) -> None:
    assert says_number(annotation)


@pytest.mark.parametrize("annotation", [Any, str, Words, Page[BigInt], dict[str, Any], None])
def test_a_type_without_numbers_does_not(annotation: Any) -> None:
    assert not says_number(annotation)
