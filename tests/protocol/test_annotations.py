"""Annotations: decoded values in the plain types a step asks for."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Any

import pytest

from perdure._protocol.annotations import converter, unconverted_types, without_undefined
from perdure.errors import GuestError, ValueNotCarriableError
from perdure.values import UNDEFINED, ArrayBuffer, BigInt, Undefined

ERROR = GuestError(name="E", message="m")


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 1, 1),
        (int, 2.0**53, 2**53),
        (int, 2**70, 2**70),
        (float, 1, 1.0),
        (float, 1.5, 1.5),
        (str, "a", "a"),
        (bool, True, True),
        (bytes, b"a", b"a"),
        (bytes, ArrayBuffer(b"a"), ArrayBuffer(b"a")),
        (bytearray, b"a", bytearray(b"a")),
        (None, None, None),
        (None, UNDEFINED, None),
        (int | None, UNDEFINED, None),
        (int | Undefined, UNDEFINED, UNDEFINED),
        (float | None, 1, 1.0),
        (int | float, 1, 1),
        (int | float, 1.5, 1.5),
        (str | int, "1", "1"),
        (dict, {"a": UNDEFINED, "b": 1}, {"b": 1}),
        (list, [UNDEFINED], [None]),
        (Any, {"a": UNDEFINED}, {}),
        (object, [UNDEFINED], [None]),
        (Exception, ERROR, ERROR),
        (GuestError | None, ERROR, ERROR),
    ],
    ids=repr,
)
def test_plain_values_take_the_type_asked_for(
    annotation: Any, value: Any, expected: object
) -> None:
    converted = converter(annotation)(value, "arguments[0]")
    assert converted == expected
    assert type(converted) is type(expected)


SCALARS = [None, True, 0, 2**60, 1.5, 2.0, "a", b"a", UNDEFINED, BigInt(1)]
TYPES = [
    int,
    float,
    str,
    bool,
    bytes,
    None,
    int | None,
    str | float,
    Undefined,
    BigInt,
    Any,
    object,
]


@pytest.mark.parametrize(
    "annotation", [*TYPES, object, Undefined, list, dict, list[int], date], ids=repr
)
@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_what_needs_no_conversion_is_converted_to_itself(annotation: Any, value: object) -> None:
    if type(value) in unconverted_types(annotation):
        assert converter(annotation)(value, "arguments[0]") is value


@pytest.mark.parametrize(
    ("annotation", "types"),
    [
        (int, {int}),
        (int | None, {int, type(None)}),
        (Any, {int, float, str, bool, bytes, type(None)}),
        (dict, set[type]()),
        (list[int], set[type]()),
        (BigInt, set[type]()),
    ],
    ids=repr,
)
def test_scalars_of_the_annotated_type_need_no_conversion(
    annotation: Any, types: set[type]
) -> None:
    assert unconverted_types(annotation) == types


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 1.5),
        (int, "1"),
        (int, True),
        (int, None),
        (int, UNDEFINED),
        (int, float("inf")),
        (int | None, "1"),
        (float, True),
        (float, "1.5"),
        (bool, 1),
        (bool, "true"),
        (str, 1),
        (str, b"a"),
        (bytes, "a"),
        (dict, [1]),
        (list, {"a": 1}),
        (list, {1}),
        (None, 0),
        (Exception, "E"),
    ],
    ids=repr,
)
def test_values_of_another_kind_are_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(ValueNotCarriableError, match=r"arguments\[0\]: .* is no ") as caught:
        converter(annotation)(value, "arguments[0]")
    assert caught.value.path == "arguments[0]"


def test_undefined_is_dropped_from_objects_and_cycles_end() -> None:
    value: dict[str, Any] = {"a": UNDEFINED, "b": [UNDEFINED]}
    value["me"] = value
    stripped = without_undefined(value)
    assert list(stripped) == ["b", "me"]
    assert stripped["b"] == [None]
    assert stripped["me"] is stripped


@pytest.mark.slow
def test_pydantic_is_imported_for_structure_only() -> None:
    code = (
        "import sys, perdure\n"
        "@perdure.step\n"
        "async def f(a: int, b: float | None, c: str, d: dict, *rest: object) -> list[int]: ...\n"
        "assert 'pydantic' not in sys.modules\n"
        "@perdure.step\n"
        "async def g(a: list[int]) -> None: ...\n"
        "assert 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
