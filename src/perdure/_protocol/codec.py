"""Codec: Python values to CBOR payloads and back, with the tags of docs/protocol.md.

Pure. Plain data goes straight through cbor2; other values are first put into the form they cross
in. A value that cannot be carried fails with its path. Shared and cyclic containers keep their
identity through tags 28 and 29, which are written only where needed.
"""

# A codec takes and gives values of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import dataclasses
import sys
from array import array
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import cbor2

from ..errors import GuestError, ValueNotCarriableError
from ..values import (
    UNDEFINED,
    AbortController,
    AbortSignal,
    ArrayBuffer,
    BigInt,
    ClassRef,
    DataView,
    Instance,
    RegExp,
    RunHandle,
    RunRef,
    StepRef,
    Stream,
    TypedArray,
    Url,
)
from .decoding import decode, decode_error
from .dumping import Pairs, dump
from .enums import form_of
from .error_fields import error_fields
from .fetch import FETCH_KINDS, fetch_form
from .models import content_of, is_model
from .plain_values import MAX_DEPTH, MAX_SAFE_INTEGER, SCALARS, has_bigint, is_plain, is_scalar
from .scalar_forms import bigint_form, identity_of, instant_form, whole_number
from .show import show
from .survey import MAX_ITEMS, too_many_items
from .tags import ITEM_BYTES, TYPED_ARRAYS, Tag
from .texts import crosses_as_text

__all__ = (
    "decode",
    "decode_error",
    "encode",
    "encode_error",
    "encode_noting",
    "encode_scalar",
    "encode_scalars",
)

_TOO_DEEP = f"values nest deeper than {MAX_DEPTH} levels"
_FEW = 16  # values
_ARRAY_TAGS = {code: tag for tag, code in TYPED_ARRAYS.items() if code is not None}
_MILLISECOND = timedelta(milliseconds=1)
_NO_FORM = object()


def encode(
    value: object, *, where: str, only_numbers: bool = False, maps: Container[int] = ()
) -> bytes:
    """The payload of *value*.

    Args:
        where: a name for the value, to begin the path in an error ("arguments", "result").
        only_numbers: refuse a plain int that is no number in JavaScript but a bigint.
        maps: identities of empty mappings that are Maps.

    Raises:
        ValueNotCarriableError: something in it cannot cross; names its path.
    """
    data = None if only_numbers or maps else _encode_plain(value, where)
    if data is None:
        data = _encode_with_care(_Encoder(where, only_numbers=only_numbers, maps=maps), value)
    return data


def encode_noting(value: object, *, where: str) -> tuple[bytes, bool]:
    """The payload of *value*, and whether there is a plain int in it that is no number.

    Raises:
        ValueNotCarriableError: as ``encode``.
    """
    data = _encode_plain(value, where)
    if data is not None:
        # Such an integer has one of these bytes; most values have none.
        may_have = 0x1B in data or 0x3B in data or 0xC2 in data or 0xC3 in data
        return data, may_have and has_bigint(value)
    encoder = _Encoder(where)
    data = _encode_with_care(encoder, value)
    return data, encoder.has_bigint


def encode_scalar(value: Any) -> bytes | None:
    """The payload of None, a boolean, a number that is one in JavaScript, or a short ASCII text.

    Returns:
        None for any other value; of these ``encode`` returns the same bytes.
    """
    return cbor2.dumps(value) if is_scalar(value) else None


def encode_scalars(values: Sequence[Any]) -> bytes | None:
    """The payload of a list of a few such values; None if it is another."""
    if len(values) > _FEW:
        return None
    for value in values:
        if not is_scalar(value):
            return None
    return cbor2.dumps(list(values))


def _encode_plain(value: object, where: str) -> bytes | None:
    """The payload of a plain value; None if it is not plain."""
    count = [1]
    try:
        if is_plain(value, set(), 0, count):
            return dump(value, count[0])
    except (UnicodeEncodeError, RuntimeError):
        pass  # The slow way finds out where.
    if count[0] > MAX_ITEMS:
        raise too_many_items(where)
    return None


def _encode_with_care(encoder: _Encoder, value: object) -> bytes:
    where = encoder.path[0]
    try:
        prepared = encoder.prepare(value, 0)
        if encoder.shared:
            prepared = encoder.again().prepare(value, 0)
        return dump(prepared, encoder.count)
    except (RecursionError, cbor2.CBOREncodeError):  # which counts each tag as a level
        raise ValueNotCarriableError(where, _TOO_DEEP) from None
    except RuntimeError as exc:  # of a container that another thread or task writes to
        raise encoder.refuse(f"it could not be read: {exc}") from exc


