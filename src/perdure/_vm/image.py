"""Images: freezing a guest to a small delta, and thawing it again.

Between calls the heap is at rest, so freezing is reading memory: the bytes outside stack and
arena are compared with a parent image (``memcmp`` over large spans, then pages), and the kernel
writes down the changed words of the pages that differ. The baseline is the image after ``load``,
a pure function of engine and bundle; every worker builds it once. Thawing goes the same way back.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import final

import wasmtime

from .._protocol.frames import imported_steps
from .._value_class import value_class
from ..errors import SnapshotRejectedError
from . import foreign
from .cell import Cell
from .delta import Dictionary, apply, claimed_memory, compress, decompress, pack
from .guest import GuestEngine
from .instance import Instance, Layout
from .interval import short_interval
from .kernel import BATCH, PAGE, thread_kernel
from .rehearsal import rehearse
from .spares import Spares

__all__ = ("CHAIN_BYTES", "MAX_MEMORY_BYTES", "Baseline", "Image", "make_delta", "take_image")

SPAN = 65536
LARGE = 1 << 20  # a copy takes so long that other threads should run meanwhile
LARGE_HEAP = 8 << 20  # to compare or patch it takes thousands of short calls
MAX_MEMORY_BYTES = 1 << 31
MAX_THAWED_BYTES = 1 << 30  # of all the deltas of a chain, decompressed; each is let go in turn
MAX_REHEARSED_BYTES = 2 << 20  # more heap than any rehearsal needs
SPARE_BYTES = 320 << 10  # of a guest that is ready, besides what is the run's
CHAIN_BYTES = 16 << 10  # deltas to the baseline above this chain to the previous snapshot
_zeros = ctypes.create_string_buffer(PAGE)
_ZEROS_AT = ctypes.addressof(_zeros)


@value_class(kw_only=False)
class _Part:
    """One range of memory that is the run's, and the number of its first page."""

    start: int
    end: int
    first: int


