"""Cursor: how far the guest, the log and the snapshots of a run have come, as one value.

Pure. A heap has a cursor and replaces it whole: as it reads the log, as its guest is told
the log again, at the end of each turn, and once that has landed. No field ever falls. By its
cursor ``snapshot_due`` says when to freeze a heap, and nothing else does. Each turn of a run makes
one cursor by ``planned`` and one by ``landed``, so these two do without ``dataclasses.replace``,
which takes six times as long.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import final

from .._model.runs import RunRecord
from .._value_class import constructor, value_class

__all__ = ("Cursor", "SnapshotDue", "snapshot_due")


@final
@value_class
class Cursor:
    """Where a heap is in its run; positions are those of the log, which begins with 1."""

    turn: int  # the run's, which the next commit builds on
    consumed: int  # of the last delivery that the guest was told
    recorded: int  # the log holds what the guest asked for at the deliveries up to here
    position: int  # of the log's last event that this worker knows of
    snapshot_turn: int  # at the end of which the newest snapshot was taken; -1: there is none

    @classmethod
    def start(cls, record: RunRecord) -> Cursor:
        """The cursor of a heap without any past, in a run that has come as far as its record."""
        return cls(
            turn=record.turn,
            consumed=0,
            recorded=record.consumed,
            position=record.position,
            snapshot_turn=-1,
        )

    def thawed(self, *, turn: int, consumed: int) -> Cursor:
        """After the heap was thawed from the snapshot of *turn*, which has *consumed*."""
        return replace(self, consumed=consumed, snapshot_turn=turn)

    def read(self, position: int) -> Cursor:
        """After the log was read up to *position*."""
        return replace(self, position=position) if position > self.position else self

    def told(self, position: int) -> Cursor:
        """After the guest was told again the deliveries up to *position*."""
        return replace(self, consumed=position)

    def planned(self, inline: int) -> Cursor:
        """At the end of a turn, as if it had landed but for the position, which the world says.

        Args:
            inline: deliveries of the turn that are not in the log yet.
        """
        consumed = self.position + inline
        return make_cursor(
            turn=self.turn + 1,
            consumed=consumed,
            recorded=consumed,
            position=self.position,
            snapshot_turn=self.snapshot_turn,
        )

    def landed(self, *, turn: int, position: int) -> Cursor:
        """After the planned turn has landed, by which the world is at *turn* and *position*."""
        return make_cursor(
            turn=turn,
            consumed=self.consumed,
            recorded=self.recorded,
            position=position,
            snapshot_turn=self.snapshot_turn,
        )

    def with_snapshot(self) -> Cursor:
        """After a snapshot was taken at the end of the turn that was planned, or landed, last."""
        return replace(self, snapshot_turn=self.turn)


make_cursor = constructor(Cursor)


class SnapshotDue(Enum):
    """When to freeze a heap."""

    NOT_YET = auto()
    NOW = auto()  # before anything else is done with the heap
    BESIDE_STEPS = auto()  # in another thread while steps run; if they are too quick, next turn


def snapshot_due(cursor: Cursor, *, parks: bool, chains: bool, lag: int) -> SnapshotDue:
    """When to freeze the heap of a run that goes on.

    A snapshot only saves time. So one is taken as the run parks, since a worker that drops the heap
    would have to tell its guest everything again; and while steps run here, when a crash would cost
    more turns than is allowed.

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
