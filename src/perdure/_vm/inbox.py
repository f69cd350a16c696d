"""Inbox: what one VM thread is handed. A thread whose work comes quickly stays awake for it.

A thread that sleeps lets its processor go idle. On a virtual machine it is awake again 30 to 50 µs
after it is called, and what it runs then finds the caches cold. A quick step brings the next turn
in less than 0.1 ms. So a thread that did not wait long for its last work looks for the next one
without sleeping first, for about as long, outside the interpreter: in wasm, as the kernel. A step
that takes its time costs no more of this than its first turn.
"""

from __future__ import annotations

import ctypes
import functools
import time
from queue import SimpleQueue
from typing import Generic, TypeVar, final

import wasmtime

from . import foreign
from .cell import Cell

__all__ = ("Inbox",)

T = TypeVar("T")
_QUICK_NS = 200_000  # a wait shorter than this is expected to be as short again
_LOOKS = 8192  # about 0.1 ms
_QUICK_BEFORE = 16  # times, before the code for it is compiled: 5 ms

# Each look takes two square roots, one after the other: a processor's other half is not disturbed.
_SOURCE = """
(module
  (memory (export "memory") 1)
  (func (export "look") (param $looks i32) (result i32)
    (local $x f64)
    (local.set $x (f64.const 2))
    (loop $again
      (if (i32.atomic.load (i32.const 0)) (then (return (i32.const 1))))
      (local.set $x (f64.sqrt (f64.sqrt (local.get $x))))
      (local.set $looks (i32.sub (local.get $looks) (i32.const 1)))
      (br_if $again (i32.and (i32.ne (local.get $looks) (i32.const 0))
                             (f64.gt (local.get $x) (f64.const 0)))))
    (i32.const 0)))
"""


@final
class Inbox(Generic[T]):
    """A queue with one reader."""

    __slots__ = ("_cell", "_filled", "_queue", "_quick")

    def __init__(self) -> None:
        self._queue: SimpleQueue[T] = SimpleQueue()
        self._quick = 0  # waits in a row that were short
        self._cell: Cell | None = None
        self._filled = ctypes.c_uint32()  # set by whoever puts something in

    def __repr__(self) -> str:
        return f"<Inbox {self._queue.qsize()} items>"

    def put(self, item: T) -> None:
        """Hand *item* over. From any thread; never blocks."""
        self._queue.put(item)
        self._filled.value = 1

    def get(self, *, awake: bool) -> T:
        """Wait for an item.

        Args:
            awake: stay awake for it if the last ones came quickly.
        """
        began = time.perf_counter_ns()
        if awake and self._quick >= _QUICK_BEFORE:
            self._look()
        item = self._queue.get()
        quick = time.perf_counter_ns() - began < _QUICK_NS
        self._quick = self._quick + 1 if quick else 0
        return item

    def _look(self) -> None:
        """Return as soon as there is something, or after a while."""
        if self._cell is None:
            engine, prepared = _prepared()
            self._cell = Cell(prepared, engine)
            self._filled = ctypes.c_uint32.from_address(self._cell.address)  # it never grows
        self._filled.value = 0
        if self._queue.empty():
            self._cell.call(b"look", _LOOKS)


@functools.cache
def _prepared() -> tuple[wasmtime.Engine, wasmtime.InstancePre]:
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, _SOURCE)
    linker = wasmtime.Linker(engine)
    prepared = linker.instantiate_pre(module)
    foreign.keep_forever(engine, module, linker, prepared)
    return engine, prepared
