"""Catalogue: finding runs, and taking them away."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._model.ids import RunId
from .._model.runs import RunFilter, RunPage

__all__ = ("Catalogue",)


class Catalogue(ABC):
    """The index of a world's runs."""

    @abstractmethod
    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> RunPage:
        """Runs that match, the newest first: in falling order of (created, id), after *cursor*.

        Paging is stable: a run that matched throughout is listed exactly once, also while
        others are created. A page has *limit* runs at most; it may be short, or empty, before the
        last. A limit below 1 is answered by an empty page that is the last. The first page costs
        the same however many runs there are.

        Raises:
            CursorError: the cursor is not one of this world.
        """

    @abstractmethod
    async def delete_run(self, run_id: RunId) -> None:
        """Forget an ended run: its log, snapshots, streams, payload blobs and keys.

        Resumable: called again after a failure it finishes the work; an unknown run is fine.
        Bundles and engines stay.

        Raises:
            RunLiveError: the run has not ended.
        """

    @abstractmethod
    async def purge(self, *, ended_before_ms: int, limit: int = 100) -> int:
        """Delete up to *limit* runs that ended before *ended_before_ms*; returns how many.

        No live run goes. A limit below 1 deletes nothing.
        """
