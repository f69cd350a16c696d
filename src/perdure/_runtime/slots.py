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
        self.free = total
        self._lock = threading.Lock()
        self._given_back: anyio.Event | None = None  # while somebody waits

    def __repr__(self) -> str:
        return f"<Slots {self.free}/{self.total} free>"

    def take(self, wanted: int = 1) -> int:
        """Take up to *wanted* slots; gives how many. From any thread; never blocks."""
        with self._lock:
            taken = min(wanted, self.free)
            self.free -= taken
            return taken

    def give_back(self, count: int = 1) -> None:
        """Give slots back. In the event loop."""
        with self._lock:
            self.free += count
        if count and self._given_back is not None:
            self._given_back.set()
            self._given_back = None

    async def wait_free(self) -> None:
        """Return once there is a free slot; somebody else may be faster to take it."""
        await self._wait_for(1)

    async def wait_all_free(self) -> None:
        """Return once every slot is free."""
        await self._wait_for(self.total)

    async def _wait_for(self, count: int) -> None:
        while self.free < count:
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
        taken = self._slots.take()
        self._count += taken
        return taken == 1

    def hand_on(self) -> None:
        """One belongs to a step's body now."""
        self._count -= 1

    def give_back(self) -> None:
        """Give back what nobody has. Idempotent."""
        if self._count:
            self._slots.give_back(self._count)
            self._count = 0
