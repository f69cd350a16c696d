"""Kernel: finds and applies the changed words of memory pages, at machine speed.

Python has no vector loop of its own, and the wasm engine is at hand: a few dozen instructions
compare two lists of pages 16 bytes at a time and write down each changed 32-bit word and its
distance from the last one. A kernel belongs to one thread. New words are kept, not their XOR with
the old ones: pointers then repeat, and a compressor sees it (a fifth smaller, measured).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import final

import wasmtime

from . import foreign
from .cell import Cell, prepare

__all__ = ("BATCH", "PAGE", "Kernel", "thread_kernel")

PAGE = 4096
BATCH = 256  # pages in one call
SLOT = BATCH * PAGE
_OLD, _WORDS, _GAPS = SLOT, 2 * SLOT, 3 * SLOT
_MEMORY_PAGES = 3 * SLOT // 65536 + 21  # gaps: at most five quarters of a slot
_ZEROS = bytes(PAGE)

_SOURCE = f"""
(module
  (memory (export "memory") {_MEMORY_PAGES})
  ;; new bytes at 0, old bytes at {_OLD}; gives words << 32 | bytes of gaps
  (func (export "diff") (param $size i32) (result i64)
    (local $p i32) (local $stop i32) (local $next i32) (local $gap i32)
    (local $w i32) (local $g i32)
    (local.set $w (i32.const {_WORDS}))
    (local.set $g (i32.const {_GAPS}))
    (block $done (loop $blocks
      (br_if $done (i32.ge_u (local.get $p) (local.get $size)))
      (if (v128.any_true (v128.xor (v128.load (local.get $p))
                                   (v128.load offset={_OLD} (local.get $p))))
        (then
          (local.set $stop (i32.add (local.get $p) (i32.const 16)))
          (loop $words
            (if (i32.ne (i32.load (local.get $p)) (i32.load offset={_OLD} (local.get $p)))
              (then
                (local.set $gap
                  (i32.shr_u (i32.sub (local.get $p) (local.get $next)) (i32.const 2)))
                (local.set $next (i32.add (local.get $p) (i32.const 4)))
                (i32.store (local.get $w) (i32.load (local.get $p)))
                (local.set $w (i32.add (local.get $w) (i32.const 4)))
                (block $last (loop $varint
                  (br_if $last (i32.lt_u (local.get $gap) (i32.const 128)))
                  (i32.store8 (local.get $g) (i32.or (local.get $gap) (i32.const 128)))
                  (local.set $g (i32.add (local.get $g) (i32.const 1)))
                  (local.set $gap (i32.shr_u (local.get $gap) (i32.const 7)))
                  (br $varint)))
                (i32.store8 (local.get $g) (local.get $gap))
                (local.set $g (i32.add (local.get $g) (i32.const 1)))))
            (local.set $p (i32.add (local.get $p) (i32.const 4)))
            (br_if $words (i32.lt_u (local.get $p) (local.get $stop)))))
        (else (local.set $p (i32.add (local.get $p) (i32.const 16)))))
      (br $blocks)))
    (i64.or
      (i64.shl (i64.extend_i32_u (i32.shr_u (i32.sub (local.get $w) (i32.const {_WORDS}))
                                            (i32.const 2))) (i64.const 32))
      (i64.extend_i32_u (i32.sub (local.get $g) (i32.const {_GAPS})))))
  ;; bytes of pages at 0, patched by the words and gaps; their counts at {_OLD}; gives 1 when sound
  (func (export "patch") (param $size i32) (result i32)
    (local $p i32) (local $w i32) (local $g i32) (local $words i32) (local $gaps i32)
    (local $gap i32) (local $shift i32) (local $byte i32)
    (local.set $w (i32.const {_WORDS}))
    (local.set $g (i32.const {_GAPS}))
    (local.set $words (i32.add (local.get $w)
                               (i32.shl (i32.load offset={_OLD} (i32.const 0)) (i32.const 2))))
    (local.set $gaps (i32.add (local.get $g) (i32.load offset={_OLD + 4} (i32.const 0))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $w) (local.get $words)))
      (local.set $gap (i32.const 0))
      (local.set $shift (i32.const 0))
      (loop $varint
        (if (i32.ge_u (local.get $g) (local.get $gaps)) (then (return (i32.const 0))))
        (local.set $byte (i32.load8_u (local.get $g)))
        (local.set $g (i32.add (local.get $g) (i32.const 1)))
        (local.set $gap (i32.or (local.get $gap)
          (i32.shl (i32.and (local.get $byte) (i32.const 127)) (local.get $shift))))
        (local.set $shift (i32.add (local.get $shift) (i32.const 7)))
        (br_if $varint (i32.and (i32.ge_u (local.get $byte) (i32.const 128))
                                (i32.lt_u (local.get $shift) (i32.const 28)))))
      (local.set $p (i32.add (local.get $p) (i32.shl (local.get $gap) (i32.const 2))))
      (if (i32.ge_u (local.get $p) (local.get $size)) (then (return (i32.const 0))))
      (i32.store (local.get $p) (i32.load (local.get $w)))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (local.set $w (i32.add (local.get $w) (i32.const 4)))
      (br $next)))
    (i32.eq (local.get $g) (local.get $gaps))))
