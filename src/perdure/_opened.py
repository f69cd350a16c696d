"""Opened: which worlds this process has open, each in the event loop that opened it.

So that a call without ``world=`` finds the one that is meant, also in a context that was made
before the world was opened, as a web framework's handlers are. A world is noted by its
``async with`` block and by its workers. Holds no world and no loop alive; any thread may call.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ._platform import after_fork

if TYPE_CHECKING:
    from .abc import World

__all__ = ("note_closed", "note_open", "note_url", "opened_elsewhere", "opened_here", "url_of")

_lock = threading.Lock()
# How many blocks of the loop hold the world open; the one that was opened last is the last.
_blocks: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakKeyDictionary[World, int]] = (
    WeakKeyDictionary()
)
_urls: WeakKeyDictionary[World, str] = WeakKeyDictionary()  # with secrets: to compare, not to show


def note_open(world: World) -> None:
    """A block of the running loop begins to hold *world* open; without a loop nothing is noted."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # another library's, or a scheduler of a test's own
        return
    with _lock:
        worlds = _blocks.setdefault(loop, WeakKeyDictionary())
        worlds[world] = worlds.pop(world, 0) + 1


def note_closed(world: World) -> None:
    """A block that held *world* open ends, in whichever loop."""
    with _lock:
        for worlds in _blocks.values():
            left = worlds.pop(world, 0) - 1
            if left > 0:
                worlds[world] = left


def opened_here() -> list[World]:
    """The worlds that are open in the running loop, in the order in which they were opened."""
    loop = asyncio.get_running_loop()
    with _lock:
        return list(_blocks.get(loop, ()))


def opened_elsewhere() -> list[World]:
    """The worlds that are open in other loops of this process."""
    loop = asyncio.get_running_loop()
    with _lock:
        return [
            world
            for other, worlds in list(_blocks.items())
            if other is not loop and not other.is_closed()
            for world in worlds
        ]


def note_url(world: World, url: str) -> None:
    """Keep the URL that *world* was made from."""
    with _lock:
        _urls[world] = url


def url_of(world: World) -> str | None:
    """The URL that *world* was made from, with its secrets; None: it was not made from one."""
    with _lock:
        return _urls.get(world)


def _forget() -> None:
    """In a child of a fork, which has none of its parent's loops, and may have its lock taken."""
    global _lock
    _lock = threading.Lock()
    _blocks.clear()


after_fork(_forget)
