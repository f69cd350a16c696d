"""Cursor: how far the guest, the log and the snapshots of a run have come, as one value.

Pure. A heap has one and replaces it whole: as it reads the log, as its guest is told again what the
log holds, at the end of each turn, and once that has landed. No field ever falls. Each turn of a
run makes one cursor by ``planned`` and one by ``landed``, so these two do without
``dataclasses.replace``, which takes twice as long.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

from .._frozen import frozen
from .._model.runs import RunRecord

__all__ = ("Cursor",)


@final
@frozen
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
        return replace(self, position=max(self.position, position))

    def told(self, position: int) -> Cursor:
        """After the guest was told again the deliveries up to *position*."""
        return replace(self, consumed=position)

    def planned(self, inline: int) -> Cursor:
        """At the end of a turn, as if it had landed but for the position, which the world says.

        Args:
            inline: deliveries of the turn that are not in the log yet.
        """
        consumed = self.position + inline
        return Cursor(
            turn=self.turn + 1,
            consumed=consumed,
            recorded=consumed,
            position=self.position,
            snapshot_turn=self.snapshot_turn,
        )

    def landed(self, *, turn: int, position: int) -> Cursor:
        """After the planned turn has landed, by which the world is at *turn* and *position*."""
        return Cursor(
            turn=turn,
            consumed=self.consumed,
            recorded=self.recorded,
            position=position,
            snapshot_turn=self.snapshot_turn,
        )

    def with_snapshot(self) -> Cursor:
        """After a snapshot was taken at the end of the turn that was planned, or landed, last."""
        return replace(self, snapshot_turn=self.turn)
