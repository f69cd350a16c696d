"""Annotations: decoded values in the types that a step's parameters ask for.

Pure. JavaScript has one number type and no dataclasses, UUIDs or tuples; a parameter's annotation
says which Python value is meant. Plain annotations are checked here; all that has structure is
pydantic's work (``_protocol.structure``), which is imported for the first such annotation only.
A value that is not of its type is refused with its path; an annotation that no value from
JavaScript can have is refused when its converter is made.
"""

# Values of any type pass through here, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import contextlib
import types
import typing
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

from ..errors import GuestError, ValueNotCarriableError
from ..values import UNDEFINED, BigInt, Undefined
from .show import show

__all__ = (
    "Converter",
    "LossyTypeError",
    "converter",
    "exact_float",
    "unconverted_types",
    "without_undefined",
)

Converter: TypeAlias = "Callable[[Any, str], Any]"
"""A decoded value and the place it has in an error's path -> the value in the type asked for."""


class LossyTypeError(TypeError):
    """A type of which some values would not come back as they were; no union is better for it."""


_PLAIN = frozenset(
    {str, int, float, bool, bytes, bytearray, dict, list, type(None), Undefined, BigInt}
)
_ERRORS = frozenset(GuestError.__mro__) - {object}
_SCALARS: frozenset[type] = frozenset({str, int, float, bool, bytes, type(None)})


def converter(annotation: Any) -> Converter:
    """The converter to *annotation*; ``Any`` and ``object`` leave the plain value.

    ``undefined`` becomes None, and is dropped from objects, unless the annotation asks for it.

    Args:
        annotation: a type or typing form, already evaluated (``typing.get_type_hints``).

    Raises:
        TypeError: no value from JavaScript can be of that type; says which type and why.
        NameError: a class in it names something that is not defined yet.
    """
    plain = _plain_types(annotation)
    if plain is not None:
        return _checked(annotation, plain)
    if annotation is Any or annotation is object:
        return lambda value, where: without_undefined(value)
    convert: Converter = import_module("perdure._protocol.structure").structured(annotation)
    return convert


def unconverted_types(annotation: Any) -> frozenset[type]:
    """The types of scalars that the converter to *annotation* returns as they are."""
    if annotation is Any or annotation is object:
        return _SCALARS
    return _SCALARS & (_plain_types(annotation) or frozenset())


def without_undefined(value: Any) -> Any:
    """*value* with None for ``undefined``, which is dropped from objects; changed in place."""
    return _strip(value, {})


def _plain_types(annotation: Any) -> frozenset[type] | None:
    """The types of values that are of a plain *annotation* as they are; None if it is not plain."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = [_plain_types(member) for member in typing.get_args(annotation)]
        plain = [member for member in members if member is not None]
        return frozenset[type]().union(*plain) if len(plain) == len(members) else None
    if annotation is None:
        return frozenset({type(None)})
    if not isinstance(annotation, type) or typing.get_origin(annotation) is not None:
        return None
    if annotation in _PLAIN or annotation in _ERRORS:
        return frozenset({annotation})
    return None


def _checked(annotation: Any, accepted: frozenset[type]) -> Converter:
    bases = tuple(accepted)

    def convert(value: Any, where: str) -> Any:
        kind: Any = type(value)
        if kind in accepted:
            return without_undefined(value) if kind is dict or kind is list else value
        if kind is Undefined and type(None) in accepted:
            return None
        if kind is int and float in accepted:
            try:
                return exact_float(value)
            except ValueError as exc:
                raise ValueNotCarriableError(where, str(exc)) from None
        whole = int(value) if kind is float and value.is_integer() else value
        if type(whole) is int and int in accepted:
            return whole  # JavaScript's numbers beyond 2**53 - 1
        if type(whole) is int and BigInt in accepted:
            return BigInt(whole)
        if kind is bytes and bytearray in accepted:
            return bytearray(value)
        if kind is not bool and isinstance(value, bases):
            return value
        raise ValueNotCarriableError(where, f"{_shown(value)} is no {_name(annotation)}")

    return convert


def exact_float(value: int) -> float:
    """An integer as a float.

    Raises:
        ValueError: no float is equal to it.
    """
    with contextlib.suppress(OverflowError):
        if float(value) == value:
            return float(value)
    raise ValueError(f"no float is equal to {show(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Undefined):
        return "undefined"
    return "null" if value is None else f"a value of type {type(value).__name__}"


def _name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation)


def _strip(value: Any, containers: dict[int, Any]) -> Any:
    if value is UNDEFINED:
        return None
    if isinstance(value, dict):
        return _strip_dict(value, containers)
    if isinstance(value, list) and id(value) not in containers:
        containers[id(value)] = value
        value[:] = [_strip(item, containers) for item in value]
    return value


def _strip_dict(value: dict[Any, Any], containers: dict[int, Any]) -> dict[Any, Any]:
    if id(value) not in containers:
        containers[id(value)] = value
        for key in [key for key, item in value.items() if item is UNDEFINED]:
            del value[key]
        for key, item in value.items():
            value[key] = _strip(item, containers)
    return value
