"""Posting: handing calls from any thread to an event loop, for the runtime and for world authors.

Waking a loop is a system call that releases the interpreter lock, and getting it back may take
longer than the work itself. So a loop that has been woken is not woken again before it has looked,
and a thread that posts several calls wakes each loop once. Where there are eventfds it is woken by
one of its own: an asyncio loop's own socket costs three system calls more for each wake.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import final
from weakref import WeakKeyDictionary, ref

from .._platform import open_bell

__all__ = ("post", "posted_together")


@final
class _Letterbox:
    """The calls that one loop has been handed and has not made yet."""

    __slots__ = ("__weakref__", "_bell", "_calls", "_is_known", "_is_waking", "_lock", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)  # which keeps this: neither may keep the other for ever
        self._lock = threading.Lock()
        self._calls: list[Callable[[], object]] = []
        self._is_waking = False
        self._bell: int | None = None  # an eventfd, once the loop reads it
        self._is_known = False  # whether the loop can be given one

    def __repr__(self) -> str:
        return f"<Letterbox {len(self._calls)} calls>"

    def __del__(self) -> None:
        if self._bell is not None:
            os.close(self._bell)

    def put(self, call: Callable[[], object]) -> None:
        with self._lock:
            self._calls.append(call)
            if self._is_waking:
                return
            self._is_waking = True
        corked: list[_Letterbox] | None = getattr(_thread, "corked", None)
        if corked is None:
            self.wake()
        else:
            corked.append(self)

    def wake(self) -> None:
        if self._bell is not None:
            os.eventfd_write(self._bell, 1)
            return
        loop = self._loop()
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed, and so is all that waited there
                loop.call_soon_threadsafe(self._first, loop)

    def _first(self, loop: asyncio.AbstractEventLoop) -> None:
        """Empty the box, and from now on whenever its bell rings, where the loop hears one."""
        if not self._is_known:
            self._bell, self._is_known = open_bell(loop, self._rung), True
        self._empty(loop)

    def _rung(self, loop: asyncio.AbstractEventLoop, bell: int) -> None:
        with contextlib.suppress(BlockingIOError):  # heard in a round that ended early, and in this
            os.eventfd_read(bell)
        self._empty(loop)

    def _empty(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
            self._is_waking = False
        for call in calls:
            try:
                call()
            except Exception as exc:  # as for any callback: the others are called all the same
                loop.call_exception_handler({"message": "a posted call", "exception": exc})


_thread = threading.local()
_boxes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Letterbox] = WeakKeyDictionary()
_making = threading.Lock()


def post(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Have *call* called in *loop* soon, after earlier posts. Never blocks or raises.

    A loop that is closed calls nothing more.
    """
    box = _boxes.get(loop)
    if box is None:
        with _making:
            box = _boxes.setdefault(loop, _Letterbox(loop))
    box.put(call)


def posted_together() -> AbstractContextManager[None]:
    """Wake each loop that this thread posts to in the block once, at the block's end."""
    return _Together()


@final
class _Together:
    __slots__ = ("_corked",)

    def __enter__(self) -> None:
        self._corked: list[_Letterbox] | None = None  # None: a block around this one wakes them
        if getattr(_thread, "corked", None) is None:
            self._corked = _thread.corked = []

    def __exit__(self, *_: object) -> None:
        if self._corked is not None:
            _thread.corked = None
            for box in self._corked:
                box.wake()
