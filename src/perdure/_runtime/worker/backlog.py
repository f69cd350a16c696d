"""Backlog: the wakes, or the queued steps, that a worker has claimed and not done with yet.

Claimed is claimed: no other worker takes it up, however idle. So each asks for those that it comes
to soon, and for more when these are under way. Due work is shared by how fast each worker is.
"""

from __future__ import annotations

from typing import final

import anyio

__all__ = ("Backlog",)

MOST = 16  # at first; a turn takes about a millisecond
MOST_STEPS = 64


@final
class Backlog:
    """Counts claims until their turn, or their step, is over. Used in one event loop."""

    def __init__(self, *, held_up: float, at_most: int = MOST) -> None:
        """Hold nothing yet.

        Args:
            held_up: seconds that new ones wait for those before.
            at_most: how many it holds once claims find as many as they ask for again and again.
        """
        self._held_up = held_up
        self._at_most = at_most
        self._most = MOST
        self._next_most = MOST  # once there is room
        self._count = 0
        self._slow = 0  # of these; others do not wait for them
        self._change: anyio.Event | None = None  # while somebody waits

    def __repr__(self) -> str:
        return f"<Backlog {self._count}, {self._slow} slow>"

    def add(self) -> None:
        """One more was claimed."""
        self._count += 1

    def remove(self) -> None:
        """One is over."""
        self._count -= 1
        self._slow = min(self._slow, self._count)
        if self._change is not None:
            self._change.set()
            self._change = None

    async def wait_room(self) -> None:
        """Return once half of it is free, or nothing happens: then guests are busy, or the loop."""
        with anyio.move_on_after(self._held_up) as held_up:
            while self.room < self._most // 2:
                self._change = self._change or anyio.Event()
                await self._change.wait()
        if held_up.cancelled_caught:
            self._slow = self._count
        self._most = self._next_most

    @property
    def room(self) -> int:
        """How many to claim now."""
        return max(1, self._most + self._slow - self._count)

    def note_claim(self, count: int, *, limit: int) -> None:
        """A claim of at most *limit* has found so many: others wait where it has found all."""
        self._next_most = min(2 * self._most, self._at_most) if count == limit else MOST
