"""Slots: how many step bodies may run at once, counted for any thread.

A turn in a VM thread takes slots for the steps that are to run inline; the claim loop takes them
for steps from the queue, and waits while there are none. Everyone gives back in the event loop.
"""

from __future__ import annotations

import threading
from typing import final

import anyio

__all__ = ("Slots", "TakenSlots")


@final
class Slots:
    """A counter of free slots."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total  # below 0 when more is here than there is room for
        self.away = 0  # lent by those that have them
        self._lock = threading.Lock()
        self._given_back: anyio.Event | None = None  # while somebody waits

    def __repr__(self) -> str:
        return f"<Slots {self.free}/{self.total} free>"

    def take(self, wanted: int = 1) -> int:
        """Take up to *wanted* slots; returns how many. From any thread; never blocks."""
        with self._lock:
            count = max(0, min(wanted, self.free))
            self.free -= count
            return count

    def take_anyway(self) -> None:
        """Take one for an item that is here already, also if none is free. From any thread."""
        with self._lock:
            self.free -= 1

    def give_back(self, count: int = 1) -> None:
        """Give slots back. In the event loop."""
        with self._lock:
            self.free += count
        if count and self._given_back is not None:
            self._given_back.set()
            self._given_back = None

    def lend(self) -> None:
        """Let others have one for a while. In the event loop."""
        self.away += 1
        self.give_back()

    def take_back(self) -> None:
        """Have one again that was lent, at once, whether one is free or not."""
        self.away -= 1
        self.take_anyway()

    async def wait_free(self) -> None:
        """Return once there is a free slot; somebody else may be faster to take it."""
        while self.free < 1:
            await self._wait_given_back()

    async def wait_all_free(self) -> None:
        """Return once every slot is free, and none is lent."""
        while self.free < self.total or self.away:
            await self._wait_given_back()

    async def _wait_given_back(self) -> None:
        if self._given_back is None:
            self._given_back = anyio.Event()
        await self._given_back.wait()


@final
class TakenSlots:
    """The slots that one turn has taken for its inline steps, until somebody has them."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._count = 0

    def __repr__(self) -> str:
        return f"<TakenSlots {self._count}>"

    def take(self) -> bool:
        """Take one more, if there is one. In the VM thread."""
        count = self._slots.take()
        self._count += count
        return count == 1

    def hand_on(self, count: int) -> None:
        """So many belong to steps' bodies now."""
        self._count -= count

    def give_back(self) -> None:
        """Give back those that nobody has. Idempotent."""
        if self._count:
            self._slots.give_back(self._count)
            self._count = 0
