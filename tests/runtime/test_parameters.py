"""Parameters: annotations are read when a step is decorated, each by itself."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest

from perdure import step
from perdure._runtime.steps import AnyStep
from perdure.errors import UsageError, ValueNotCarriableError
from perdure.values import UNDEFINED

if TYPE_CHECKING:
    from decimal import Decimal as ForCheckers


class Opaque:
    pass


@dataclass
class Half:
    field: ForCheckers


@step(name="parameters:late")
async def late(value: Later, other: ForCheckers, count: int = 3) -> None: ...


@step(name="parameters:half")
async def half(value: Half) -> None: ...


@step(name="parameters:rest")
async def rest(first: int, *others: float) -> None: ...


@dataclass
class Later:
    number: float


@dataclass
class Opaquely:
    held: Opaque


async def opaque(value: int, other: Opaque) -> None: ...


async def forward(value: OpaqueLater) -> None: ...


opaque_later = step(name="parameters:forward")(forward)


class OpaqueLater:
    pass


def convert(target: Any, *args: object) -> list[Any]:
    found: AnyStep = target
    return found.parameters.convert(args)


def test_an_annotation_that_nothing_fits_is_refused_at_the_decorator() -> None:
    with pytest.raises(UsageError, match=r"parameter 'other' cannot be converted: .*Opaque"):
        step(name="parameters:opaque")(opaque)


def test_a_class_further_down_is_read_at_the_first_call() -> None:
    assert convert(late, {"number": 1}, 1, 2) == [Later(1.0), 1, 2]


def test_a_name_for_type_checkers_leaves_its_parameter_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="perdure"):
        other = late.parameters._named[1]
        other._converter, other.as_it_is = None, frozenset()
        converted = convert(late, {"number": 1}, "1.5", 2)
    assert converted == [Later(1.0), "1.5", 2]
    assert "parameter 'other' gets plain values" in caplog.text
    with pytest.raises(ValueNotCarriableError, match="arguments\\[2\\]"):
        convert(late, {"number": 1}, "1.5", "2")


@pytest.mark.parametrize("target", [half, opaque_later])
def test_a_type_that_cannot_be_read_fails_the_call(target: Any) -> None:
    with pytest.raises(ValueNotCarriableError, match="the type of parameter 'value' cannot be"):
        convert(target, {"field": 1})


def test_undefined_takes_the_default() -> None:
    assert convert(late, {"number": 1}, 1, UNDEFINED)[2] == 3
    with pytest.raises(ValueNotCarriableError, match="undefined is no int"):
        convert(rest, UNDEFINED)


def test_the_rest_is_converted_each() -> None:
    assert convert(rest, 1, 2, 3) == [1, 2.0, 3.0]
    assert repr(rest.parameters) == "<Parameters of parameters:rest: 1>"


def test_more_arguments_than_parameters_are_left_to_the_call() -> None:
    assert convert(half) == []
    assert convert(late, {"number": 1}, 1, 2, "more")[3] == "more"


BROKEN: list[tuple[str, Any]] = [
    ("SyntaxError", "list["),
    ("AttributeError", "int.missing"),
    ("ZeroDivisionError", "1 / 0"),
    ("not subscriptable", "int[str]"),
    ("a function is no type", lambda: None),
    ("hashable", set[list[int]]),
    ("hashable", dict[Later, int]),
    ("pydantic", ...),
    ("AssertionError", Literal[()]),  # wrong on purpose
    ("Literal", Literal[object()]),  # likewise
]


@pytest.mark.parametrize(("reason", "annotation"), BROKEN, ids=repr)
def test_an_annotation_that_fails_is_refused_by_name(reason: str, annotation: Any) -> None:
    async def broken(value: int) -> None: ...

    broken.__annotations__["value"] = annotation
    with pytest.raises(UsageError, match=f"parameter 'value' cannot be converted: .*{reason}"):
        step(name="parameters:broken")(broken)


def test_a_class_of_the_same_function_is_known_by_its_name() -> None:
    @dataclass
    class Local:
        took: timedelta

    @step(name="parameters:near")
    async def near(value: Local, others: list[Local]) -> None: ...

    assert convert(near, {"took": 1000}, [{"took": 1}]) == [
        Local(timedelta(seconds=1)),
        [Local(timedelta(milliseconds=1))],
    ]


def test_a_keyword_that_must_be_given_and_cannot_be_is_refused() -> None:
    async def named(value: int, *, other: Opaque) -> None: ...

    with pytest.raises(UsageError, match="parameter 'other' cannot be converted"):
        step(name="parameters:named")(named)


def test_a_parameter_that_a_workflow_cannot_pass_may_be_anything() -> None:
    @step(name="parameters:injected")
    async def injected(value: int, *, other: Opaque | None = None, **more: Opaque) -> None: ...

    assert convert(injected, 1) == [1]
