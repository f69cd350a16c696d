"""Inbox: the work that one VM thread is handed, asleep or awake.

A thread that sleeps lets its processor go idle. On a virtual machine it is awake again 30 to 50 µs
after it is called, and its work then finds the caches cold. So a thread whose next work is
expected at once looks for it without sleeping first, outside the interpreter: in wasm, as the
kernel.
"""

from __future__ import annotations

import ctypes
import functools
from queue import SimpleQueue
from typing import Generic, TypeVar, final

import wasmtime

from .cell import Cell, prepare

__all__ = ("Inbox",)

T = TypeVar("T")
_LOOKS = 16384  # about 0.2 ms
_GRACE = 400  # looks, about 5 µs

# Each look takes two square roots, one after the other: a processor's other half is not disturbed.
# What was found is left for a moment: whoever put it there is about to go to sleep, and to let the
# interpreter lock go. A thread that asks for the lock before sleeps until it is woken.
_SOURCE = f"""
(module
  (memory (export "memory") 1)
  (func (export "look") (param $looks i32) (result i32)
    (local $x f64) (local $found i32)
    (local.set $x (f64.const 2))
    (loop $again
      (if (i32.and (i32.eqz (local.get $found)) (i32.atomic.load (i32.const 0)))
        (then (local.set $found (i32.const 1))
              (local.set $looks (i32.const {_GRACE}))))
      (local.set $x (f64.sqrt (f64.sqrt (local.get $x))))
      (local.set $looks (i32.sub (local.get $looks) (i32.const 1)))
      (br_if $again (i32.and (i32.ne (local.get $looks) (i32.const 0))
                             (f64.gt (local.get $x) (f64.const 0)))))
    (local.get $found)))
"""


@final
class Inbox(Generic[T]):
    """A queue with one reader."""

    __slots__ = ("_cell", "_filled", "_queue")

    def __init__(self) -> None:
        self._queue: SimpleQueue[T] = SimpleQueue()
        self._cell: Cell | None = None
        self._filled = ctypes.c_uint32()  # set by each put

    def __repr__(self) -> str:
        return f"<Inbox {self._queue.qsize()} items>"

    def put(self, item: T) -> None:
        """Hand *item* over. From any thread; never blocks."""
        self._queue.put(item)
        self._filled.value = 1

    def get(self, *, awake: bool) -> T:
        """Wait for an item.

        Args:
            awake: without sleeping first; the first time it compiles its loop, in 5 ms.
        """
        if awake:
            self._look()
        return self._queue.get()

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
    return prepare(_SOURCE)
