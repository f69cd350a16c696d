"""Snapshots: a run's chain of heap images."""

from __future__ import annotations

from typing import final

from ..._model.ids import RunId
from ..._model.snapshot import Snapshot
from ...abc import Snapshots
from ._store import Handle, StoredRun

__all__ = ("MemorySnapshots", "keep_snapshot")


def keep_snapshot(run: StoredRun, snapshot: Snapshot) -> None:
    """Keep it as the run's newest, or pass it over."""
    newest = run.snapshots[-1].turn if run.snapshots else None
    if newest is not None and snapshot.turn <= newest:
        return
    if snapshot.parent_turn is None:
        run.snapshots = [snapshot]
    elif snapshot.parent_turn == newest:
        run.snapshots.append(snapshot)


@final
class MemorySnapshots(Snapshots):
    """The snapshots of a memory world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def save(self, run_id: RunId, snapshot: Snapshot) -> None:
        store = await self._handle.enter()
        with store.lock:
            run = store.live_run(run_id)
            if run is not None:
                keep_snapshot(run, snapshot)

    async def load(self, run_id: RunId) -> tuple[Snapshot, ...]:
        store = await self._handle.enter()
        with store.lock:
            return tuple(store.runs[run_id].snapshots) if run_id in store.runs else ()

    async def delete(self, run_id: RunId) -> None:
        store = await self._handle.enter()
        with store.lock:
            if run_id in store.runs:
                store.runs[run_id].snapshots.clear()