def encode_error(error: BaseException, *, now_ms: int | None = None) -> bytes:
    """The payload of a Python exception: type, message, user traceback, causes, group members.

    Never fails: a further part of the error that cannot cross is shown as text.

    Args:
        now_ms: when it was raised, from which a ``RetryableError`` counts its wait.
    """
    try:
        return _encode_with_care(_Encoder("error", now_ms=now_ms), error)
    except ValueNotCarriableError as exc:
        stand_in = GuestError(
            name=type(error).__name__,
            message=f"{error} (its details were left out: {exc})",
            fatal=getattr(error, "fatal", False) is True,
        )
        fields = {key: _printable(item) for key, item in error_fields(stand_in).items()}
        data: bytes = cbor2.dumps(cbor2.CBORTag(Tag.ERROR, fields))
        return data


def _printable(value: object) -> object:
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


class _Encoder:
    """One value on its way out. Keeps the path, and which containers were met."""

    def __init__(
        self,
        where: str,
        *,
        only_numbers: bool = False,
        maps: Container[int] = (),
        now_ms: int | None = None,
    ) -> None:
        self.only_numbers = only_numbers
        self.maps = maps
        self.now_ms = now_ms  # of an error
        self.has_bigint = False  # a plain int that is no number was met
        self.path: list[str] = [where]
        self.containers: dict[int, object] = {}  # id -> the container, which keeps the id its own
        self.shared: set[int] = set()  # ids met twice
        self.numbers: dict[int, int] | None = None  # second pass: id -> number of its tag 28
        self.within: set[int] = set()  # ids of values that may not hold themselves
        self.dumped: dict[int, tuple[object, object]] = {}  # a model, and the one dump of it
        self.count = 0

    def again(self) -> _Encoder:
        """An encoder for the second pass, which knows the shared containers."""
        encoder = _Encoder(
            self.path[0], only_numbers=self.only_numbers, maps=self.maps, now_ms=self.now_ms
        )
        encoder.shared, encoder.dumped, encoder.numbers = self.shared, self.dumped, {}
        return encoder

    def refuse(self, reason: str) -> ValueNotCarriableError:
        return ValueNotCarriableError("".join(self.path), reason)

    def tally(self) -> None:
        self.count += 1
        if self.count > MAX_ITEMS:
            raise too_many_items("".join(self.path))

    def prepare(self, value: Any, depth: int) -> Any:
        self.tally()
        kind = type(value)
        if kind in SCALARS:
            if kind is int and not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                return self.bigint(value)
            return self.checked(value) if kind is str else value
        if depth > MAX_DEPTH:
            raise self.refuse(_TOO_DEEP)
        if value is UNDEFINED:
            return cbor2.undefined
        form = self.scalar(value)
        if form is not _NO_FORM:
            return form
        return self.container(value, depth)

    def bigint(self, value: int) -> int:
        self.has_bigint = True
        if self.only_numbers:
            raise self.refuse(
                f"{show(value)} is past 2**53 - 1, so it is a bigint in JavaScript, and its type"
                " says number; annotate it as perdure.values.BigInt, and pass BigInt(…)"
            )
        return value

    def checked(self, value: str) -> str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise self.refuse("a string with a lone surrogate has no UTF-8 form") from None
        return value

    def container(self, value: Any, depth: int) -> Any:
        """*value* once; a reference where it was met before."""
        key = id(value)
        if key in self.containers:
            if key in self.within:
                raise self.refuse("it holds itself, and is revived only as a whole")
            self.shared.add(key)
            number = 0 if self.numbers is None else self.numbers[key]
            return cbor2.CBORTag(Tag.REFERENCE, number)
        if value or not isinstance(value, tuple):  # () is one object everywhere
            self.containers[key] = value
        if self.numbers is None or key not in self.shared:
            return self.content(value, depth)
        self.numbers[key] = len(self.numbers)
        return cbor2.CBORTag(Tag.SHAREABLE, self.content(value, depth))

    def content(self, value: Any, depth: int) -> Any:
        if isinstance(value, list | tuple | deque):
            return self.items(value, depth)
        if isinstance(value, FETCH_KINDS):
            return fetch_form(value)
        if isinstance(value, AbortSignal | AbortController):
            return cbor2.CBORTag(Tag.ABORT, self.items(self.parts(value), depth))
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if isinstance(value, set | frozenset):
            return self.set(value, depth)
        if isinstance(value, BaseException):
            fields = error_fields(value, now_ms=self.now_ms)
            return cbor2.CBORTag(Tag.ERROR, self.mapping(fields, depth))
        if isinstance(value, Instance | StepRef):
            return self.whole(value, depth)
        if isinstance(value, cbor2.CBORTag):  # a value of JavaScript's that is only passed on
            return cbor2.CBORTag(value.tag, self.prepare(value.value, depth + 1))
        if isinstance(value, RunHandle):
            return cbor2.CBORTag(Tag.RUN, [self.checked(value.ref.run_id)])
        if not isinstance(value, type):
            if dataclasses.is_dataclass(value):
                fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
                return self.mapping(fields, depth)
            if is_model(value):
                return self.prepare(self.dump(value), depth)
        kind = value.__qualname__ if isinstance(value, type) else type(value).__qualname__
        raise self.refuse(f"{kind} has no form in JavaScript; pass plain data")

    def whole(self, value: Instance | StepRef, depth: int) -> cbor2.CBORTag:
        """A value that a guest makes only of its whole inside: it may not hold itself."""
        self.within.add(id(value))
        if isinstance(value, Instance):
            inner = [self.checked(value.class_id), self.prepare(value.data, depth + 1)]
            form = cbor2.CBORTag(Tag.CLASS, inner)
        else:
            fields: dict[str, object] = {"id": value.id}
            if value.closure is not None:
                fields["closure"] = list(value.closure)
            if value.this is not UNDEFINED:
                fields["this"] = value.this
            form = cbor2.CBORTag(Tag.STEP, self.mapping(fields, depth))
        self.within.discard(id(value))
        return form

    def parts(self, handle: AbortSignal | AbortController) -> list[object]:
        try:
            return handle.parts()
        except ValueError as exc:
            raise self.refuse(str(exc)) from None

    def dump(self, model: Any) -> Any:
        # Once for both passes: its parts are recognised by identity.
        if id(model) not in self.dumped:
            try:
                self.dumped[id(model)] = model, content_of(model)
            except ValueError as exc:
                raise self.refuse(str(exc)) from exc
        return self.dumped[id(model)][1]

    def items(self, value: Sequence[Any], depth: int) -> list[Any]:
        forms: list[Any] = []
        for index, item in enumerate(value):
            self.path.append(f"[{index}]")
            forms.append(self.prepare(item, depth + 1))
            self.path.pop()
        return forms

    def set(self, value: Iterable[Any], depth: int) -> Any:
        ordered = _in_order(value)
        return self.kept_apart(ordered, self.items(ordered, depth))

    def kept_apart(self, values: list[Any], items: list[Any]) -> Any:
        self.check_apart(zip(items, values, strict=True), "items of a set")
        return cbor2.CBORTag(Tag.SET, items)

    def mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        pairs: list[tuple[Any, Any]] = []
        plain = bool(value) or id(value) not in self.maps
        for key, item in value.items():
            self.path.append(f".{key}" if isinstance(key, str) else f"[{show(key)}]")
            name = self.key(key, depth + 1)
            plain = plain and type(name) is str
            pairs.append((name, self.prepare(item, depth + 1)))
            self.path.pop()
        names = dict(pairs) if plain else {}
        if len(names) != len(pairs):
            self.check_apart(zip([name for name, _ in pairs], value, strict=True), "keys")
        return names if plain else cbor2.CBORTag(Tag.MAP, Pairs(pairs))

    def check_apart(self, forms: Iterable[tuple[Any, Any]], kind: str) -> None:
        """Pass keys or items that JavaScript keeps apart.

        Args:
            forms: of each, the form it crosses in and the value itself.
        """
        values: dict[object, object] = {}
        for form, value in forms:
            identity = identity_of(form)
            if identity is not None and values.setdefault(identity, value) is not value:
                first = values[identity]
                raise self.refuse(
                    f"{show(first)} and {show(value)} are two {kind} here and one in JavaScript"
                )

    def key(self, key: Any, depth: int) -> Any:
        """A key, whose parts are never shared: JavaScript has other objects as keys."""
        if depth > MAX_DEPTH:
            raise self.refuse(_TOO_DEEP)
        if isinstance(key, tuple | frozenset) and not isinstance(key, Enum):
            self.tally()
            parts = list(key) if isinstance(key, tuple) else _in_order(key)
            items = [self.key(item, depth + 1) for item in parts]
            return items if isinstance(key, tuple) else self.kept_apart(parts, items)
        if isinstance(key, cbor2.frozendict):
            return self.mapping(key, depth)
        prepared = self.prepare(key, depth)
        if isinstance(prepared, list | dict):
            raise self.refuse("a key must be a plain value")
        return prepared

    def scalar(self, value: Any) -> Any:
        """The form of *value*, if it is of a kind that has no parts."""
        match value:
            case Enum():
                form = form_of(value)
                return self.checked(form) if isinstance(form, str) else form
            case datetime():
                if value.tzinfo is None:
                    raise self.refuse("a naive datetime names no instant; give it a time zone")
                return instant_form(value)
            case timedelta():
                return self.duration(value)
            case UUID() | Decimal():
                return str(value)
            case PurePath():
                return self.checked(str(value))
            case date() | time():
                return value.isoformat()
            case StepRef() if value.closure is None and value.this is UNDEFINED:
                return cbor2.CBORTag(Tag.STEP, {"id": self.checked(value.id)})
            case ClassRef():
                return cbor2.CBORTag(Tag.CLASS, [self.checked(value.class_id)])
            case RunRef():
                return cbor2.CBORTag(Tag.RUN, [self.checked(value.run_id)])
            case Stream():
                names = [self.checked(value.run_id), self.checked(value.name)]
                return cbor2.CBORTag(Tag.STREAM, names)
            case bytearray() | memoryview():
                return bytes(value)
            case array():
                return self.array(value)
            case str() | int() | float() | bytes() | RegExp() | TypedArray():
                return self.subclass(value)
            case _:
                return self.checked(str(value)) if crosses_as_text(type(value)) else _NO_FORM

    def duration(self, value: timedelta) -> int | float:
        form = whole_number(value / _MILLISECOND)
        try:
            is_exact = timedelta(milliseconds=form) == value
        except OverflowError:
            is_exact = False
        if not is_exact:
            raise self.refuse(
                f"a timedelta of {value} has more digits than a number of milliseconds keeps"
            )
        return form

    def subclass(self, value: Any) -> Any:
        match value:
            case RegExp():
                return cbor2.CBORTag(Tag.REGEXP, [self.checked(value.source), value.flags])
            case TypedArray():
                return self.typed_array(value)
            case Url():
                return cbor2.CBORTag(Tag.URI, self.checked(str(value)))
            case ArrayBuffer():
                return cbor2.CBORTag(Tag.BUFFER, bytes(value))
            case DataView():
                return cbor2.CBORTag(Tag.VIEW, bytes(value))
            case str():
                return self.checked(str.__str__(value))
            case BigInt():
                return bigint_form(value)
            case int():
                is_number = -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER
                return int(value) if is_number else self.bigint(int(value))
            case float():
                return float(value)
            case _:
                return bytes(value)

    def typed_array(self, value: TypedArray) -> Any:
        items = next((size for tag, size in ITEM_BYTES.items() if tag == value.tag), None)
        if items is None:
            raise self.refuse(
                f"a TypedArray of tag {value.tag!r}: the tags of RFC 8746 that JavaScript has are "
                "68 to 72, 77 to 79 and 84 to 86"
            )
        data = bytes(value.data)
        if len(data) % items:
            raise self.refuse(
                f"a TypedArray of tag {value.tag} of {len(data)} bytes: each item has {items}"
            )
        return cbor2.CBORTag(value.tag, data)

    def array(self, value: array[Any]) -> Any:
        code = {("l", 8): "q", ("L", 8): "Q", ("l", 4): "i", ("L", 4): "I"}.get(
            (value.typecode, value.itemsize), value.typecode
        )
        if code == "B":
            return value.tobytes()
        if code not in _ARRAY_TAGS:
            raise self.refuse(f"an array of type {value.typecode!r} has no form in JavaScript")
        if sys.byteorder == "big":
            value = array(value.typecode, value)
            value.byteswap()
        return cbor2.CBORTag(_ARRAY_TAGS[code], value.tobytes())


def _in_order(items: Iterable[object]) -> list[object]:
    """A set's items in an order that does not depend on the process's hash seed."""
    try:
        return sorted(items, key=lambda item: encode(item, where="item"))
    except ValueNotCarriableError:
        return list(items)  # refused later, with its path
