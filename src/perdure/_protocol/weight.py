"""Weight: whether a value is quickly encoded, found out more quickly than by encoding it. Pure."""

# A value may be of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Mapping
from itertools import islice
from types import FunctionType
from typing import Any, Final

from ..errors import GuestError
from ..values import Request, Response

__all__ = ("SMALL_BYTES", "SMALL_ITEMS", "is_small", "parts_of_text")

SMALL_ITEMS: Final = 1000  # are encoded in 5 ms at most, and most kinds in 1
SMALL_BYTES: Final = 16 << 10  # of a payload are decoded in 5 ms at most, and most kinds in 1
_MAX_TEXT: Final = 1 << 20  # bytes or characters, which are only copied
_PLAIN = frozenset({list, tuple, set, frozenset, deque})
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
        # One of a class of its own may have more than it says.
        return item if type(item) in _PLAIN else list(islice(item, SMALL_ITEMS + 1))
    if isinstance(item, BaseException):
        return _parts_of_error(item)
    if isinstance(item, type):
        return ()
    if isinstance(item, Request | Response):
        return (item.headers, item.body)
    fields = item if isinstance(item, Mapping) else getattr(item, "__dict__", None)
    if isinstance(fields, Mapping):
        # Of too many it does not matter what they are.
        return fields if len(fields) > SMALL_ITEMS else (*fields, *fields.values())
    if dataclasses.is_dataclass(item):
        return [getattr(item, field.name, None) for field in dataclasses.fields(item)]
    return ()


def parts_of_text(error: BaseException) -> Collection[Any]:
    """The values that Python itself makes the text of an error of; () if the error does that."""
    if isinstance(type(error).__str__, FunctionType) or isinstance(error, BaseExceptionGroup):
        return ()
    if isinstance(error, OSError):
        return (*error.args, error.filename, error.filename2)
    return error.args


def _parts_of_error(error: BaseException) -> Collection[Any]:
    """The parts of an error that cross, and those that its text is made of."""
    if isinstance(error, GuestError):
        return (error.cause, error.errors, error.props)
    context = None if error.__suppress_context__ else error.__context__
    causes = (error.__cause__, context)
    if isinstance(error, BaseExceptionGroup):
        return (*error.exceptions, *causes)
    return (*parts_of_text(error), *causes)
