"""Stack: room on a thread's own stack for the deepest recursion that a guest may make.

A guest counts its recursion on a stack in its memory, so it ends at the same call on every machine.
Each of its frames also takes some of the thread's stack, about three times as much at most. A
thread that has less than the engine is told would be ended by the operating system, and the
process with it: guests run only in threads that were started here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from .watch import place_here, take_place

__all__ = ("WASM_STACK_BYTES", "has_room", "run_with_room", "start_with_room")

T = TypeVar("T")
WASM_STACK_BYTES = 16 << 20  # the widest guest measured takes 7.7 MiB when its own stack ends
_THREAD_STACK_BYTES = WASM_STACK_BYTES + (4 << 20)  # pages that nothing touches cost nothing
_lock = threading.Lock()


class _Here(threading.local):
    has_room = False


_here = _Here()


def has_room() -> bool:
    """Whether this thread may run guests."""
    return _here.has_room


def start_with_room(name: str, serve: Callable[[], object]) -> threading.Thread:
    """A daemon thread that may run guests, started."""

    def run() -> None:
        _here.has_room = True
        serve()

    thread = threading.Thread(target=run, name=name, daemon=True)
    with _lock:  # the size is one setting for all threads that start
        before = threading.stack_size(_THREAD_STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    return thread


def run_with_room(fn: Callable[[], T]) -> T:
    """Call *fn* where guests may run: here, or in a thread for this one call."""
    if _here.has_room:
        return fn()
    results: list[T] = []
    errors: list[BaseException] = []
    place = place_here()

    def serve() -> None:
        take_place(place)  # this thread's watch stops what runs there
        try:
            results.append(fn())
        except BaseException as exc:
            errors.append(exc)

    start_with_room("perdure-vm-call", serve).join()
    for error in errors:
        raise error
    return results[0]
