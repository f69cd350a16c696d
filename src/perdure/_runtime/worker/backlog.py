"""Backlog: the wakes that a worker has claimed and not taken up yet.

Claimed is claimed: no other worker takes it up, however idle. So each asks for runs that it comes
to soon, and for more when those are under way. Due runs are shared by how fast each worker is.
"""

from __future__ import annotations

from typing import final

import anyio

__all__ = ("Backlog",)

MOST = 16  # wakes; a turn takes about a millisecond
HELD_UP = 0.05


@final
class Backlog:
    """Counts wakes from their claim to the end of their turn. Used in one event loop."""

    def __init__(self, *, held_up: float = HELD_UP) -> None:
        """Hold nothing yet.

        Args:
            held_up: seconds that new ones wait for those before.
        """
        self._held_up = held_up
        self._count = 0
        self._slow = 0  # of these; others do not wait for them
        self._change: anyio.Event | None = None  # while somebody waits

    def __repr__(self) -> str:
        return f"<Backlog {self._count}, {self._slow} slow>"

    def add(self) -> None:
        """One more was claimed."""
        self._count += 1

    def remove(self) -> None:
        """The turn of one is over."""
        self._count -= 1
        self._slow = min(self._slow, self._count)
        if self._change is not None:
            self._change.set()
            self._change = None

    async def wait_room(self) -> None:
        """Return once half of it is free, or nothing happens: then guests are busy, or the loop."""
        with anyio.move_on_after(self._held_up) as held_up:
            while self.room < MOST // 2:
                self._change = self._change or anyio.Event()
                await self._change.wait()
        if held_up.cancelled_caught:
            self._slow = self._count

    @property
    def room(self) -> int:
        """How many wakes to claim now."""
        return max(1, MOST + self._slow - self._count)
