"""Snapshots: a run's chain of heap images, opaque here."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._model.ids import RunId
from .._model.snapshot import Snapshot

__all__ = ("Snapshots",)


class Snapshots(ABC):
    """Snapshot chains. They also ride inside ``Storage.commit`` under the same rules."""

    @abstractmethod
    async def save(self, run_id: RunId, snapshot: Snapshot) -> None:
        """Keep a snapshot as the run's newest.

        A root (no parent) replaces the whole chain; a link is added to the chain whose newest
        turn is its ``parent_turn``, and passed over when that is not there. A snapshot whose turn
        is not above the newest kept is passed over: newer is never overwritten by older. An
        ended or unknown run is passed over.
        """

    @abstractmethod
    async def load(self, run_id: RunId) -> tuple[Snapshot, ...]:
        """The chain, root first, newest last; empty if there is none. Read whole, never torn."""

    @abstractmethod
    async def delete(self, run_id: RunId) -> None:
        """Drop the run's chain; only time is lost. Idempotent."""
