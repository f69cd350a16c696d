"""Equality: whether two payloads hold the same value, however it was written.

Pure. The order of a dict's keys and of a set's items says nothing, nor whether a whole number was
written as an int or a float; booleans and numbers are never equal.
"""

# Decoded values are of any type:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

from .codec import decode, encode

__all__ = ("same_value",)


def same_value(one: bytes, other: bytes) -> bool:
    """Whether both payloads hold equal values."""
    return one == other or _canonical(one) == _canonical(other)


def _canonical(payload: bytes) -> bytes:
    """The payload in one order, whole numbers as ints; sets are ordered by the codec."""
    return encode(_ordered(decode(payload), {}), where="value")


def _ordered(value: Any, copies: dict[int, Any]) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, list):
        items: list[Any] = []
        copies[id(value)] = items
        items.extend(_ordered(item, copies) for item in value)
        return items
    if isinstance(value, dict):
        pairs: dict[Any, Any] = {}
        copies[id(value)] = pairs
        keys: list[Any] = list(value)
        for key in sorted(keys, key=lambda key: encode(key, where="key")):
            pairs[_ordered(key, copies)] = _ordered(value[key], copies)
        return pairs
    if isinstance(value, set):
        return {_ordered(item, copies) for item in value}
    return value
