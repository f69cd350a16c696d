"""Due: the whole index, its shelves by run id and by stretches of time far ahead.

Which run lies on which shelf is fixed by the number of shelves, which the world's first ``open``
wrote down. Reading is by conditional GET, each shelf for all who wait in this process at once, less
and less often while nothing changes.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection
from typing import final

import anyio

from ._cas import Cas
from ._index import Item, Shelf, View, due_of
from ._schema import Layout
from ._together import each

__all__ = ("Due",)

STRETCH_MS = 15 * 60_000
FAR_MS = 2 * STRETCH_MS  # what is due later than this goes on a shelf of its stretch of time
FIRST_LOOK = 1.0  # seconds between looks at a shelf that has just changed


@final
class Due:
    """The index of one open world."""

    def __init__(self, cas: Cas, *, shards: int, slowest: float, now_ms: Callable[[], int]) -> None:
        self._cas = cas
        self._now_ms = now_ms
        self._slowest = slowest
        self._every = min(FIRST_LOOK, slowest)
        self._shelves = [Shelf(cas, Layout.due(n)) for n in range(shards)]
        self._later: dict[tuple[int, int], Shelf] = {}
        self._moving: set[asyncio.Task[None]] = set()
        self._promote_ms = 0
        self._promoting = anyio.Lock()
        self._looking = anyio.Lock()

    def __repr__(self) -> str:
        return f"<Due {self._shelves}>"

    async def arm(self, run_id: str, view: View, base: View | None) -> None:
        """Make sure that somebody looks at the run when *view*, about to be written, says so.

        Args:
            base: the version that it follows; None for a first one.
        """
        now_ms = self._now_ms()
        item = Item(view.birth, view.seq, now_ms, dict(view.dues))
        await self._place(run_id, min(view.dues.values())).arm(run_id, item, base)

    def tidy(self, run_id: str, view: View) -> None:
        """Have items that a version of the head makes needless taken out, some time."""
        now_ms, shelf = self._now_ms(), self._shelves[self._shard(run_id)]
        if not view.dues or not self._is_far(min(view.dues.values())):
            shelf.tidy(run_id, view, now_ms=now_ms)
            return
        nothing = View(view.birth, view.seq, {})
        place = self._place(run_id, min(view.dues.values()))
        if place.holds(run_id, view):
            shelf.tidy(run_id, nothing, now_ms=now_ms)
            return

        async def move() -> None:
            await place.arm(run_id, Item(view.birth, view.seq, now_ms, view.dues))
            shelf.tidy(run_id, nothing, now_ms=now_ms)

        moving = asyncio.create_task(move())
        self._moving.add(moving)
        moving.add_done_callback(self._moved)

    def candidates(self, kinds: Collection[str]) -> list[tuple[int, str]]:
        """Runs of which something of these kinds may be due, the longest due first."""
        now_ms = self._now_ms()
        runs: list[tuple[int, str]] = []
        for shelf in self._shelves:
            for run_id, dues in shelf.entries():
                at = min((dues[kind] for kind in kinds if kind in dues), default=None)
                if at is not None and at <= now_ms:
                    runs.append((at, run_id))
        return sorted(runs)

    def kinds(self) -> set[str]:
        """All topics that anything is there of, and ``""``."""
        return {kind for shelf in self._shelves for _, dues in shelf.entries() for kind in dues}

    def next_due_ms(self, kinds: Collection[str]) -> int | None:
        """When something of these kinds comes due that is not due yet."""
        now_ms = self._now_ms()
        return min(
            (
                at
                for shelf in self._shelves
                for _, dues in shelf.entries()
                for kind, at in dues.items()
                if at > now_ms and kind in kinds
            ),
            default=None,
        )

    async def known(self) -> dict[str, dict[str, int]]:
        """When each run is due, those far ahead included."""
        shelves = list(self._shelves)
        for shard in range(len(self._shelves)):
            async for listed in self._cas.names(Layout.later(shard)):
                shelves.append(Shelf(self._cas, listed.key))
                await shelves[-1].refresh()
        items: dict[str, list[Item]] = {}
        for shelf in shelves:
            for run_id, own in shelf.items().items():
                items.setdefault(run_id, []).extend(own)
        return {run_id: due_of(own) for run_id, own in items.items()}

    @property
    def look_every(self) -> float:
        """Seconds between looks at present."""
        return self._every

    def hasten(self) -> None:
        """Look often again: something goes on."""
        self._every = min(FIRST_LOOK, self._slowest)

    async def look(self, *, at_once: bool) -> None:
        """Read shelves that others may have changed, unless that was done lately."""
        await self._promote()
        if at_once:
            await self._refresh(self._shelves)
            return
        async with self._looking:  # who waited for another's look need not look again
            now = asyncio.get_running_loop().time()
            stale = [s for s in self._shelves if now - s.looked_at >= 0.9 * self._every]
            if stale and not await self._refresh(stale):
                self._every = min(self._slowest, self._every * 1.5)

    async def _refresh(self, shelves: list[Shelf]) -> bool:
        changed = any(await each(shelf.refresh() for shelf in shelves))
        if changed:
            self.hasten()
        return changed

    async def settle(self) -> None:
        """Wait until everything that was asked for is durable."""
        while self._moving:
            await asyncio.wait(set(self._moving))
        for shelf in [*self._shelves, *self._later.values()]:
            await shelf.flush()

    def close(self) -> None:
        """Stop the clockwork."""
        for shelf in [*self._shelves, *self._later.values()]:
            shelf.close()
        for moving in self._moving:
            moving.cancel()

    def _moved(self, moving: asyncio.Task[None]) -> None:
        self._moving.discard(moving)
        if not moving.cancelled():
            moving.exception()  # what failed is only too early an entry; it is tidied another time

    def _shard(self, run_id: str) -> int:
        return zlib.crc32(run_id.encode()) % len(self._shelves)

    def _is_far(self, due_ms: int) -> bool:
        return due_ms >= self._now_ms() + FAR_MS

    def _place(self, run_id: str, due_ms: int) -> Shelf:
        shard = self._shard(run_id)
        return (
            self._bucket(shard, due_ms // STRETCH_MS)
            if self._is_far(due_ms)
            else self._shelves[shard]
        )

    def _bucket(self, shard: int, stretch: int) -> Shelf:
        bucket = self._later.get((shard, stretch))
        if bucket is None:
            bucket = self._later[shard, stretch] = Shelf(self._cas, Layout.later(shard, stretch))
        return bucket

    async def _promote(self) -> None:
        """Move items that come near to where they are looked for."""
        async with self._promoting:
            now_ms = self._now_ms()
            if now_ms < self._promote_ms:
                return
            for shard in range(len(self._shelves)):
                last = Layout.later(shard, (now_ms + STRETCH_MS) // STRETCH_MS)
                async for listed in self._cas.names(Layout.later(shard)):
                    if listed.key > last:
                        break
                    await self._promote_bucket(shard, int(listed.key.rpartition("/")[2]))
            self._promote_ms = now_ms + STRETCH_MS

    async def _promote_bucket(self, shard: int, stretch: int) -> None:
        bucket, shelf = self._bucket(shard, stretch), self._shelves[shard]
        await bucket.refresh()
        contents = bucket.items()
        await each(shelf.arm(run_id, item) for run_id, items in contents.items() for item in items)
        if await bucket.remove():
            self._later.pop((shard, stretch), None)
