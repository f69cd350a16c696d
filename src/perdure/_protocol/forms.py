"""Forms: values of a declared type as plain CBOR, and back.

Pure. The type says all: a dataclass is the list of its fields, a mapping the list of its keys and
values in turn. The bytes never name a class, so nothing but the declared classes is ever made of
them, even if they are forged; and each field has exactly the type it is declared with.
"""

# Types are values here, and values of any type are packed, so parts of both stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from enum import Enum
from typing import (
    Any,
    NewType,
    NoReturn,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import cbor2

from .._core.plain import load_plain
from .._value_class import value_class
from ..errors import UsageError, WorldContractError

__all__ = ("dump_form", "load_form")

T = TypeVar("T")
_MAX_DEPTH = 64
_INT_BOUND = 2**63
_SHOWN_CHARS = 200
_SCALARS = (str, int, bool, bytes, float, type(None))
_MAPPINGS = (dict, Mapping, MutableMapping)


@value_class(kw_only=False)
class _Form:
    """A type's way to bytes and back."""

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


def dump_form(value: object, kind: Any) -> bytes:
    """The bytes of a value of this type.

    Raises:
        UsageError: the value is not of that type, or the type has no form.
    """
    form = _form(kind)
    try:
        data: bytes = cbor2.dumps(form.pack(value))
    except (ValueError, TypeError) as exc:
        raise UsageError(f"a {kind.__name__} is not as it is declared: {_shown(exc)}") from exc
    return data


def load_form(data: bytes, kind: type[T]) -> T:
    """The value of this type that ``dump_form`` wrote; never anything else.

    Raises:
        WorldContractError: these bytes are not one.
        UsageError: the type has no form.
    """
    form = _form(cast("Any", kind))
    try:
        return cast("T", form.unpack(load_plain(data, depth=_MAX_DEPTH)))
    except (ValueError, TypeError) as exc:
        raise WorldContractError(
            f"what is stored as {kind.__name__} is damaged or of another version: {_shown(exc)}"
        ) from exc


def _shown(error: Exception) -> str:
    return str(error)[:_SHOWN_CHARS]


@functools.cache
def _form(kind: Any) -> _Form:
    if isinstance(kind, NewType):
        return _form(kind.__supertype__)
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _scalar(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _record(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enumeration(kind)
    if origin is Union or origin is types.UnionType:
        return _union(arguments)
    if origin is list:
        return _many(list, arguments[0])
    if origin is tuple:
        if arguments[1:] == (...,):
            return _many(tuple, arguments[0])
        return _row(tuple, [functools.partial(_form, a) for a in arguments], iter)
    if origin in _MAPPINGS:
        return _pairs(*arguments)
    raise UsageError(f"{kind!r} has no form: it does not say what it holds")


def _enumeration(kind: type[Enum]) -> _Form:
    def pack(value: Any) -> Any:
        return _checked(value, kind).value

    return _Form(pack=pack, unpack=kind)


def _scalar(kind: type) -> _Form:
    if kind is int:
        return _Form(pack=_small, unpack=_small)
    return _Form(pack=_text if kind is str else _exactly(kind), unpack=_exactly(kind))


def _text(value: object) -> str:
    return str(_checked(value, str))  # of an enumeration's member too


def _small(value: object) -> int:
    if type(value) is not int or not -_INT_BOUND <= value < _INT_BOUND:
        _refuse(value, int)
    return value


def _exactly(kind: type) -> Callable[[Any], Any]:
    def check(value: object) -> object:
        return value if type(value) is kind else _refuse(value, kind)

    return check


def _checked(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else _refuse(value, kind)


def _refuse(value: object, kind: type) -> NoReturn:
    raise TypeError(f"there is {type(value).__name__} in place of {kind.__name__}")


def _record(kind: type) -> _Form:
    """A dataclass: its fields, in order. Their forms are made at first use: types may be cyclic."""
    names = tuple(member.name for member in dataclasses.fields(kind))

    @functools.cache
    def hints() -> dict[str, Any]:
        return get_type_hints(kind)

    def make(values: Iterable[Any]) -> object:
        return kind(**dict(zip(names, values, strict=True)))

    def values_of(value: Any) -> Iterable[Any]:
        _exactly(kind)(value)
        return [getattr(value, name) for name in names]

    def form_of(name: str) -> Callable[[], _Form]:
        return functools.cache(lambda: _form(hints()[name]))

    return _row(make, [form_of(name) for name in names], values_of)


def _row(
    make: Callable[[Iterable[Any]], Any],
    forms: Sequence[Callable[[], _Form]],
    values_of: Callable[[Any], Iterable[Any]],
) -> _Form:
    """So many values, each of a type of its own."""

    def pack(value: Any) -> list[Any]:
        return [form().pack(part) for form, part in zip(forms, values_of(value), strict=True)]

    def unpack(parts: Any) -> Any:
        _exactly(list)(parts)
        return make([form().unpack(part) for form, part in zip(forms, parts, strict=True)])

    return _Form(pack=pack, unpack=unpack)


def _many(make: Callable[[Iterable[Any]], Any], item: Any) -> _Form:
    form = _form(item)

    def pack(values: Any) -> list[Any]:
        return [form.pack(value) for value in _checked(values, Sequence)]

    def unpack(parts: Any) -> Any:
        return make([form.unpack(part) for part in _exactly(list)(parts)])

    return _Form(pack=pack, unpack=unpack)


def _pairs(key: Any, item: Any) -> _Form:
    """A mapping whose keys may be of any form, as the list of keys and values in turn."""
    keys, items = _form(key), _form(item)

    def pack(table: Any) -> list[Any]:
        return [
            part
            for name, value in _checked(table, Mapping).items()
            for part in (keys.pack(name), items.pack(value))
        ]

    def unpack(parts: Any) -> dict[Any, Any]:
        names = [keys.unpack(part) for part in _exactly(list)(parts)[::2]]
        values = [items.unpack(part) for part in parts[1::2]]
        table = dict(zip(names, values, strict=True))
        if len(table) != len(names):
            raise ValueError("a key is there twice")
        return table

    return _Form(pack=pack, unpack=unpack)


def _union(kinds: Sequence[Any]) -> _Form:
    """Scalars, each told by its type, and at most one other type."""
    scalars = [kind for kind in kinds if kind in _SCALARS]
    others = [kind for kind in kinds if kind not in scalars]
    if len(others) > 1:
        raise UsageError(f"of {others!r} there is nothing that tells which it is")
    by_type = {kind: _form(kind) for kind in scalars}
    rest = _form(others[0]) if others else None

    def pack(value: Any) -> Any:
        form = by_type.get(type(value), rest)
        return _refuse(value, str) if form is None else form.pack(value)

    def unpack(value: Any) -> Any:
        form = by_type.get(type(value), rest)
        return _refuse(value, str) if form is None else form.unpack(value)

    return _Form(pack=pack, unpack=unpack)
