"""Equality: whether two payloads hold the same value, however it was written.

Pure. The order of a dict's keys and of a set's items says nothing, nor whether a whole number was
written as an int or a float, nor whether equal parts are one object; booleans and numbers are never
equal. Values that contain themselves are equal where no path through both finds a difference.
"""

# Decoded values are of any type:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

from .codec import decode, encode

__all__ = ("same_value",)

_SCALARS = (str, int, float, bool, type(None), bytes)


def same_value(one: bytes, other: bytes) -> bool:
    """Whether both payloads hold equal values."""
    return one == other or _same(decode(one), decode(other))


def _same(one: Any, other: Any) -> bool:
    open_pairs = [(one, other)]
    visits: set[tuple[int, int]] = set()
    while open_pairs:
        left, right = open_pairs.pop()
        if isinstance(left, list | dict):
            if (id(left), id(right)) in visits:
                continue
            visits.add((id(left), id(right)))
            parts = _pairs(left, right)
            if parts is None:
                return False
            open_pairs += parts
        elif not _same_leaf(_whole(left), _whole(right)):
            return False
    return True


def _pairs(left: Any, right: Any) -> list[tuple[Any, Any]] | None:
    """The parts of two containers, side by side; None if one has parts that the other lacks."""
    if type(left) is not type(right) or len(left) != len(right):
        return None
    if isinstance(left, list):
        return list(zip(left, right, strict=True))
    one, other = _by_form(left), _by_form(right)
    if one.keys() != other.keys():
        return None
    return [(item, other[form]) for form, item in one.items()]


def _by_form(table: dict[Any, Any]) -> dict[Any, Any]:
    if all(type(key) is str for key in table):
        return table
    return {encode(_ordered(key), where="key"): item for key, item in table.items()}


def _same_leaf(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, _SCALARS):
        return bool(left == right or (left != left and right != right))
    return encode(_ordered(left), where="value") == encode(_ordered(right), where="value")


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ordered(value: Any) -> Any:
    """A key or an item of a set with ints for whole numbers; the codec orders sets."""
    if isinstance(value, tuple | frozenset | set):
        return type(value)(_ordered(item) for item in value)
    return _whole(value)
