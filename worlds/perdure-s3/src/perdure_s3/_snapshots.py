"""Snapshots: a run's chain of heap images, in its head or beside it."""

from __future__ import annotations

from typing import final

from perdure.abc import Snapshots
from perdure.errors import RunNotFoundError
from perdure.model import RunId, Snapshot

from ._handle import Handle
from ._page import Page

__all__ = ("S3Snapshots",)


@final
class S3Snapshots(Snapshots):
    """The snapshots of an S3 world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def save(self, run_id: RunId, snapshot: Snapshot) -> None:
        def keep(page: Page) -> None:
            if page.found is not None and not page.found.record.status.is_ended:
                page.found.keep_snapshot(snapshot)

        await self._handle.runs.change(run_id, keep)

    async def load(self, run_id: RunId) -> tuple[Snapshot, ...]:
        runs = self._handle.runs
        try:
            return await runs.view(run_id, runs.parts.chain)
        except RunNotFoundError:
            return ()

    async def delete(self, run_id: RunId) -> None:
        def drop(page: Page) -> None:
            if page.found is not None:
                page.found.snapshots = []

        await self._handle.runs.change(run_id, drop)
