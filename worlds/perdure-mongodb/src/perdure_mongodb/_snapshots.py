"""Snapshots: a run's chain of heap images, which lies in the run's document.

Their bytes do so too while they are small; larger ones are chunks that are written before the
pointer to them and removed after it was replaced.
"""

from __future__ import annotations

from typing import final

from perdure.abc import Snapshots
from perdure.errors import RunNotFoundError
from perdure.model import RunId, Snapshot

from ._handle import Handle
from ._lander import Lander, Work
from ._page import Needs, Page
from ._storage import READ_TRIES, find_run, read_chain
from ._values import MissingChunksError

__all__ = ("MongoSnapshots",)


@final
class MongoSnapshots(Snapshots):
    """The snapshots of a MongoDB world."""

    def __init__(self, handle: Handle, lander: Lander) -> None:
        self._handle = handle
        self._lander = lander

    async def save(self, run_id: RunId, snapshot: Snapshot) -> None:
        def act(page: Page, now_ms: int) -> None:
            if page.book.wake is not None:  # it has not ended
                page.book.keep_snapshot(snapshot)

        await self._change(run_id, Work(needs=Needs(), act=act))

    async def load(self, run_id: RunId) -> tuple[Snapshot, ...]:
        return await self._handle.read(lambda: self._load(run_id))

    async def delete(self, run_id: RunId) -> None:
        def act(page: Page, now_ms: int) -> None:
            page.book.snapshots = []

        await self._change(run_id, Work(needs=Needs(), act=act))

    async def _change(self, run_id: RunId, work: Work[None]) -> None:
        try:
            await self._lander.land(run_id, work)
        except RunNotFoundError:
            return  # nothing to keep one for

    async def _load(self, run_id: RunId) -> tuple[Snapshot, ...]:
        for _ in range(READ_TRIES):
            try:
                return await read_chain(self._handle, await find_run(self._handle, run_id))
            except RunNotFoundError:
                break
            except MissingChunksError:
                continue  # a newer one replaced it
        return ()  # a chain that is not whole is none; the log has everything
