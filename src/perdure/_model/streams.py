"""Streams: named, append-only sequences of chunks that belong to a run."""

from __future__ import annotations

from typing import Final

from .._value_class import value_class

__all__ = ("PAGE_BYTES", "SYSTEM_PREFIX", "StreamInfo", "StreamPage", "is_system_stream")

PAGE_BYTES: Final = 1 << 20
"""The most bytes of chunks that a page has, unless its first chunk alone is longer."""
SYSTEM_PREFIX: Final = "$"


@value_class
class StreamInfo:
    """A stream's length and whether it takes more."""

    name: str
    length: int  # chunks
    closed: bool


@value_class
class StreamPage:
    """Chunks from *start* on."""

    start: int  # index of the first chunk; the next read starts at start + len(chunks)
    chunks: tuple[bytes, ...]
    done: bool  # closed, and nothing follows these chunks


def is_system_stream(name: str) -> bool:
    """Whether *name* is of a stream of the runtime's own, which is in no list."""
    return name.startswith(SYSTEM_PREFIX)
