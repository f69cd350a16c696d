"""Packing: the corpus as one file, which is known by its digest."""

from __future__ import annotations

import functools
import hashlib
import lzma
from pathlib import Path
from typing import Any

import cbor2

__all__ = ("FILE", "digest_of", "pack", "read")

FILE = Path(__file__).with_name("corpus.xz")


def pack(contents: dict[str, Any]) -> bytes:
    """The stores by the name of their world, and the names of their engine and of its sources."""
    data: bytes = cbor2.dumps(contents)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 64 << 20}]
    return lzma.compress(data, format=lzma.FORMAT_XZ, filters=filters)


def digest_of(data: bytes) -> str:
    """Its name among others."""
    return hashlib.sha256(data).hexdigest()


@functools.cache
def read() -> dict[str, Any]:
    """The corpus, as ``pack`` was given it."""
    contents: dict[str, Any] = cbor2.loads(lzma.decompress(FILE.read_bytes()))
    return contents
