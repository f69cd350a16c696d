"""Wire: the lines that processes send each other: plain data in base64.

Values of the contracts, calls and errors keep their class, by its name in a fixed table: a line can
make no other object, and runs nothing.
"""

# What worlds answer is walked without being known:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

import cbor2

from ... import errors, model
from ..._core.plain import load_plain
from ._calls import Call
from ._linear import Operation

__all__ = ("decode", "encode")

_DEPTH = 100
_SCALARS = (str, int, float, bool, bytes, type(None))
_CLASSES: dict[str, Any] = {
    name: kind
    for name, kind in {**vars(model), "Call": Call, "Operation": Operation}.items()
    if dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, Enum))
}


def encode(value: Any) -> bytes:
    """A line."""
    return base64.b64encode(cbor2.dumps(_packed(value))) + b"\n"


def decode(line: bytes) -> Any:
    """The data of a line of the other process."""
    return _unpacked(load_plain(base64.b64decode(line), depth=_DEPTH))


def _packed(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Enum):
        return ["enum", type(value).__name__, value.value]
    if isinstance(value, Exception):
        return _packed_error(value)
    if isinstance(value, list | tuple):
        return ["list" if isinstance(value, list) else "tuple", *map(_packed, value)]
    if isinstance(value, Mapping):
        return ["map", *(_packed(part) for pair in value.items() for part in pair)]
    names = [member.name for member in dataclasses.fields(value)]
    return ["value", type(value).__name__, *(_packed(getattr(value, name)) for name in names)]


def _unpacked(data: Any) -> Any:
    if type(data) is not list:
        return data
    kind, *parts = data
    if kind == "enum":
        return _CLASSES[parts[0]](parts[1])
    if kind == "error":
        return _unpacked_error(*parts)
    if kind == "value":
        owner = _CLASSES[parts.pop(0)]
        names = [member.name for member in dataclasses.fields(owner)]
        return owner(**dict(zip(names, map(_unpacked, parts), strict=True)))
    values = [_unpacked(part) for part in parts]
    if kind == "map":
        return dict(zip(values[::2], values[1::2], strict=True))
    return tuple(values) if kind == "tuple" else values


def _packed_error(error: Exception) -> list[Any]:
    """Its class's name, the nearest class of ours, and the fields that are compared."""
    names = [kind.__name__ for kind in type(error).__mro__]
    ours = next((name for name in names if hasattr(errors, name)), "")
    return ["error", names[0], ours, str(error), bool(getattr(error, "retryable", False))]


def _unpacked_error(name: str, ours: str, text: str, retryable: bool) -> Exception:
    base: type[Exception] = getattr(errors, ours, Exception)
    kind = type(name, (base,), {"retryable": retryable, "__init__": Exception.__init__})
    error: Exception = kind(text)
    if isinstance(error, errors.PerdureError):
        error.message = text
    return error
