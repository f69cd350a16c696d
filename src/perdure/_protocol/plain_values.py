"""Plain values: those that cbor2 alone does justice. Pure.

Most values are plain, and are told so in one walk; a codec's care costs ten times as much.
"""

# Values are of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from typing import Any

from .survey import MAX_ITEMS

__all__ = ("MAX_DEPTH", "MAX_SAFE_INTEGER", "SCALARS", "has_bigint", "is_plain", "is_scalar")

MAX_DEPTH = 200
MAX_SAFE_INTEGER = 2**53 - 1  # above, an integer crosses as a BigInt
SCALARS = frozenset({str, int, float, bool, type(None), bytes})
_SHORT_TEXT = 4096  # characters


def is_scalar(value: Any) -> bool:
    """Whether it is None, a boolean, a number that is one in JavaScript, or a short ASCII text."""
    kind = type(value)
    if kind is int:
        number: int = value
        return -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER
    if kind is str:
        text: str = value
        return len(text) <= _SHORT_TEXT and text.isascii()
    return kind is bool or kind is float or value is None


def has_bigint(value: Any) -> bool:
    """Whether a plain value has an int that is no number."""
    kind = type(value)
    if kind is int:
        return not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER
    if kind is dict:
        value = value.values()
    elif kind is not list and kind is not tuple:
        return False
    for item in value:
        kind = type(item)
        if kind is int:
            if not -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                return True
        elif (kind is dict or kind is list or kind is tuple) and has_bigint(item):
            return True
    return False


def is_plain(value: Any, containers: set[int], depth: int, count: list[int]) -> bool:
    """Whether cbor2 alone does *value* justice: a tree of scalars, lists and string-keyed dicts."""
    kind = type(value)
    if kind in SCALARS:
        return True
    if (kind is not dict and kind is not list and kind is not tuple) or depth > MAX_DEPTH:
        return False
    if value or kind is not tuple:  # () is one object everywhere
        if id(value) in containers:
            return False
        containers.add(id(value))
    count[0] += len(value)
    if count[0] > MAX_ITEMS:
        return False
    if kind is dict:
        count[0] += len(value)
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    for item in value:  # all() with a generator takes twice the time
        if type(item) not in SCALARS and not is_plain(item, containers, depth + 1, count):
            return False
    return True
