"""Returns: the promise of a step's return annotation to TypeScript, kept for each result.

The declarations of ``perdure types`` are made of annotations alone. Where the form of a value does
not follow from the value, the annotation is asked: an int is a number, and never a bigint; a dict
without entries is a Map if its keys would be no texts. Most results have neither in them, which
their bytes tell; for others the annotation is read, once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any, final

from .._protocol.codec import encode, encode_noting
from .parameters import annotation_of

__all__ = ("Returns",)

_EMPTY = 0xA0  # an object without members


@final
class Returns:
    """The return annotation of one step."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __repr__(self) -> str:
        return f"<Returns of {getattr(self._function, '__qualname__', self._function)}>"

    def encode(self, value: object, *, where: str) -> bytes:
        """The payload of a result as its type says that it is.

        Raises:
            ValueNotCarriableError: as ``encode``, or there is an int in it that is no number; names
                its path.
        """
        payload, has_bigint = encode_noting(value, where=where)
        only_numbers = has_bigint and self._says_number
        maps: dict[int, object] = {}
        if _EMPTY in payload and self._says_map:
            maps = import_module("perdure._types.maps").empty_maps(self._annotation, value)
        if not only_numbers and not maps:
            return payload
        return encode(value, where=where, only_numbers=only_numbers, maps=maps.keys())

    @cached_property
    def _annotation(self) -> Any:
        try:
            return annotation_of(self._function, "return")
        except NameError:  # for type checkers only
            return Any

    @cached_property
    def _says_map(self) -> bool:
        return bool(import_module("perdure._types.forms").says_map(self._annotation))

    @cached_property
    def _says_number(self) -> bool:
        return bool(import_module("perdure._types.forms").says_number(self._annotation))
