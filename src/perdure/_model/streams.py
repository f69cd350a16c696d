"""Streams: named, append-only sequences of chunks that belong to a run."""

from __future__ import annotations

from .._frozen import frozen

__all__ = ("StreamInfo", "StreamPage")


@frozen
class StreamInfo:
    """A stream's length and whether it takes more."""

    name: str
    length: int  # chunks
    closed: bool


@frozen
class StreamPage:
    """Chunks from *start* on."""

    start: int  # index of the first chunk; the next read starts at start + len(chunks)
    chunks: tuple[bytes, ...]
    done: bool  # closed, and nothing follows these chunks
