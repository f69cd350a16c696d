"""Deltas: the bytes that turn one image of memory into another.

Layout, compressed with zstd behind one byte that says whether the baseline's dictionary is
needed: memory size and count of changed pages (u32 each), the distance of each changed page from
the one before (u32), then for every ``BATCH`` pages the counts of words and gap bytes (u32 each),
the words, the gaps. Pages are numbered over the run's ranges of memory, in order.

A delta may be crafted: the size it claims is compared with the most that such a memory can need
before any of it is decompressed, and its counts before memory is taken by them.
"""

from __future__ import annotations

import struct
import threading
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import sub
from typing import final

import zstandard

from .._value_class import value_class
from ..errors import SnapshotRejectedError
from .kernel import BATCH, PAGE, thread_kernel

__all__ = ("Dictionary", "Patch", "apply", "claimed_memory", "compress", "decompress", "pack")

LEVEL = 3
MAX_WINDOW_BYTES = 8 << 20  # of frames that are longer; level 3 needs 2 MiB
_PAGE_BYTES = PAGE + PAGE // 4 + 64  # the most a changed page takes: words, gaps, its number
_TABLE_BYTES = 192 << 10
_PAIR = struct.Struct("<II")
_local = threading.local()


@final
class Dictionary:
    """Bytes that deltas of one baseline resemble; its deltas cannot be read without it."""

    __slots__ = ("bytes", "zstd")

    def __init__(self, data: bytes) -> None:
        self.bytes = data
        self.zstd = zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        # Its stub leaves the return type out.
        self.zstd.precompute_compress(level=LEVEL)  # pyright: ignore[reportUnknownMemberType]

    @property
    def held_bytes(self) -> int:
        """About the memory that it costs, precomputed tables included."""
        return 4 * len(self.bytes) + _TABLE_BYTES


@final
@value_class
class Patch:
    """A delta, unpacked."""

    memory_bytes: int
    pages: array[int]  # rising
    body: bytes
    parts: tuple[tuple[int, int, int], ...]  # of each BATCH pages: where words begin, gaps, the end


