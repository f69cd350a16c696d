"""Heap source: where a run's heap comes from: its snapshot, or its log if that must not be used.

A snapshot is a checked cache. Whatever is wrong with one is warned of, and costs time alone. A run
whose turns come to nothing is made from its log every other time.
"""

from __future__ import annotations

import logging
from typing import final

from .._core.fold import was_put_away
from .._model.events import LoggedEvent
from .._model.ids import RunId
from .._model.runs import RunRecord
from .._model.state import RunState
from ..errors import SnapshotRejectedError
from .carrying import Carrying
from .heap import Heap
from .log_fields import of_run
from .probation import UnconfirmedFailureError

__all__ = ("HeapSource",)

_log = logging.getLogger("perdure")
_PAGE = 1000


@final
class HeapSource:
    """Makes the heaps of one run."""

    def __init__(self, run_id: RunId, shared: Carrying) -> None:
        self._run_id = run_id
        self._shared = shared

    def __repr__(self) -> str:
        return f"<HeapSource of {self._run_id}>"

    async def thaw(self, state: RunState, *, wary: bool) -> Heap:
        """The heap of the run's snapshot; one before its first delivery if there is none.

        Args:
            wary: use no snapshot.
        """
        shared, record, chain = self._shared, state.record, state.chain
        baseline = await shared.baselines.get(record)
        shared.tally.thawed += bool(chain)
        if not chain:
            if record.turn and was_put_away(state.events, consumed=record.consumed):
                self._warn_rebuilt("its snapshot is missing")
            return Heap(baseline, record, limits=shared.limits)
        if wary:
            self._warn_rebuilt("a turn by its snapshot came to nothing")
            return Heap(baseline, record, limits=shared.limits)
        try:
            return await shared.pool.run(
                lambda: Heap.thaw(baseline, record, chain, limits=shared.limits, key=shared.key)
            )
        except SnapshotRejectedError as exc:
            self._warn_rebuilt(exc)
            return Heap(baseline, record, limits=shared.limits)

    async def rebuild(self, record: RunRecord, reason: SnapshotRejectedError) -> Heap:
        """A heap for the log alone, after one from a snapshot was found to be wrong."""
        if isinstance(reason, UnconfirmedFailureError):
            _log.info(
                "run %s fails by a snapshot without a tag; its log is asked",
                self._run_id,
                extra=of_run(self._run_id),
            )
        else:
            self._warn_rebuilt(reason)
        baseline = await self._shared.baselines.get(record)
        return Heap(baseline, record, limits=self._shared.limits)

    async def read_log(self) -> list[LoggedEvent]:
        """The whole log."""
        storage, events = self._shared.world.storage, list[LoggedEvent]()
        after = 0
        while True:
            page = await storage.read_events(self._run_id, after=after, limit=_PAGE)
            events.extend(page)
            if len(page) < _PAGE:
                return events
            after = page[-1].position

    def _warn_rebuilt(self, reason: SnapshotRejectedError | str) -> None:
        _log.warning(
            "run %s: %s; rebuilding it from its log. Nothing is lost but time; if it happens again"
            " and again, see that all workers have one version and one snapshot key",
            self._run_id,
            reason,
            extra=of_run(self._run_id),
        )
        self._shared.tally.rebuilt += 1
