"""Show: a value of any size or shape as a short text for people. Pure.

``repr`` follows a shared object as often as it is met, which takes time and memory without a bound
for a value of a few hundred bytes.
"""

# A value may be of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, final

import cbor2

from ..errors import GuestError
from ..values import TypedArray

__all__ = ("show", "show_integer")

_MAX_PARTS: Final = 500
_MAX_LEVELS: Final = 20
_MAX_TEXT: Final = 10_000  # characters, of a string and of the whole
_MAX_BITS: Final = 14_000  # of an integer below 4,300 decimal digits, all that Python writes
_CUT: Final = "…"


def show(value: object) -> str:
    """*value* as ``repr`` has it, cut where that would be long."""
    return _cut(_Shown().text(value, 0))


def show_integer(value: int) -> str:
    """*value* in decimal, or in hexadecimal where that is too long for Python."""
    return str(value) if value.bit_length() <= _MAX_BITS else hex(value)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + _CUT


@final
class _Shown:
    """One value's text, in parts that are counted."""

    def __init__(self) -> None:
        self.budget = _MAX_PARTS

    def text(self, value: Any, level: int) -> str:
        self.budget -= 1
        if self.budget < 0 or level > _MAX_LEVELS:
            return _CUT
        if isinstance(value, str | bytes):
            return repr(value[:_MAX_TEXT]) + (_CUT if len(value) > _MAX_TEXT else "")
        if type(value) is int:
            return _cut(show_integer(value))
        if isinstance(value, Mapping):
            return "{" + self.pairs(value, level + 1) + "}"
        if isinstance(value, list):
            return "[" + self.items(value, level + 1) + "]"
        if isinstance(value, tuple):
            return "(" + self.items(value, level + 1) + ("," if len(value) == 1 else "") + ")"
        if isinstance(value, set | frozenset):
            return (
                "{" + self.items(value, level + 1) + "}" if value else f"{type(value).__name__}()"
            )
        if isinstance(value, cbor2.CBORTag):
            return f"CBORTag({value.tag}, {self.text(value.value, level + 1)})"
        if isinstance(value, TypedArray):
            return f"TypedArray({value.tag}, {self.text(value.data, level + 1)})"
        return str(value) if isinstance(value, GuestError) else repr(value)

    def items(self, items: Iterable[Any], level: int) -> str:
        return ", ".join([self.text(item, level) for item in self._first(items)])

    def pairs(self, items: Mapping[Any, Any], level: int) -> str:
        texts = [
            f"{self.text(key, level)}: {self.text(item, level)}"
            for key, item in self._first(items.items())
        ]
        return ", ".join(texts)

    def _first(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items before the parts are used up, and one that is shown as cut."""
        for item in items:
            yield item
            if self.budget < 0:
                return
