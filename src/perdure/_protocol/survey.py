"""Survey: a look at a payload's heads alone, before memory is used for its values.

Pure. Reads each item's head and skips its bytes, so it costs no more memory than the nesting is
deep. ``decoding`` asks for it where cbor2 by itself would use time or memory without a bound.
"""

from __future__ import annotations

from typing import Final, NoReturn, final

from ..errors import ProtocolError, ValueNotCarriableError
from .tags import Tag

__all__ = ("MAX_BIG_KEYS", "MAX_DEPTH", "MAX_ITEMS", "MAX_KEY_PARTS", "survey", "too_many_items")

MAX_DEPTH: Final = 1000  # containers and tags in each other; the guest writes at most 500 values
MAX_ITEMS: Final = 1_000_000  # of one value; keys and containers count, tags do not
# In keys of Maps. Python's hash of both can be foreseen, so as many as one likes can be alike.
MAX_BIG_KEYS: Final = 1000  # BigInts
MAX_KEY_PARTS: Final = 5000  # arrays, Maps and Sets

_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(2, 8)
_CONTAINER_TAGS = frozenset({Tag.SHAREABLE, Tag.SET, Tag.MAP})
_BIGINTS = frozenset({Tag.BIGINT, Tag.NEGATIVE_BIGINT})


def _lengths() -> bytes:
    """By an item's first byte its length, where that says it; 0 of the others."""
    lengths = bytearray(256)
    for major in (0, 1, _SIMPLE):
        lengths[major << 5 : (major << 5) + 24] = b"\1" * 24
        lengths[(major << 5) + 24 : (major << 5) + 28] = b"\2\3\5\x09"
    for major in (_BYTES, _TEXT):
        lengths[major << 5 : (major << 5) + 24] = bytes(range(1, 25))
    return bytes(lengths)


_LENGTHS = _lengths()


def survey(data: bytes) -> None:
    """Pass a payload that can be decoded in bounded time and memory.

    Raises:
        ProtocolError: *data* is not one well-formed CBOR item.
        ValueNotCarriableError: it has too many items, or keys that take too long to tell apart.
    """
    _Walk(data).run()


def too_many_items(where: str) -> ValueNotCarriableError:
    """The error of a value with more items than can cross."""
    return ValueNotCarriableError(
        where,
        f"it has more than {MAX_ITEMS:,} items; pass typed arrays or bytes, "
        "or keep it elsewhere and pass a reference",
    )


@final
class _Walk:
    """A walk over the heads of one payload."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.shared: list[bool] = []  # by number of a shared object: whether it is a container
        self.big_keys = 0
        self.key_parts = 0

    def run(self) -> None:
        try:
            self._run()
        except IndexError:
            _malformed("it is cut short")
        if self.at != len(self.data):
            _malformed("it is cut short, or bytes follow the value")

    def _run(self) -> None:
        data, items = self.data, 0
        # Of each open container: items that are left, whether it is a map, whether it is in a key.
        rest, is_map, is_key = 1, False, False
        outer: list[tuple[int, bool, bool]] = []
        while rest or outer:
            if not rest:
                rest, is_map, is_key = outer.pop()
            before, at = rest, self.at
            while rest and (length := _LENGTHS[data[at]]):
                at += length
                rest -= 1
            self.at = at
            items += before - rest
            if rest:
                in_key = is_key or (is_map and rest % 2 == 0)
                rest -= 1
                major, number = self._head()
                items += major != _TAG
                inner = self._inner(major, number, in_key)
                if inner:
                    outer.append((rest, is_map, is_key))
                    rest, is_map, is_key = inner, major == _MAP, in_key
                    if len(outer) > MAX_DEPTH:
                        _malformed(f"it nests deeper than {MAX_DEPTH} levels")
            if items > MAX_ITEMS:
                raise too_many_items("payload")

    def _inner(self, major: int, number: int, in_key: bool) -> int:
        """How many items follow that belong to this one."""
        if major == _TAG:
            self._tag(number, in_key)
            return 1
        if major in (_BYTES, _TEXT):
            self._skip(number)
        if major not in (_ARRAY, _MAP):
            return 0
        if in_key:
            self.key_parts += 1
            if self.key_parts > MAX_KEY_PARTS:
                raise ValueNotCarriableError(
                    "a key of a Map",
                    f"more than {MAX_KEY_PARTS:,} arrays, Maps and Sets are keys or in keys; "
                    "pass a list of pairs",
                )
        count = number if major == _ARRAY else 2 * number
        if count > len(self.data) - self.at:
            _malformed("a container is longer than its bytes")
        if count > MAX_ITEMS:
            raise too_many_items("payload")
        return count

    def _tag(self, tag: int, in_key: bool) -> None:
        if tag == Tag.SHAREABLE:
            self.shared.append(self._is_container())
        elif tag == Tag.REFERENCE:
            major, number = self._peek()
            if major or number >= len(self.shared):
                _malformed("a reference to nothing")
            if in_key and self.shared[number]:
                raise ValueNotCarriableError(
                    "a key of a Map",
                    "an array, Map or Set that is met twice is part of it; pass a list of pairs",
                )
        elif in_key and tag in _BIGINTS:
            self.big_keys += 1
            if self.big_keys > MAX_BIG_KEYS:
                raise ValueNotCarriableError(
                    "a key of a Map",
                    f"more than {MAX_BIG_KEYS:,} large BigInts are keys; pass text or a list",
                )

    def _is_container(self) -> bool:
        major, number = self._peek()
        return major in (_ARRAY, _MAP) or (major == _TAG and number in _CONTAINER_TAGS)

    def _peek(self) -> tuple[int, int]:
        at = self.at
        head = self._head()
        self.at = at
        return head

    def _head(self) -> tuple[int, int]:
        """The major type and the number of the head here."""
        at, data = self.at, self.data
        first = data[at]
        number = first & 31
        self.at = at + 1
        if number < 24:
            return first >> 5, number
        if number > 27:
            _malformed("a head has no definite length")
        size = 1 << (number - 24)
        self._skip(size)
        return first >> 5, int.from_bytes(data[at + 1 : at + 1 + size], "big")

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            _malformed("it is cut short")


def _malformed(reason: str) -> NoReturn:
    raise ProtocolError(f"a payload is not valid CBOR: {reason}")