def _parts(layout: Layout, size: int) -> tuple[_Part, ...]:
    parts: list[_Part] = []
    first = 0
    for start, end in layout.ranges(size):
        parts.append(_Part(start, end, first))
        first += -(-(end - start) // PAGE)
    return tuple(parts)


def _extent(parts: tuple[_Part, ...], page: int) -> tuple[int, int]:
    """Address and length of a page."""
    for part in reversed(parts):
        if page >= part.first:
            start = part.start + (page - part.first) * PAGE
            if start < part.end:
                return start, min(PAGE, part.end - start)
            break
    raise SnapshotRejectedError("its delta reaches outside memory")


@final
class Image:
    """A copy of the run's part of a guest's memory."""

    __slots__ = ("_buffers", "_firsts", "dictionary", "layout", "memory_bytes")

    def __init__(self, instance: Instance) -> None:
        self.layout = instance.layout
        self.memory_bytes = instance.memory_bytes
        self.dictionary: Dictionary | None = None  # of bytes that deltas to this image resemble
        self._firsts = [part.first for part in _parts(self.layout, self.memory_bytes)]
        base = instance.address
        self._buffers = [
            _copy(base + start, end - start) for start, end in self.layout.ranges(self.memory_bytes)
        ]

    def __repr__(self) -> str:
        return f"<Image {self.held_bytes >> 10} KiB>"

    @property
    def held_bytes(self) -> int:
        """The memory that this copy costs."""
        return sum(len(buffer) for buffer in self._buffers)

    def digest(self) -> bytes:
        """sha256 of the image; zeros at its end do not count."""
        total = hashlib.sha256()
        for buffer in self._buffers[:-1]:
            total.update(buffer)
        total.update(self._buffers[-1].raw.rstrip(b"\0"))
        return total.digest()

    def page(self, number: int) -> bytes:
        """A page's bytes, zeros after its end."""
        index = len(self._firsts) - 1
        while number < self._firsts[index]:
            index -= 1
        at = (number - self._firsts[index]) * PAGE
        buffer = self._buffers[index]
        length = max(0, min(PAGE, len(buffer) - at))
        return ctypes.string_at(ctypes.addressof(buffer) + at, length).ljust(PAGE, b"\0")

    def parts(self) -> Iterator[tuple[int, int]]:
        """Address in this process and length of each part."""
        for buffer in self._buffers:
            yield ctypes.addressof(buffer), len(buffer)

    def advance(self, instance: Instance, pages: Sequence[int]) -> None:
        """Make this an image of *instance* again, of which only *pages* have changed."""
        size, base = instance.memory_bytes, instance.address
        parts = _parts(self.layout, size)
        for index, part in enumerate(parts):
            if len(self._buffers[index]) < part.end - part.start:
                self._buffers[index] = _copy(base + part.start, part.end - part.start)
        self.memory_bytes = size
        addresses = [at - part.start for (at, _), part in zip(self.parts(), parts, strict=True)]
        for page in pages:
            start, length = _extent(parts, page)
            index = next(k for k in range(len(parts) - 1, -1, -1) if page >= parts[k].first)
            foreign.copy(addresses[index] + start, base + start, length)


def _copy(address: int, length: int) -> ctypes.Array[ctypes.c_char]:
    if length < LARGE:
        buffer = (ctypes.c_char * length)()
        foreign.copy(ctypes.addressof(buffer), address, length)
        return buffer
    # A ctypes array of its own is zeroed first, with the interpreter lock held.
    buffer = (ctypes.c_char * length).from_buffer(mmap.mmap(-1, length))
    foreign.copy_much(ctypes.addressof(buffer), address, length)
    return buffer


def take_image(instance: Instance) -> Image:
    """A copy of the guest's memory as it is."""
    return Image(instance)


def make_delta(instance: Instance, parent: Image, *, advance: bool = False) -> bytes:
    """The guest's memory relative to *parent*, compressed.

    Args:
        advance: make *parent* an image of the guest as it is now.
    """
    if instance.heap_bytes < LARGE_HEAP:
        return _delta(instance, parent, advance=advance)
    with short_interval():
        return _delta(instance, parent, advance=advance)


def _delta(instance: Instance, parent: Image, *, advance: bool) -> bytes:
    body, pages = _body(instance, parent)
    if advance:
        parent.advance(instance, pages)
    return compress(body, parent.dictionary)


def _body(instance: Instance, parent: Image) -> tuple[bytes, list[int]]:
    changed = _changed(instance, parent)
    kernel = thread_kernel()
    parts = [
        kernel.diff(_joined([extents for _, extents in changed[at : at + BATCH]]))
        for at in range(0, len(changed), BATCH)
    ]
    pages = [page for page, _ in changed]
    return pack(instance.memory_bytes, pages, parts), pages


def _joined(pages: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """The same bytes, new and old, with whole pages that adjoin in one."""
    runs: list[tuple[int, int, int, int]] = []
    ends = -1
    first_new = first_old = size = 0  # of the run that is being joined
    for page in pages:
        new, count, old, old_count = page
        if new == ends and count == old_count:
            size += count
        else:
            if size:
                runs.append((first_new, size, first_old, size))
            first_new, first_old, size = new, old, count if count == old_count else 0
            if not size:
                runs.append(page)
        ends = new + count if count == old_count == PAGE else -1
    if size:
        runs.append((first_new, size, first_old, size))
    return runs


def _runs(parts: Sequence[_Part], base: int, pages: Sequence[int]) -> list[tuple[int, int]]:
    """Address in this process and length of these rising pages, adjoining ones in one.

    Raises:
        SnapshotRejectedError: memory does not reach so far.
    """
    runs: list[tuple[int, int]] = []
    begin = 0
    for index, part in enumerate(parts):
        last = index + 1 == len(parts)
        end = len(pages) if last else bisect_left(pages, parts[index + 1].first, begin)
        if begin < end:
            runs += _runs_within(part, base, pages[begin:end])
        begin = end
    return runs


def _runs_within(part: _Part, base: int, pages: Sequence[int]) -> list[tuple[int, int]]:
    """The same for pages of one part, whose last page may be cut short."""
    zero = base + part.start - part.first * PAGE
    runs: list[tuple[int, int]] = []
    first = before = pages[0]
    for page in pages:
        if page > before + 1:
            runs.append((zero + first * PAGE, (before + 1 - first) * PAGE))
            first = page
        before = page
    if zero + before * PAGE >= base + part.end:
        raise SnapshotRejectedError("its delta reaches outside memory")
    start, end = zero + first * PAGE, min(zero + (before + 1) * PAGE, base + part.end)
    runs.append((start, end - start))
    return runs


def _changed(guest: Instance | Cell, parent: Image) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Pages that differ: number, and address and length of their new and their old bytes."""
    base, compare = guest.address, foreign.compare
    pages: list[tuple[int, tuple[int, int, int, int]]] = []
    mine = _parts(parent.layout, guest.memory_bytes)
    for part, (old, old_length) in zip(mine, parent.parts(), strict=True):
        new, length = base + part.start, part.end - part.start
        inside = min(length, old_length) // SPAN * SPAN
        for span in range(0, inside, SPAN):
            if compare(new + span, old + span, SPAN):
                for at in range(span, span + SPAN, PAGE):
                    if compare(new + at, old + at, PAGE):
                        pages.append((part.first + at // PAGE, (new + at, PAGE, old + at, PAGE)))
        for at in range(inside, length, PAGE):
            n = min(PAGE, length - at)
            m = max(0, min(n, old_length - at))
            surplus = n - m  # past the parent's end, where it counts as zeros
            if compare(new + at, old + at, m) or (
                surplus and compare(new + at + m, _ZEROS_AT, surplus)
            ):
                pages.append((part.first + at // PAGE, (new + at, n, old + at, m)))
    return pages


@final
class Baseline:
    """The image after ``load`` of one bundle on one engine, and how to be there fast."""

    __slots__ = (
        "__weakref__",
        "_changes",
        "_copies",
        "_is_for_steps",
        "_spares",
        "bundle",
        "digest",
        "engine",
        "image",
        "steps",
    )

    def __init__(
        self, engine: GuestEngine, bundle: bytes, spares: Spares, *, is_for_steps: bool = False
    ) -> None:
        self.engine = engine
        self._is_for_steps = is_for_steps
        self._spares = spares
        self.bundle = hashlib.sha256(bundle).hexdigest()
        self.steps = frozenset[str]() if is_for_steps else imported_steps(bundle)
        fresh = Instance(engine)
        try:
            before = Image(fresh)
            fresh.load(bundle)
            self.image = Image(fresh)
            pages = [page for page, _ in _changed(fresh, before)]
            self._changes = tuple(self._located(pages))
            self._copies = tuple(self._parted())
        finally:
            fresh.close()
        self.digest = self.image.digest()
        bodies = b"" if is_for_steps else rehearse(self.instantiate, self._rehearsed, bundle)
        if bodies:
            self.image.dictionary = Dictionary(bodies)

    def _rehearsed(self, guest: Instance) -> bytes | None:
        """The guest's delta before compression; None if it is very large."""
        if guest.memory_bytes - self.image.memory_bytes > MAX_REHEARSED_BYTES:
            return None
        return _body(guest, self.image)[0]

    @classmethod
    def build(cls, engine: GuestEngine, bundle: bytes, spares: Spares | None = None) -> Baseline:
        """Load the bundle once and keep the image.

        Args:
            spares: where memory of guests that have ended is kept; None is its own.

        Raises:
            GuestError: the bundle does not compile.
            StoppedError: the work that this is a part of was stopped.
        """
        return cls(engine, bundle, Spares() if spares is None else spares)

    @classmethod
    def build_for_steps(cls, engine: GuestEngine, bundle: bytes, spares: Spares) -> Baseline:
        """The same for guests of steps, which are never frozen.

        Raises:
            GuestError: the bundle does not compile.
            StoppedError: the work that this is a part of was stopped.
        """
        return cls(engine, bundle, spares, is_for_steps=True)

    def __repr__(self) -> str:
        return f"<Baseline of bundle {self.bundle[:12]}, {self.held_bytes >> 10} KiB>"

    @property
    def held_bytes(self) -> int:
        """The memory that this baseline costs, without its spares."""
        dictionary = self.image.dictionary
        return self.image.held_bytes + (0 if dictionary is None else dictionary.held_bytes)

    def _located(self, pages: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """Address in a guest, address in the image and length of each run of these pages."""
        parts = _parts(self.image.layout, self.image.memory_bytes)
        for part, (copy, _) in zip(parts, self.image.parts(), strict=True):
            mine = [
                p
                for p in pages
                if part.first <= p and (p - part.first) * PAGE < part.end - part.start
            ]
            for start, length in _runs([part], 0, mine):
                yield start, copy + start - part.start, length

    def _parted(self) -> Iterator[tuple[Callable[[int, int, int], object], int, int, int]]:
        """For each part of the image, the large one first: a copying call, and its arguments.

        The first of these is where the part begins in a guest.
        """
        parts = _parts(self.image.layout, self.image.memory_bytes)
        for (old, length), part in reversed([*zip(self.image.parts(), parts, strict=True)]):
            copy = foreign.copy if length < SPAN else foreign.copy_much
            yield copy, part.start, old, length

    def instantiate(self) -> Instance:
        """A guest at the baseline."""
        return self._instance(self.image.memory_bytes)

    def thaw(self, deltas: Sequence[bytes], *, sizes: Sequence[int] | None = None) -> Instance:
        """A guest with a chain of deltas applied, root first.

        Args:
            sizes: of memory after each delta, which the caller finds sound; None takes each
                delta's word for it.

        Raises:
            SnapshotRejectedError: a delta cannot be applied; nothing was made.
        """
        dictionary = self.image.dictionary
        if sizes is None:
            sizes = [claimed_memory(data, dictionary) for data in deltas]
        size = self.image.memory_bytes
        for claim in sizes:
            if not size <= claim < MAX_MEMORY_BYTES or claim % SPAN:
                raise SnapshotRejectedError(f"its memory of {claim} bytes is not sound")
            size = claim
        instance = self._instance(size)
        try:
            if instance.heap_bytes < LARGE_HEAP:
                self._apply(instance, deltas, sizes)
            else:
                with short_interval():
                    self._apply(instance, deltas, sizes)
        except BaseException:
            instance.dead = True
            instance.close()
            raise
        return instance

    def _apply(self, instance: Instance, deltas: Sequence[bytes], sizes: Sequence[int]) -> None:
        # A page past the baseline's end was zeros before its first delta.
        base, parts = instance.address, _parts(instance.layout, instance.memory_bytes)
        rest = instance.memory_bytes - instance.heap_bytes
        total = 0
        for data, size in zip(deltas, sizes, strict=True):
            patch = decompress(data, self.image.dictionary, heap_bytes=size - rest)
            if patch.memory_bytes != size:
                raise SnapshotRejectedError("its delta is of another memory")
            total += len(patch.body)
            if total > MAX_THAWED_BYTES:
                raise SnapshotRejectedError("its deltas are too large together")
            apply(patch, partial(_runs, parts, base))

    def _instance(self, size: int) -> Instance:
        """A guest at the baseline, in memory of this size.

        Raises:
            SnapshotRejectedError: there is no room for it.
        """
        cell = self._spares.take(self.digest)
        changes = self._changes if cell is None else ()
        if cell is None and self._is_for_steps:  # many at a time, in several threads
            cell = Cell(self.engine.prepared, self.engine.engine, freely=True)
        instance = Instance(self.engine, cell=cell, reclaim=self._reclaim)
        try:
            instance.grow_to(size)
        except wasmtime.WasmtimeError as exc:
            instance.dead = True
            instance.close()
            raise SnapshotRejectedError(f"it cannot be put into memory: {exc}") from exc
        base = instance.address
        for start, source, length in changes:
            foreign.copy(base + start, source, length)
        return instance

    def _reclaim(self, cell: Cell, wipe: Callable[[], None]) -> bool:
        """Put a sound guest's memory back to the baseline for the next one.

        Copying all of it costs less than looking for the changes, and far less than new memory. It
        comes first, without the interpreter lock: the event loop that was told of the guest's last
        turn is about to wake.

        Args:
            wipe: clears the memory outside the image.
        """
        image = self.image
        if cell.memory_bytes != image.memory_bytes or not self._spares.has_room(self.digest):
            return False
        base = cell.address
        for copy, start, old, length in self._copies:
            copy(base + start, old, length)
        wipe()
        self._spares.put(self.digest, cell, image.held_bytes + SPARE_BYTES)
        return True
