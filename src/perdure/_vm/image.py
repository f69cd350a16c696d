"""Images: freezing a guest's memory to a small delta, and thawing it again.

Between calls the heap is at rest, so freezing is reading memory: the ranges outside stack and
arena are compared with a parent image (memcmp over large spans, then pages), changed pages are
XORed with it, and zstd squeezes the zeros. The baseline is the image after ``load``, a pure
function of engine and bundle; every worker builds it once. Thawing is the same the other way
round. Where a delta to the baseline is large, the parent is the previous snapshot's image.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import zstandard

from ..errors import SnapshotRejectedError
from .guest import GuestEngine
from .instance import Instance, Layout

__all__ = ("CHAIN_BYTES", "Baseline", "Image", "apply_delta", "make_delta", "take_image")

SPAN = 65536
PAGE = 4096
BLOCK = 256
CHAIN_BYTES = 16 << 10  # deltas to the baseline above this chain to the previous snapshot

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_memcmp.restype = ctypes.c_int
_ZERO_SPAN = bytes(SPAN)
_local = threading.local()


@final
class Image:
    """A copy of a guest's memory: what lies below the arena, and what lies above it."""

    __slots__ = ("data", "size", "starts")

    def __init__(self, *, data: tuple[bytes, bytes], starts: tuple[int, int], size: int) -> None:
        self.data = data
        self.starts = starts
        self.size = size  # of the whole memory

    def digest(self) -> bytes:
        """sha256 over both parts."""
        total = hashlib.sha256(self.data[0])
        total.update(self.data[1].rstrip(b"\0"))
        return total.digest()


def _ranges(layout: Layout, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    # Whole pages; the page that the arena begins or ends in belongs to the heap side only as far
    # as it lies outside the arena.
    return (layout.stack_end, layout.arena), (layout.arena + layout.arena_bytes, size)


def take_image(instance: Instance) -> Image:
    """A copy of the guest's memory as it is."""
    size, base = instance.memory_bytes, instance.address
    ranges = _ranges(instance.layout, size)
    low, high = (ctypes.string_at(base + start, end - start) for start, end in ranges)
    return Image(data=(low, high), starts=(ranges[0][0], ranges[1][0]), size=size)


def make_delta(instance: Instance, parent: Image) -> bytes:
    """The guest's memory relative to *parent*, compressed."""
    size, base = instance.memory_bytes, instance.address
    offsets: list[int] = []
    pieces: list[bytes] = []
    for part, (start, end) in enumerate(_ranges(instance.layout, size)):
        old = parent.data[part]
        for at, mine, theirs in _changed(base + start, end - start, old):
            for inner in range(0, len(mine), BLOCK):
                block, other = mine[inner : inner + BLOCK], theirs[inner : inner + BLOCK]
                if block != other:
                    offsets.append((start + at + inner) << 12 | len(block))
                    pieces.append(_xor(block, other))
    head = struct.pack(f"<II{len(offsets)}Q", size, len(offsets), *offsets)
    return _compressor().compress(head + b"".join(pieces))


def _changed(address: int, length: int, old: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Pages that differ: offset, their bytes, the old bytes (zeros past its end)."""
    other = ctypes.cast(ctypes.c_char_p(old), ctypes.c_void_p).value or 0
    zeros = ctypes.cast(ctypes.c_char_p(_ZERO_SPAN), ctypes.c_void_p).value or 0
    for span in range(0, length, SPAN):
        width = min(SPAN, length - span)
        inside = span + width <= len(old)
        against = other + span if inside else zeros
        if (inside or span >= len(old)) and not _memcmp(address + span, against, width):
            continue
        for page in range(span, span + width, PAGE):
            n = min(PAGE, length - page)
            theirs = old[page : page + n].ljust(n, b"\0")
            if inside and not _memcmp(address + page, other + page, n):
                continue
            mine = ctypes.string_at(address + page, n)
            if mine != theirs:
                yield page, mine, theirs


def _xor(left: bytes, right: bytes) -> bytes:
    n = int.from_bytes(left, "little") ^ int.from_bytes(right, "little")
    return n.to_bytes(len(left), "little")


def apply_delta(instance: Instance, delta: bytes) -> None:
    """XOR a delta onto the guest's memory.

    Raises:
        SnapshotRejectedError: it is not a delta.
    """
    try:
        raw = _decompressor().decompress(delta, max_output_size=1 << 30)
        size, count = struct.unpack_from("<II", raw)
        offsets = struct.unpack_from(f"<{count}Q", raw, 8)
    except (zstandard.ZstdError, struct.error) as exc:
        raise SnapshotRejectedError(f"its delta cannot be read: {exc}") from exc
    instance.grow_to(size)
    base, at, limit = instance.address, 8 + 8 * count, instance.memory_bytes
    for packed in offsets:
        offset, n = packed >> 12, packed & 0xFFF
        if offset + n > limit or at + n > len(raw):
            raise SnapshotRejectedError("its delta reaches outside memory")
        block = _xor(ctypes.string_at(base + offset, n), raw[at : at + n])
        ctypes.memmove(base + offset, block, n)
        at += n


@final
@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """The image after ``load`` of one bundle on one engine, and how to make it fast."""

    engine: GuestEngine
    bundle: str  # digest
    image: Image
    digest: bytes
    runs: tuple[tuple[int, bytes], ...]  # what load changed against the baked image

    @classmethod
    def build(cls, engine: GuestEngine, bundle: bytes) -> Baseline:
        """Load the bundle once and keep the image.

        Raises:
            GuestError: the bundle does not compile.
        """
        fresh = Instance(engine)
        before = take_image(fresh)
        fresh.load(bundle)
        image = take_image(fresh)
        changed = tuple(_runs(fresh, before))
        fresh.close()
        return cls(
            engine=engine,
            bundle=hashlib.sha256(bundle).hexdigest(),
            image=image,
            digest=image.digest(),
            runs=changed,
        )

    def instantiate(self) -> Instance:
        """A guest at the baseline."""
        instance = Instance(self.engine)
        instance.grow_to(self.image.size)
        base = instance.address
        for offset, data in self.runs:
            ctypes.memmove(base + offset, data, len(data))
        return instance

    def thaw(self, deltas: Sequence[bytes]) -> Instance:
        """A guest with a chain of deltas applied, root first.

        Raises:
            SnapshotRejectedError: a delta cannot be applied.
        """
        instance = self.instantiate()
        try:
            for delta in deltas:
                apply_delta(instance, delta)
        except SnapshotRejectedError:
            instance.close()
            raise
        return instance


def _runs(instance: Instance, before: Image) -> Iterator[tuple[int, bytes]]:
    """Changed pages, neighbours joined."""
    base = instance.address
    for part, (start, end) in enumerate(_ranges(instance.layout, instance.memory_bytes)):
        run_at, run = 0, bytearray()
        for at, mine, _ in _changed(base + start, end - start, before.data[part]):
            if run and start + at == run_at + len(run):
                run += mine
                continue
            if run:
                yield run_at, bytes(run)
            run_at, run = start + at, bytearray(mine)
        if run:
            yield run_at, bytes(run)


def _compressor() -> zstandard.ZstdCompressor:
    made: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if made is None:
        made = _local.compressor = zstandard.ZstdCompressor(level=3)
    return made


def _decompressor() -> zstandard.ZstdDecompressor:
    made: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if made is None:
        made = _local.decompressor = zstandard.ZstdDecompressor()
    return made