def pack(memory_bytes: int, pages: Sequence[int], parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A delta's body, before compression."""
    steps = array("I", map(sub, pages, (0, *pages)))
    pieces = [_PAIR.pack(memory_bytes, len(pages)), steps.tobytes()]
    for words, gaps in parts:
        pieces += (_PAIR.pack(len(words), len(gaps)), words, gaps)
    return b"".join(pieces)


def compress(body: bytes, dictionary: Dictionary | None) -> bytes:
    """A body as it is kept."""
    compressor = _compressor(dictionary)
    return (b"\x01" if dictionary else b"\x00") + compressor.compress(body)


def claimed_memory(data: bytes, dictionary: Dictionary | None) -> int:
    """The size of memory that a delta says it is of; nothing else of it is read.

    Raises:
        SnapshotRejectedError: it is not a delta, or needs a dictionary that is not this one.
    """
    try:
        with _reader(data, dictionary).stream_reader(memoryview(data)[1:]) as stream:
            return int(_PAIR.unpack(stream.read(_PAIR.size))[0])
    except (zstandard.ZstdError, struct.error) as exc:
        raise SnapshotRejectedError(f"its delta cannot be read: {exc}") from exc


def decompress(data: bytes, dictionary: Dictionary | None, *, heap_bytes: int) -> Patch:
    """The patch in a delta.

    Args:
        heap_bytes: the run's part of its memory; a delta of more is refused before it is made.

    Raises:
        SnapshotRejectedError: it is not a delta, is too large, or needs another dictionary.
    """
    reader, frame = _reader(data, dictionary), data[1:]
    try:
        claims = zstandard.get_frame_parameters(frame)
        size = claims.content_size
        if size > _most_bytes(heap_bytes) or claims.window_size > max(size, MAX_WINDOW_BYTES):
            raise SnapshotRejectedError("its delta is larger than its memory")
        # The claim is what is allocated.
        return _unpack(reader.decompress(frame, allow_extra_data=False))
    except (zstandard.ZstdError, struct.error, ValueError, MemoryError) as exc:
        raise SnapshotRejectedError(f"its delta cannot be read: {exc}") from exc


def _reader(data: bytes, dictionary: Dictionary | None) -> zstandard.ZstdDecompressor:
    if data[:1] not in (b"\x00", b"\x01") or (data[0] and dictionary is None):
        raise SnapshotRejectedError("its delta is of another format")
    return _decompressor(dictionary if data[0] else None)


def _most_bytes(heap_bytes: int) -> int:
    """The most that the body of a delta takes, every word of memory changed."""
    pages = heap_bytes // PAGE + 2  # one range or two, each with a last page that is cut short
    return _PAIR.size * (2 + pages // BATCH) + pages * _PAGE_BYTES


def _unpack(body: bytes) -> Patch:
    size, count = _PAIR.unpack_from(body)
    at = _PAIR.size + 4 * count
    if at > len(body):
        raise ValueError("it is cut short")
    steps = array("I", body[_PAIR.size : at])
    if steps[1:].count(0):
        raise ValueError("its pages are not in order")
    try:
        pages = array("I", accumulate(steps))
    except OverflowError:
        raise ValueError("its pages are past all memory") from None
    parts: list[tuple[int, int, int]] = []
    for _ in range(-(-count // BATCH)):
        words, gaps = _PAIR.unpack_from(body, at)
        begin, middle = at + _PAIR.size, at + _PAIR.size + words
        at = middle + gaps
        if at > len(body):
            raise ValueError("it is cut short")
        parts.append((begin, middle, at))
    if at != len(body):
        raise ValueError("it has more parts than pages")
    return Patch(memory_bytes=size, pages=pages, body=body, parts=tuple(parts))


def apply(patch: Patch, runs: Callable[[Sequence[int]], Sequence[tuple[int, int]]]) -> None:
    """Patch memory where it is.

    Args:
        runs: returns address and length of the memory of pages with these rising numbers,
            adjoining ones in one.

    Raises:
        SnapshotRejectedError: words and gaps do not fit the pages; memory is half patched.
    """
    kernel, body = thread_kernel(), patch.body
    for index, (begin, middle, end) in enumerate(patch.parts):
        numbers = patch.pages[index * BATCH : (index + 1) * BATCH]
        if not kernel.patch(runs(numbers), body[begin:middle], body[middle:end]):
            raise SnapshotRejectedError("its delta reaches outside its pages")


def _compressor(dictionary: Dictionary | None) -> zstandard.ZstdCompressor:
    # Making one costs more than using it; each belongs to one thread. One dictionary is kept.
    pair: tuple[Dictionary | None, zstandard.ZstdCompressor] | None
    name = "with_dictionary" if dictionary else "plain"
    pair = getattr(_local, name, None)
    if pair is None or pair[0] is not dictionary:
        compressor = zstandard.ZstdCompressor(
            level=LEVEL,
            dict_data=dictionary.zstd if dictionary else None,
            write_checksum=True,
            write_content_size=True,
            write_dict_id=False,
        )
        pair = (dictionary, compressor)
        setattr(_local, name, pair)
    return pair[1]


def _decompressor(dictionary: Dictionary | None) -> zstandard.ZstdDecompressor:
    pair: tuple[Dictionary | None, zstandard.ZstdDecompressor] | None
    name = "reading_with_dictionary" if dictionary else "reading_plain"
    pair = getattr(_local, name, None)
    if pair is None or pair[0] is not dictionary:
        pair = (
            dictionary,
            zstandard.ZstdDecompressor(dict_data=dictionary.zstd if dictionary else None),
        )
        setattr(_local, name, pair)
    return pair[1]


assert PAGE % 16 == 0  # the kernel compares 16 bytes at a time
