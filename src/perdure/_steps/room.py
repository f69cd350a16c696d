"""Room: how many guests of steps there are at a time, and how much memory they have together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import final

__all__ = ("GuestRoom", "Seat")

_EXPECTED_BYTES = 512 << 10  # of a guest that has told nothing yet


@final
class Seat:
    """One guest's place."""

    __slots__ = ("_bytes", "_room")

    def __init__(self, room: GuestRoom) -> None:
        self._room = room
        self._bytes = 0
        self.hold(_EXPECTED_BYTES)

    def hold(self, size: int) -> None:
        """Its guest has so much memory now."""
        self._room.held_bytes += size - self._bytes
        self._bytes = size


@final
class GuestRoom:
    """Places for guests; first come, first served. Used in one event loop."""

    def __init__(self, guests: int, guest_bytes: int) -> None:
        self.most = guests
        self.most_bytes = guest_bytes
        self.guests = 0
        self.held_bytes = 0  # of all guests, as far as they have told
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<GuestRoom {self.guests}/{self.most} guests, {self.held_bytes >> 20} MiB>"

    @asynccontextmanager
    async def seat(self) -> AsyncGenerator[Seat, None]:
        """A place in the block, once there is one."""
        while not self._has_place():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled():
                    self._rouse()  # it was somebody else's turn, then
                raise
        self.guests += 1
        seat = Seat(self)
        try:
            yield seat
        finally:
            self.guests -= 1
            seat.hold(0)
            self._rouse()

    def _has_place(self) -> bool:
        # One may always run: else a guest that is larger than all there is would wait for ever.
        few = self.guests < self.most
        return not self.guests or (few and self.held_bytes < self.most_bytes)

    def _rouse(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
