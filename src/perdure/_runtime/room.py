"""Room: how many bytes a worker may hold to be faster, and the things that hold them.

Everything in it can be dropped at any time; the longest unused goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import final

__all__ = ("Room",)


@final
class Room:
    """Things by key, in the order of their last use. Used in one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._things: OrderedDict[Hashable, tuple[int, Callable[[], None]]] = OrderedDict()

    def __repr__(self) -> str:
        used, most = self.held_bytes >> 20, self.max_bytes >> 20
        return f"<Room {len(self._things)} things, {used} of {most} MiB>"

    def keep(self, key: Hashable, size: int, drop: Callable[[], None]) -> None:
        """Have something of *size* bytes here until it is released; *drop* lets it go before."""
        self.release(key)
        self._things[key] = size, drop
        self.held_bytes += size
        while self.held_bytes > self.max_bytes:
            _, (dropped, let_go) = self._things.popitem(last=False)
            self.held_bytes -= dropped
            let_go()

    def use(self, key: Hashable) -> None:
        """It is used just now, if it is here."""
        if key in self._things:
            self._things.move_to_end(key)

    def release(self, key: Hashable) -> None:
        """It is here no more. Idempotent."""
        size, _ = self._things.pop(key, (0, None))
        self.held_bytes -= size
