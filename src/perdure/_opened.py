"""Opened: which worlds this process has open, each in the event loop that opened it.

So that a call without ``world=`` finds the one that is meant, also in a context that was made
before the world was opened, as a web framework's handlers are. A world is noted by its
``async with`` block and by its workers. A block may be left in another task or context than it was
entered in. Holds no world and no loop alive but by a context; any thread may call.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, final
from weakref import WeakKeyDictionary

from ._platform import after_fork
from .errors import UsageError

if TYPE_CHECKING:
    from .abc import World

__all__ = (
    "Block",
    "check_here",
    "elsewhere_text",
    "note_closed",
    "note_open",
    "note_url",
    "opened_elsewhere",
    "opened_here",
    "running_loop",
    "url_of",
)

_lock = threading.Lock()
# How many blocks of the loop hold the world open; the one that was opened last is the last.
_blocks: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakKeyDictionary[World, int]] = (
    WeakKeyDictionary()
)
_open: WeakKeyDictionary[World, int] = WeakKeyDictionary()  # blocks of all loops, also gone ones
_urls: WeakKeyDictionary[World, str] = WeakKeyDictionary()  # with secrets: to compare, not to show


@final
class Block:
    """A block around calls that go to its world, within its context and those copied from it."""

    __slots__ = ("_outer", "_world")

    def __init__(self, world: World) -> None:
        """Begin here, in the present context."""
        self._world: World | None = world  # None: it was left
        self._outer = self._standing()
        _innermost.set(self)

    def __repr__(self) -> str:
        return f"<Block of {self._world!r}>"

    @classmethod
    def world_here(cls) -> World | None:
        """The world of the innermost block that has not been left."""
        block = cls._standing()
        return None if block is None else block._world

    @staticmethod
    def _standing() -> Block | None:
        """The innermost block that has not been left."""
        block = _innermost.get()
        while block is not None and block._world is None:
            block = block._outer
        return block

    def leave(self) -> None:
        """It ends, in one context and so in all of them. Idempotent."""
        self._world = None
        _innermost.set(self._standing())


_innermost: ContextVar[Block | None] = ContextVar("perdure_block", default=None)


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop that runs here.

    Raises:
        UsageError: none does.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            "no asyncio event loop runs here, and Perdure needs one: call this in a coroutine "
            "under asyncio.run(…) or anyio.run(…, backend='asyncio'); under trio, run such a loop "
            "in a thread of its own"
        ) from None


def check_here(world: World) -> None:
    """Pass unless *world* is known to be open in other event loops only.

    Raises:
        UsageError: it is.
    """
    here = running_loop()
    if world in _blocks.get(here, ()) or world not in _open:
        return
    with _lock:
        others = [loop for loop, worlds in _blocks.items() if world in worlds]
    is_over = all(loop.is_closed() for loop in others)  # or gone
    raise UsageError(elsewhere_text(world.url, is_over=is_over))


def elsewhere_text(url: str, *, is_over: bool) -> str:
    """The words for a world that is used in another event loop than the one it was opened in.

    Args:
        is_over: that loop is closed.
    """
    if is_over:
        return (
            f"world {url} was opened in an event loop that is closed by now, and can be used in no "
            f"other; open it again in the loop that uses it: async with open_world(…)"
        )
    return (
        f"world {url} is open in another event loop, and can be used in that alone; open it in "
        f"this one, too: async with open_world(…), or call from the loop that has it open: "
        f"anyio.from_thread.run(…)"
    )


def note_open(world: World) -> None:
    """A block of the running loop begins to hold *world* open; without a loop nothing is noted."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # another library's, or a scheduler of a test's own
        return
    with _lock:
        worlds = _blocks.setdefault(loop, WeakKeyDictionary())
        worlds[world] = worlds.pop(world, 0) + 1
        _open[world] = _open.get(world, 0) + 1


def note_closed(world: World) -> None:
    """A block that held *world* open ends, in any loop."""
    with _lock:
        for worlds in (_open, *_blocks.values()):
            count = worlds.pop(world, 0) - 1
            if count > 0:
                worlds[world] = count


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
    _open.clear()


after_fork(_forget)
