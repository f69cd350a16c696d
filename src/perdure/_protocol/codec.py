"""Codec: Python values to CBOR payloads and back, with the tags of docs/protocol.md.

Pure. Plain data goes straight through cbor2; other values are first put into the form they cross
in. What cannot be carried fails with the path of the offending value. Shared and cyclic
containers keep their identity through tags 28 and 29, which are written only where needed.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import cbor2

from ..errors import GuestError, ProtocolError, ValueNotCarriableError
from ..values import UNDEFINED, ArrayBuffer, DataView, RegExp, StepRef, TypedArray, Url

__all__ = ("decode", "encode")

TAG_EPOCH, TAG_REGEXP, TAG_URI, TAG_MAP, TAG_SET = 1, 21066, 32, 259, 258
TAG_ERROR, TAG_BUFFER, TAG_STEP, TAG_VIEW = 1347571201, 1347571202, 1347571204, 1347571208
TYPED_TAGS = frozenset({64, 68, 69, 70, 71, 72, 77, 78, 79, 85, 86})
SAFE_INT = 2**53 - 1
MAX_DEPTH = 400
_PLAIN = frozenset({str, bool, type(None), bytes})


def encode(value: object, *, where: str) -> bytes:
    """The payload of *value*.

    Args:
        where: what the value is, to begin the path in an error ("arguments", "result").

    Raises:
        ValueNotCarriableError: something in it cannot cross; names its path.
    """
    encoder = _Encoder(where)
    prepared = encoder.prepare(value, 0)
    data: bytes = cbor2.dumps(prepared, value_sharing=encoder.shared)
    return data


class _Encoder:
    """One value on its way out. Keeps the path, and which containers were met."""

    def __init__(self, where: str) -> None:
        self.path: list[str] = [where]
        self.made: dict[int, tuple[object, object]] = {}  # id -> (original, prepared)
        self.shared = False

    def refuse(self, reason: str) -> ValueNotCarriableError:
        return ValueNotCarriableError("".join(self.path), reason)

    def prepare(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return self.checked_text(value) if kind is str else value
        if kind is int:
            return value
        if kind is float:
            return value
        if depth > MAX_DEPTH:
            raise self.refuse(f"values nest deeper than {MAX_DEPTH} levels")
        known = self.made.get(id(value))
        if known is not None:
            self.shared = True
            return known[1]
        if kind is list or kind is tuple:
            return self.prepare_items(value, depth)
        if kind is dict:
            return self.prepare_dict(value, depth)
        return self.prepare_other(value, depth)

    def checked_text(self, value: str) -> str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise self.refuse("a string with a lone surrogate has no UTF-8 form") from None
        return value

    def prepare_items(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        made: list[Any] = []
        if value:  # Empty ones need no identity, and () is one object everywhere.
            self.made[id(value)] = (value, made)
        for index, item in enumerate(value):
            self.path.append(f"[{index}]")
            made.append(self.prepare(item, depth + 1))
            self.path.pop()
        return made

    def prepare_dict(self, value: Mapping[Any, Any], depth: int) -> Any:
        made: dict[Any, Any] = {}
        self.made[id(value)] = (value, made)
        plain = True
        for key, item in value.items():
            plain = plain and isinstance(key, str)
            self.path.append(f".{key}" if isinstance(key, str) else f"[{key!r}]")
            made[self.prepare_key(key)] = self.prepare(item, depth + 1)
            self.path.pop()
        return made

    def prepare_key(self, key: Any) -> Any:
        prepared = self.prepare(key, 0)
        if isinstance(prepared, list | dict):
            raise self.refuse("a key must be a plain value")
        return prepared

    def prepare_other(self, value: Any, depth: int) -> Any:
        if value is UNDEFINED:
            return cbor2.undefined
        if isinstance(value, Enum):
            return self.prepare(value.value if isinstance(value.value, str) else value.name, depth)
        if isinstance(value, BaseException):
            return cbor2.CBORTag(TAG_ERROR, self.prepare(_error_fields(value), depth + 1))
        scalar = self.prepare_scalar(value)
        if scalar is not None:
            return scalar
        if isinstance(value, set | frozenset):
            items = [self.prepare(item, depth + 1) for item in value]
            return cbor2.CBORTag(TAG_SET, items)
        if isinstance(value, str | int | float | bytes):  # subclasses, by what they are
            return self.prepare(_base_value(value), depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return self.remember(value, self.prepare_dict(fields, depth))
        dump = getattr(value, "model_dump", None)
        if callable(dump) and not isinstance(value, type):
            return self.remember(value, self.prepare(dump(), depth))
        if isinstance(value, Mapping):
            return self.prepare_dict(value, depth)
        if isinstance(value, list | tuple):
            return self.prepare_items(value, depth)
        raise self.refuse(f"{type(value).__qualname__} has no form in JavaScript; pass plain data")

    def remember(self, value: object, made: Any) -> Any:
        self.made[id(value)] = (value, made)
        return made

    def prepare_scalar(self, value: Any) -> Any:
        match value:
            case datetime():
                if value.tzinfo is None:
                    raise self.refuse("a naive datetime names no instant; give it a time zone")
                return cbor2.CBORTag(TAG_EPOCH, _epoch_seconds(value))
            case timedelta():
                return value / timedelta(milliseconds=1)
            case UUID() | Decimal():
                return str(value)
            case RegExp():
                return cbor2.CBORTag(TAG_REGEXP, [value.source, value.flags])
            case Url():
                return cbor2.CBORTag(TAG_URI, str(value))
            case ArrayBuffer():
                return cbor2.CBORTag(TAG_BUFFER, bytes(value))
            case DataView():
                return cbor2.CBORTag(TAG_VIEW, bytes(value))
            case TypedArray():
                return cbor2.CBORTag(value.tag, value.data)
            case StepRef():
                return cbor2.CBORTag(TAG_STEP, {"id": value.id})
            case bytearray() | memoryview():
                return bytes(value)
            case _:
                return None


def _base_value(value: str | int | float | bytes) -> str | int | float | bytes:
    for base in (str, bool, int, float, bytes):
        if isinstance(value, base):
            return base(value) if base is not str else str.__str__(value)
    raise AssertionError(value)


def _epoch_seconds(value: datetime) -> int | float:
    # Whole milliseconds: JavaScript has no finer instants.
    ms = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def _error_fields(error: BaseException) -> dict[str, object]:
    fields: dict[str, object]
    if isinstance(error, GuestError):
        fields = {"name": error.name, "message": error.text}
        extra = {"stack": error.stack, "cause": error.cause, "errors": list(error.errors)}
        fields.update({key: item for key, item in extra.items() if item})
        if error.fatal:
            fields["fatal"] = True
        if error.props:
            fields["props"] = error.props
        return fields
    fields = {"name": type(error).__name__, "message": str(error)}
    stack = "".join(getattr(error, "__perdure_stack__", ()))
    if stack:
        fields["stack"] = stack
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        fields["cause"] = cause
    if isinstance(error, BaseExceptionGroup):
        fields["errors"] = list(error.exceptions)
    if getattr(error, "fatal", False) is True:
        fields["fatal"] = True
    return fields


def decode(data: bytes) -> Any:
    """The value of a payload.

    Raises:
        ProtocolError: *data* is not one CBOR value.
    """
    try:
        return _restore(cbor2.loads(data, tag_hook=_from_tag))
    except (cbor2.CBORDecodeError, struct.error, ValueError, RecursionError) as exc:
        raise ProtocolError(f"a payload is not valid CBOR: {exc}") from exc


def _restore(value: Any) -> Any:
    return UNDEFINED if value is cbor2.undefined else _Restorer().restore(value)


class _Restorer:
    """Puts our ``UNDEFINED`` in place of cbor2's, in place, each container once."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def restore(self, value: Any) -> Any:
        if value is cbor2.undefined:
            return UNDEFINED
        if isinstance(value, list | dict) and id(value) not in self.seen:
            self.seen.add(id(value))
            items = enumerate(value) if isinstance(value, list) else list(value.items())
            for key, item in items:
                if item is cbor2.undefined:
                    value[key] = UNDEFINED
                elif isinstance(item, list | dict):
                    self.restore(item)
        return value


