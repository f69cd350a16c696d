"""Snapshot due: when a heap is frozen. Nothing else decides that.

Pure. A snapshot only saves time, so one is taken where it saves much, or costs nothing: as the run
parks, since a worker that drops the heap would have to tell its guest everything again; and while
steps run here, when a crash would cost more turns than the worker's ``snapshot_lag``.
"""

from __future__ import annotations

from enum import Enum, auto

from .cursor import Cursor

__all__ = ("SnapshotDue", "snapshot_due")


class SnapshotDue(Enum):
    """When to freeze a heap."""

    NOT_YET = auto()
    NOW = auto()  # before anything else is done with the heap
    BESIDE_STEPS = auto()  # in another thread while steps run; if they are too quick, next turn


def snapshot_due(cursor: Cursor, *, parks: bool, chains: bool, lag: int) -> SnapshotDue:
    """When to freeze the heap of a run that goes on.

    Args:
        cursor: the heap's, at the end of a turn or later.
        parks: no step of the run is running in this worker, nor about to.
        chains: the heap's next snapshot builds on the one before. It may build on this one, too,
            so this one cannot wait for a later turn's commit.
        lag: turns without a snapshot that are allowed while steps run.
    """
    age = cursor.turn - max(cursor.snapshot_turn, 0)
    if parks:
        has_news = age > 0 and cursor.consumed == cursor.recorded
        return SnapshotDue.NOW if has_news else SnapshotDue.NOT_YET
    if age <= lag:
        return SnapshotDue.NOT_YET
    if chains or age > lag + 1:  # it was due before, and steps were too quick
        return SnapshotDue.NOW
    return SnapshotDue.BESIDE_STEPS
