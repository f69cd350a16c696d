"""Deltas: the bytes that turn one image of memory into another.

Layout, compressed with zstd behind one byte that says whether the baseline's dictionary is
needed: memory size and count of changed pages (u32 each), the distance of each changed page from
the one before (u32), then for every ``BATCH`` pages the counts of words and gap bytes (u32 each),
the words, the gaps. Pages are numbered over the run's ranges of memory, in order.
"""

from __future__ import annotations

import struct
import threading
from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import final

import zstandard

from .._frozen import frozen
from ..errors import SnapshotRejectedError
from .kernel import BATCH, PAGE, thread_kernel

__all__ = ("Dictionary", "Patch", "apply", "compress", "decompress", "pack")

LEVEL = 3
MAX_BYTES = 1 << 30
_PAIR = struct.Struct("<II")
_local = threading.local()


@final
class Dictionary:
    """Bytes that deltas of one baseline resemble; its deltas cannot be read without it."""

    __slots__ = ("bytes", "made")

    def __init__(self, data: bytes) -> None:
        self.bytes = data
        self.made = zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        # Its stub leaves the return type out.
        self.made.precompute_compress(level=LEVEL)  # pyright: ignore[reportUnknownMemberType]


@final
@frozen
class Patch:
    """A delta, unpacked."""

    memory_bytes: int
    pages: tuple[int, ...]  # rising
    parts: tuple[tuple[bytes, bytes], ...]  # words and gaps of each BATCH pages


def pack(memory_bytes: int, pages: Sequence[int], parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A delta's body, before compression."""
    steps = array("I", (b - a for a, b in zip((0, *pages), pages, strict=False)))
    pieces = [_PAIR.pack(memory_bytes, len(pages)), steps.tobytes()]
    for words, gaps in parts:
        pieces += (_PAIR.pack(len(words), len(gaps)), words, gaps)
    return b"".join(pieces)


def compress(body: bytes, dictionary: Dictionary | None) -> bytes:
    """A body as it is kept."""
    made = _compressor(dictionary)
    return (b"\x01" if dictionary else b"\x00") + made.compress(body)


def decompress(data: bytes, dictionary: Dictionary | None) -> Patch:
    """The patch in a delta.

    Raises:
        SnapshotRejectedError: it is not a delta, or needs a dictionary that is not this one.
    """
    if data[:1] not in (b"\x00", b"\x01") or (data[0] and dictionary is None):
        raise SnapshotRejectedError("its delta is of another format")
    try:
        body = _decompressor(dictionary if data[0] else None).decompress(
            data[1:], max_output_size=MAX_BYTES
        )
        return _unpack(body)
    except (zstandard.ZstdError, struct.error, ValueError) as exc:
        raise SnapshotRejectedError(f"its delta cannot be read: {exc}") from exc


def _unpack(body: bytes) -> Patch:
    size, count = _PAIR.unpack_from(body)
    if count * 4 > len(body):
        raise ValueError("it is cut short")
    at, number = 8 + 4 * count, 0
    pages: list[int] = []
    for step in array("I", body[8:at]):
        number += step
        pages.append(number)
    parts: list[tuple[bytes, bytes]] = []
    while at < len(body):
        words, gaps = _PAIR.unpack_from(body, at)
        middle, end = at + 8 + words, at + 8 + words + gaps
        if end > len(body):
            raise ValueError("it is cut short")
        parts.append((body[at + 8 : middle], body[middle:end]))
        at = end
    if len(parts) != -(-count // BATCH) or any(b <= a for a, b in pairwise(pages)):
        raise ValueError("its pages are not in order")
    return Patch(memory_bytes=size, pages=tuple(pages), parts=tuple(parts))


def apply(patch: Patch, runs: Callable[[Sequence[int]], Sequence[tuple[int, int]]]) -> None:
    """Patch memory where it is.

    Args:
        runs: address and length of what pages of these rising numbers cover, adjoining ones in
            one.

    Raises:
        SnapshotRejectedError: words and gaps do not fit the pages; memory is half patched.
    """
    kernel = thread_kernel()
    for index, (words, gaps) in enumerate(patch.parts):
        numbers = patch.pages[index * BATCH : (index + 1) * BATCH]
        if not kernel.patch(runs(numbers), words, gaps):
            raise SnapshotRejectedError("its delta reaches outside its pages")


def _compressor(dictionary: Dictionary | None) -> zstandard.ZstdCompressor:
    # Making one costs more than using it; each belongs to one thread. One dictionary is kept.
    kept: tuple[Dictionary | None, zstandard.ZstdCompressor] | None
    name = "with_dictionary" if dictionary else "plain"
    kept = getattr(_local, name, None)
    if kept is None or kept[0] is not dictionary:
        made = zstandard.ZstdCompressor(
            level=LEVEL,
            dict_data=dictionary.made if dictionary else None,
            write_checksum=True,
            write_content_size=True,
            write_dict_id=False,
        )
        kept = (dictionary, made)
        setattr(_local, name, kept)
    return kept[1]


def _decompressor(dictionary: Dictionary | None) -> zstandard.ZstdDecompressor:
    kept: tuple[Dictionary | None, zstandard.ZstdDecompressor] | None
    name = "reading_with_dictionary" if dictionary else "reading_plain"
    kept = getattr(_local, name, None)
    if kept is None or kept[0] is not dictionary:
        kept = (
            dictionary,
            zstandard.ZstdDecompressor(dict_data=dictionary.made if dictionary else None),
        )
        setattr(_local, name, kept)
    return kept[1]


assert PAGE % 16 == 0  # the kernel compares 16 bytes at a time
