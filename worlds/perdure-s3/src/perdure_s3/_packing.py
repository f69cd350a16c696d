"""Packing: values that are compressed in parts, and the bound on their size.

A part's name says how long it is once it is unpacked; a store may have other bytes in its place. So
no more than that is made of it, and nothing of a part that claims more than any has. A part of an
earlier version of this package has a name without a length.
"""

from __future__ import annotations

import zlib
from typing import Any

from perdure.errors import WorldContractError

from ._schema import dumps, loads

__all__ = ("MAX_BYTES", "pack", "size_of", "sized", "unpack")

MAX_BYTES = 1 << 30


def pack(value: object) -> tuple[bytes, int]:
    """A part's bytes, and their length before they were compressed."""
    data = dumps(value)
    return zlib.compress(data, 1), len(data)


def sized(name: str, size: int) -> str:
    """The part's name, with that length."""
    return f"{name}.{size}"


def unpack(data: bytes, name: str) -> list[Any]:
    """The list that was packed.

    Raises:
        WorldContractError: the part is damaged, or unpacks to more than its name says.
    """
    most = size_of(name)
    reader = zlib.decompressobj()
    try:
        unpacked = reader.decompress(data, most + 1)
        if len(unpacked) > most or not reader.eof:
            raise WorldContractError(f"part {name} is cut, or more than {most:,} bytes")
        value = loads(unpacked)
    except (zlib.error, ValueError) as exc:
        raise WorldContractError(f"part {name} cannot be read: {exc}") from exc
    if not isinstance(value, list):
        raise WorldContractError(f"part {name} holds something else")
    return value  # pyright: ignore[reportUnknownVariableType] # of whatever is in it


def size_of(name: str) -> int:
    """The length that a part's name says; the most there is if it says none."""
    digits = name.rpartition(".")[2]
    if not digits.isascii() or not digits.isdecimal() or "." not in name:
        return MAX_BYTES
    return min(int(digits[:20]), MAX_BYTES)
