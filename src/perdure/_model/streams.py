"""Streams: named, append-only sequences of chunks that belong to a run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("StreamInfo", "StreamPage")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """A stream's length and whether it takes more."""

    name: str
    length: int  # chunks
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPage:
    """Chunks from *start* on."""

    start: int  # index of the first chunk; the next read starts at start + len(chunks)
    chunks: tuple[bytes, ...]
    done: bool  # closed, and nothing follows these chunks
