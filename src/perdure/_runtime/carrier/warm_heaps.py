"""Warm heaps: those of runs that are put away, which spare the thaw when a run goes on here.

They share a room with baselines, in which the longest unused goes first. Each can be dropped at
any time: the run is thawed from its snapshot then.
"""

from __future__ import annotations

from typing import final

from ..._model.ids import RunId
from ..room import Room
from .heap import Heap

__all__ = ("WarmHeaps",)


@final
class WarmHeaps:
    """Heaps by run, in a room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._heaps: dict[RunId, Heap] = {}

    def __repr__(self) -> str:
        return f"<WarmHeaps {len(self._heaps)}>"

    def __len__(self) -> int:
        return len(self._heaps)

    def put(self, heap: Heap) -> None:
        """Keep a heap; it belongs to the cache now."""
        run_id = heap.run_id
        self.drop(run_id)
        self._heaps[run_id] = heap
        self._room.keep(run_id, heap.held_bytes, lambda: self.drop(run_id))
        self._room.use(heap.baseline_key)  # dropped before its heaps it would stay in memory

    def take(self, run_id: RunId) -> Heap | None:
        """The run's heap, which belongs to the caller now."""
        heap = self._heaps.pop(run_id, None)
        if heap is not None:
            self._room.release(run_id)
        return heap

    def drop(self, run_id: RunId) -> None:
        """Forget a run's heap."""
        heap = self.take(run_id)
        if heap is not None:
            heap.close()

    def clear(self) -> None:
        """Forget them all."""
        while self._heaps:
            self.drop(next(iter(self._heaps)))
