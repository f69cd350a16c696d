"""Weight: whether a value is quickly encoded, found out more quickly than by encoding it. Pure."""

# A value may be of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, Final

from ..errors import GuestError

__all__ = ("SMALL_BYTES", "SMALL_ITEMS", "is_small")

SMALL_ITEMS: Final = 1000  # are encoded in 5 ms at most, and most kinds in 1
SMALL_BYTES: Final = 16 << 10  # of a payload are decoded in 5 ms at most, and most kinds in 1
_MAX_TEXT: Final = 1 << 20  # bytes or characters, which are only copied
_SCALARS = frozenset({int, float, bool, type(None)})


def is_small(value: object) -> bool:
    """Whether *value* has few items and no long text.

    Looks into containers and at the fields of objects; an object in which it sees none is small.
    """
    items, length = SMALL_ITEMS, _MAX_TEXT
    stack = [value]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind in _SCALARS:
            continue
        if isinstance(item, str | bytes | bytearray):
            length -= len(item)
        else:
            parts = _parts(item)
            items -= len(parts)
            if items >= 0:
                stack.extend(parts)
        if items < 0 or length < 0:
            return False
    return True


def _parts(item: Any) -> Collection[Any]:
    if isinstance(item, list | tuple | set | frozenset | deque):
        return item
    if isinstance(item, BaseException):
        return _parts_of_error(item)
    if isinstance(item, type):
        return ()
    fields = item if isinstance(item, Mapping) else getattr(item, "__dict__", None)
    if isinstance(fields, Mapping):
        # Of too many it does not matter what they are.
        return fields if len(fields) > SMALL_ITEMS else (*fields, *fields.values())
    if dataclasses.is_dataclass(item):
        return [getattr(item, field.name, None) for field in dataclasses.fields(item)]
    return ()


def _parts_of_error(error: BaseException) -> Collection[Any]:
    """What of an error crosses, save for its text."""
    if isinstance(error, GuestError):
        return (error.cause, error.errors, error.props)
    if isinstance(error, BaseExceptionGroup):
        return (*error.exceptions, error.__cause__)
    return (error.__cause__,)