def _from_tag(tag: Any, *_: Any) -> Any:
    # cbor2 6 calls the hook with (tag, immutable); earlier ones with (decoder, tag).
    found = tag if isinstance(tag, cbor2.CBORTag) else _[0]
    number, value = found.tag, found.value
    if number == TAG_ERROR:
        return _guest_error(value)
    if number == TAG_MAP:
        return dict(value)
    if number == TAG_SET:
        return _as_set(value)
    if number == TAG_REGEXP:
        return RegExp(*value)
    if number == TAG_BUFFER:
        return ArrayBuffer(value)
    if number == TAG_VIEW:
        return DataView(value)
    if number == TAG_STEP:
        return StepRef(value["id"])
    if number == TAG_URI:
        return Url(value)
    if number in TYPED_TAGS:
        return TypedArray(number, bytes(value))
    return found


def _as_set(value: Any) -> Any:
    try:
        return set(value)
    except TypeError:
        return list(value)


def _guest_error(value: Mapping[str, Any]) -> GuestError:
    return GuestError(
        name=str(value.get("name", "Error")),
        message=str(value.get("message", "")),
        stack=str(value.get("stack", "")),
        cause=value.get("cause"),
        errors=tuple(value.get("errors") or ()),
        fatal=value.get("fatal") is True,
        props=value.get("props"),
    )


def is_finite_number(value: object) -> bool:
    """Whether *value* is a number that is neither NaN nor infinite."""
    return isinstance(value, int | float) and math.isfinite(value)
