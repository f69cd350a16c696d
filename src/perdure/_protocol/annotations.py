"""Annotations: decoded values put into the types a step's parameters ask for.

Pure. JavaScript has one number type and no dataclasses, UUIDs or tuples; a step's annotations say
what was meant. What is not understood is left alone: the step sees the plain value. A value that
plainly cannot be what the annotation says is refused with its path.
"""

# A codec takes and gives values of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import collections.abc as abc
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin
from uuid import UUID

from ..errors import ValueNotCarriableError
from ..values import UNDEFINED, Undefined

__all__ = ("convert", "without_undefined")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AS_THEY_ARE = frozenset({str, int, float, bool, bytes})


def convert(value: Any, annotation: Any, *, where: str = "value") -> Any:
    """*value* as *annotation* means it; unknown annotations leave it as it is.

    ``undefined`` becomes None, and is dropped from objects, unless the annotation asks for it.

    Args:
        annotation: a type or typing form, already evaluated (``typing.get_type_hints``).
        where: what the value is, to begin the path in an error.

    Raises:
        ValueNotCarriableError: the value cannot be of that type; names its path.
    """
    if type(value) is annotation and annotation in _AS_THEY_ARE:
        return value  # most arguments of most steps
    try:
        return _convert(value, annotation, where)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as exc:
        raise ValueNotCarriableError(where, f"it is no {_name(annotation)}: {exc}") from exc


def without_undefined(value: Any) -> Any:
    """*value* with None for ``undefined``, which is dropped from objects; changed in place."""
    return _strip(value, {})


def _strip(value: Any, seen: dict[int, Any]) -> Any:
    if value is UNDEFINED:
        return None
    if isinstance(value, dict):
        return _strip_dict(value, seen)
    if isinstance(value, list) and id(value) not in seen:
        seen[id(value)] = value
        value[:] = [_strip(item, seen) for item in value]
    return value


def _strip_dict(value: dict[Any, Any], seen: dict[int, Any]) -> dict[Any, Any]:
    if id(value) not in seen:
        seen[id(value)] = value
        for key in [key for key, item in value.items() if item is UNDEFINED]:
            del value[key]
        for key, item in value.items():
            value[key] = _strip(item, seen)
    return value


def _convert(value: Any, annotation: Any, where: str) -> Any:
    if annotation is Undefined or Undefined in get_args(annotation):
        if value is UNDEFINED:
            return value
    elif value is UNDEFINED:
        value = None
    aliased = getattr(annotation, "__value__", None)  # type X = …, in Python 3.12 and later
    if aliased is not None and not isinstance(annotation, type):
        return _convert(value, aliased, where)
    origin = get_origin(annotation)
    if origin in (Annotated, Required, NotRequired, getattr(typing, "ReadOnly", Required)):
        return _convert(value, get_args(annotation)[0], where)
    if origin in (Union, types.UnionType):
        return _union(value, get_args(annotation), where)
    if origin is not None:
        return _generic(value, origin, get_args(annotation), where)
    supertype = getattr(annotation, "__supertype__", None)  # NewType
    if supertype is not None:
        return _convert(value, supertype, where)
    if not isinstance(annotation, type) or value is None:
        return without_undefined(value)
    return _plain(value, annotation, where)


def _plain(value: Any, annotation: type[Any], where: str) -> Any:
    scalar = _SCALARS.get(annotation)
    if scalar is not None:
        return scalar(value)
    if isinstance(value, dict):
        return _structure(value, annotation, where)
    if issubclass(annotation, Enum) and isinstance(value, str | int | float):
        return _enum(value, annotation)
    if annotation in (tuple, set, frozenset) and isinstance(value, list | set):
        return annotation(without_undefined(value))
    return without_undefined(value)


def _structure(value: dict[Any, Any], annotation: type[Any], where: str) -> Any:
    validate = getattr(annotation, "model_validate", None)
    if callable(validate):
        return validate(without_undefined(value))
    if dataclasses.is_dataclass(annotation):
        hints = _hints(annotation)
        known = {field.name for field in dataclasses.fields(annotation) if field.init}
        unknown = [key for key in value if key not in known]
        if unknown:
            raise ValueNotCarriableError(
                where, f"{annotation.__name__} has no field {unknown[0]!r}"
            )
        return annotation(**_members(value, hints, where))
    if typing.is_typeddict(annotation):
        return _members(value, _hints(annotation), where)
    return without_undefined(value)


