"""Decoding: CBOR payloads to Python values.

Pure. The other half of ``codec``. Containers stay mutable and keep their identity, so cycles
through maps, sets' members and errors come back as they were.
"""

# A codec takes and gives values of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2

from ..errors import GuestError, ProtocolError, ValueNotCarriableError
from ..values import UNDEFINED, ArrayBuffer, DataView, RegExp, StepRef, TypedArray, Url
from .tags import TYPED_ARRAYS, Tag

__all__ = ("decode", "decode_error")

MAX_DEPTH = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAP_HEAD = b"\xd9" + Tag.MAP.to_bytes(2, "big")


def decode(data: bytes) -> Any:
    """The value of a payload.

    Raises:
        ProtocolError: *data* is not one CBOR value.
        ValueNotCarriableError: a Map in it has a key that Python's dict cannot have.
    """
    try:
        value = cbor2.loads(data, semantic_decoders=_DECODERS, max_depth=MAX_DEPTH)
    except (cbor2.CBORDecodeError, struct.error, ValueError, TypeError, RecursionError) as exc:
        # A key is read whole before it is hashed, so one that contains itself never gets there.
        is_cyclic = "has not been initialized" in str(exc) and _MAP_HEAD in data
        if is_cyclic or "unhashable" in str(exc.__cause__):
            reason = "a Map whose key is an object has no form in Python; pass a list of pairs"
            raise ValueNotCarriableError("a key of a Map", reason) from exc
        raise ProtocolError(f"a payload is not valid CBOR: {exc}") from exc
    # Only then can there be an undefined in it.
    return _with_undefined(value, set()) if b"\xf7" in data else value


def decode_error(data: bytes) -> GuestError:
    """The error of an error payload; a thrown value that is no error becomes one that shows it.

    Raises:
        ProtocolError: *data* is not one CBOR value.
    """
    value = decode(data)
    if isinstance(value, GuestError):
        return value
    text = value if isinstance(value, str) else repr(value)
    return GuestError(name="Error", message=text, props={"thrown": value})


def _with_undefined(value: Any, seen: set[int]) -> Any:
    """*value* with our ``UNDEFINED`` in place of cbor2's; containers are changed in place."""
    if value is cbor2.undefined:
        return UNDEFINED
    if not isinstance(value, list | dict | GuestError) or id(value) in seen:
        return value
    seen.add(id(value))
    if isinstance(value, list):
        value[:] = [_with_undefined(item, seen) for item in value]
    elif isinstance(value, dict):
        for key, item in value.items():
            value[key] = _with_undefined(item, seen)
    else:
        value.cause = _with_undefined(value.cause, seen)
        value.errors = tuple(_with_undefined(item, seen) for item in value.errors)
        _with_undefined(value.props, seen)
    return value


def _shared(
    make: Callable[[], Any],
    fill: Callable[[Any, Any], Any],
    frozen: Callable[[Any], Any] | None = None,
) -> Any:
    """A decoder whose object exists before its content is read, so the content may refer to it.

    Args:
        frozen: makes the hashable form that stands as a key; None if the object is hashable.
    """

    @cbor2.shareable_decoder(name="value", immutable=False)
    def start(immutable: bool) -> tuple[Any, Callable[[Any], Any]]:
        made = make()
        if immutable and frozen is not None:
            return made, frozen
        return made, lambda value: fill(made, value)

    return start


def _fill_dict(made: dict[Any, Any], value: Any) -> Any:
    made.update(value)
    return made


def _fill_set(made: set[Any], value: Any) -> Any:
    try:
        made.update(value)
    except TypeError:
        return list(value)  # An item is unhashable in Python.
    return made


def _fill_error(made: GuestError, value: Any) -> GuestError:
    errors = value.get("errors")
    filled = GuestError(
        name=str(value.get("name", "Error")),
        message=str(value.get("message", "")),
        stack=str(value.get("stack") or ""),
        cause=value.get("cause"),
        errors=tuple(errors) if isinstance(errors, list | tuple) else (),
        fatal=value.get("fatal") is True,
        props=value.get("props"),
    )
    made.__dict__.update(filled.__dict__)
    made.args = filled.args
    return made


def _instant(value: Any, immutable: bool = False) -> datetime | float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return math.nan
    try:
        return _EPOCH + timedelta(milliseconds=round(value * 1000))
    except OverflowError:
        return math.nan  # JavaScript's calendar reaches further than Python's.


def _typed(tag: int) -> Callable[[Any, bool], TypedArray]:
    return lambda value, immutable: TypedArray(tag, bytes(value))


def _thrown() -> GuestError:
    return GuestError(name="Error", message="")


_DECODERS: dict[int, Any] = {
    Tag.EPOCH: _instant,
    Tag.MAP: _shared(dict, _fill_dict, cbor2.frozendict),
    Tag.SET: _shared(set, _fill_set, frozenset),
    Tag.ERROR: _shared(_thrown, _fill_error),
    Tag.REGEXP: lambda value, immutable: RegExp(*value),
    Tag.URI: lambda value, immutable: Url(value),
    Tag.BUFFER: lambda value, immutable: ArrayBuffer(value),
    Tag.VIEW: lambda value, immutable: DataView(value),
    Tag.STEP: lambda value, immutable: StepRef(value["id"]),
    **{tag: _typed(tag) for tag in TYPED_ARRAYS},
}