"""


@final
class Kernel:
    """Two lists of pages in, changed words out; and back."""

    __slots__ = ("_address", "_cell")

    def __init__(self) -> None:
        engine, prepared = _prepared()
        self._cell = Cell(prepared, engine, brief=True)
        self._address = self._cell.address  # its memory never grows

    def diff(self, runs: Sequence[tuple[int, int, int, int]]) -> tuple[bytes, bytes]:
        """Words and gaps that turn old pages into new ones.

        Args:
            runs: of at most ``BATCH`` pages: address of the new bytes, their count, address of
                the old ones, their count; bytes missing from the last page count as zeros.
        """
        at, memory = self._address, foreign.memory
        for new, new_bytes, old, old_bytes in runs:
            size = -(-new_bytes // PAGE) * PAGE
            before = at + _OLD
            memory[at : at + new_bytes] = memory[new : new + new_bytes]
            memory[before : before + old_bytes] = memory[old : old + old_bytes]
            if new_bytes != size:
                memory[at + new_bytes : at + size] = _ZEROS[: size - new_bytes]
            if old_bytes != size:
                memory[before + old_bytes : before + size] = _ZEROS[: size - old_bytes]
            at += size
        counts = self._cell.call(b"diff", at - self._address)
        words, gaps = counts >> 32, counts & 0xFFFFFFFF
        words_at, gaps_at = self._address + _WORDS, self._address + _GAPS
        return bytes(memory[words_at : words_at + 4 * words]), bytes(
            memory[gaps_at : gaps_at + gaps]
        )

    def patch(self, runs: Sequence[tuple[int, int]], words: bytes, gaps: bytes) -> bool:
        """Patch pages where they are; says whether words and gaps fit them. If not, none changed.

        Args:
            runs: of at most ``BATCH`` pages: address and count of bytes; the last page of one may
                be cut short.
        """
        if len(words) > SLOT or len(gaps) > 5 * SLOT // 4:
            return False
        at, memory, copy = self._address, foreign.memory, foreign.copy
        for address, count in runs:
            memory[at : at + count] = memory[address : address + count]
            at += count
            if count % PAGE:
                memory[at : at + PAGE - count % PAGE] = _ZEROS[count % PAGE :]
                at += PAGE - count % PAGE
        size, at = at - self._address, self._address
        counts = (len(words) // 4).to_bytes(4, "little") + len(gaps).to_bytes(4, "little")
        copy(at + _OLD, counts, 8)
        copy(at + _WORDS, words, len(words))
        copy(at + _GAPS, gaps, len(gaps))
        if self._cell.call(b"patch", size) & 1 == 0:
            return False
        for address, count in runs:
            memory[address : address + count] = memory[at : at + count]
            at += -(-count // PAGE) * PAGE
        return True


_local = threading.local()


def thread_kernel() -> Kernel:
    """This thread's kernel."""
    kernel: Kernel | None = getattr(_local, "kernel", None)
    if kernel is None:
        kernel = _local.kernel = Kernel()
    return kernel


@functools.cache
def _prepared() -> tuple[wasmtime.Engine, wasmtime.InstancePre]:
    return prepare(_SOURCE)