def _members(value: dict[Any, Any], hints: Mapping[str, Any], where: str) -> dict[Any, Any]:
    return {
        key: convert(item, hints.get(key, Any), where=f"{where}.{key}")
        for key, item in value.items()
        if item is not UNDEFINED or Undefined in get_args(hints.get(key))
    }


def _hints(annotation: Any) -> Mapping[str, Any]:
    return _hints_of(annotation)


@functools.lru_cache(maxsize=512)
def _hints_of(annotation: abc.Hashable) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(annotation, include_extras=True)
    except (NameError, TypeError):
        return {}  # Names that only a type checker sees.


def _union(value: Any, members: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in members:
        return None
    # What already is a member stays: str | UUID leaves text alone.
    for member in members:
        kind = get_origin(member) or member
        if isinstance(kind, type) and type(value) is kind and not get_args(member):
            return without_undefined(value)
    error: ValueNotCarriableError | None = None
    for member in members:
        if member is type(None):
            continue
        try:
            made = convert(value, member, where=where)
        except ValueNotCarriableError as exc:
            error = error or exc
        else:
            if _is_instance(made, member):
                return made
    if error is not None:
        raise error
    return without_undefined(value)


def _is_instance(value: Any, member: Any) -> bool:
    kind = get_origin(member) or member
    if typing.is_typeddict(kind):
        return isinstance(value, dict)
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return True
    return isinstance(value, kind)


def _generic(value: Any, origin: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if origin is Literal or value is None:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return _tuple(list(value), arguments, where)
    make = _COLLECTIONS.get(origin)
    if make is not None and isinstance(value, list | set | frozenset | tuple):
        item = arguments[0]
        return make([convert(v, item, where=f"{where}[{k}]") for k, v in enumerate(value)])
    if origin in _MAPPINGS and isinstance(value, dict):
        key, item = arguments
        return {
            convert(k, key, where=f"{where}[{k!r}]"): convert(v, item, where=f"{where}.{k}")
            for k, v in value.items()
            if v is not UNDEFINED
        }
    if isinstance(origin, type) and isinstance(value, dict):
        return _structure(value, origin, where)
    return without_undefined(value)


def _tuple(value: list[Any], arguments: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise ValueError(f"it has {len(value)} items, not {len(arguments)}")
    pairs = zip(value, arguments, strict=True)
    return tuple(convert(v, a, where=f"{where}[{k}]") for k, (v, a) in enumerate(pairs))


def _name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation)


def _enum(value: Any, annotation: type[Enum]) -> Enum:
    try:
        return annotation(value)
    except ValueError:
        if isinstance(value, str) and value in annotation.__members__:
            return annotation[value]
        raise


def _float(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _bytes(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytes | bytearray) else value


def _parsed(parse: Callable[[str], Any], *others: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Text is parsed; numbers go through the other function, if there is one."""

    def from_value(value: Any) -> Any:
        if isinstance(value, str):
            return parse(value)
        if others and isinstance(value, int | float) and not isinstance(value, bool):
            return others[0](value)
        return value

    return from_value


def _date(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.date()
    return date.fromisoformat(value[:10]) if isinstance(value, str) else value


def _from_ms(value: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=value)


def _aware(text: str) -> datetime:
    made = datetime.fromisoformat(text)
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    float: _float,
    bytes: _bytes,
    bytearray: lambda value: bytearray(value) if isinstance(value, bytes) else value,
    UUID: _parsed(UUID),
    Decimal: _parsed(Decimal, lambda number: Decimal(str(number))),
    datetime: _parsed(_aware, _from_ms),
    date: _date,
    time: _parsed(time.fromisoformat),
    timedelta: _parsed(lambda text: text, lambda ms: timedelta(milliseconds=ms)),
}
_COLLECTIONS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Iterable: list,
    abc.Collection: list,
    abc.Set: set,
    abc.MutableSet: set,
}
_MAPPINGS = frozenset({dict, abc.Mapping, abc.MutableMapping})
