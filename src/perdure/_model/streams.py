"""Streams: named, append-only sequences of chunks that belong to a run."""

from __future__ import annotations

from .._value_class import value_class

__all__ = ("StreamInfo", "StreamPage")


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
