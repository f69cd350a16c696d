"""Custody: the one heap that a carrier has: where it comes from, who has it now, where it goes.

It comes from the warm heaps of this worker, from the run's snapshot or from its log. A VM thread
may have it to freeze while steps run; it goes back to the warm heaps, or is closed. A snapshot is a
checked cache: a wrong one is warned of, and costs time alone. ``snapshot_due`` decides when to take
one; it reaches the world by one of two roads:

- in the commit of a turn, which costs no write. A turn that parks its run, or is late, takes its
  own along; one that was taken while steps ran goes with the next.
- by itself (``_save``) where no commit will take it: the run is put away, or the next snapshot may
  build on it, and a commit has room for one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import final

from ..._core.cursor import SnapshotDue, snapshot_due
from ..._core.fold import was_put_away
from ..._core.landing import created_event, fresh_record
from ..._model.constructors import make_logged
from ..._model.events import LoggedEvent
from ..._model.ids import RunId
from ..._model.runs import NewRun, RunRecord
from ..._model.state import RunState
from ...errors import SnapshotRejectedError
from ..aborts import tell_end, tell_request
from ..containment import foreign_errors
from ..log_fields import of_run
from .equipment import Carrying
from .freezing import Freezing
from .heap import Heap
from .probation import UnconfirmedFailureError
from .requests import end_in_time, is_over
from .writes import Writes

__all__ = ("Custody",)

_log = logging.getLogger("perdure")
_PAGE = 1000


@final
class Custody:
    """Has the heap of one run, or none."""

    def __init__(self, run_id: RunId, shared: Carrying, writes: Writes) -> None:
        self._run_id = run_id
        self._shared = shared
        self._writes = writes
        self._heap: Heap | None = None
        self._is_outdated = False  # the log has events that were not read here
        self._scheduled: asyncio.Handle | None = None  # begins to freeze once steps are under way
        self._freezing: Freezing | None = None  # which has the heap
        self._cancel_at_ms: int | None = None  # when the run is ended, if it was asked to end

    def __repr__(self) -> str:
        return f"<Custody of {self._heap!r}>"

    @property
    def has_heap(self) -> bool:
        """Whether there is one, here or lent."""
        return self._heap is not None

    @property
    def heap_here(self) -> Heap | None:
        """The heap, unless it is lent; else ``reclaim`` it."""
        return self._heap if self._scheduled is None and self._freezing is None else None

    @property
    def current_heap(self) -> Heap | None:
        """The heap, if it has seen the log; else ``load`` it."""
        return None if self._is_outdated else self._heap

    def expect_events(self) -> None:
        """Have the log read before the next turn, since it has events that were not read here."""
        self._is_outdated = True

    # --- where it comes from ----------------------------------------------------------------------

    async def begin(self, new: NewRun) -> tuple[Heap, Sequence[LoggedEvent]]:
        """Have the heap of a run that is not in the world yet; returns it with its log."""
        heap = self._heap = await self._unborn(fresh_record(new))
        return heap, [make_logged(position=1, event=created_event(new))]

    async def load(self, *, wary: bool = False) -> tuple[Heap | None, Sequence[LoggedEvent]]:
        """Have the run's heap; returns it with the log above its consumed position.

        Args:
            wary: use no snapshot, since turns of the run came to nothing.

        Returns:
            None, and no log, if the run has ended.
        """
        heap = self._heap or self._shared.warm.take(self._run_id)
        self._heap, self._is_outdated = heap, False
        state = await self._read(None if heap is None else heap.cursor.consumed)
        if heap is not None and heap.cursor.turn != state.record.turn:
            self.discard()  # another worker carried the run on
            heap = None
            state = await self._read(None)
        record = state.record
        if record.cancel_at_ms is not None and not record.status.is_ended:
            record = await self._heed(record)
        if record.status.is_ended:
            tell_end(record.run_id)
            self.discard()
            return None, ()
        if heap is not None:
            if record.cancel_at_ms is not None:
                heap.note_request(record.cancel_at_ms)
            return heap, state.events
        heap = self._heap = await self._thaw(state, wary=wary)
        is_refused = bool(state.chain) and not heap.cursor.consumed
        return heap, await self._read_log() if is_refused else state.events

    async def _heed(self, record: RunRecord) -> RunRecord:
        """See to it that a run ends which was asked to. Returns its record after that."""
        world, self._cancel_at_ms = self._shared.world, record.cancel_at_ms
        tell_request(record.run_id)
        if not is_over(record, now_ms=world.now_ms()):
            return record
        with foreign_errors(world):
            await end_in_time(world, self._writes, record)
            return await world.storage.get_run(self._run_id)

    def soon_enough(self, delay_ms: int) -> int:
        """A delay before the run is looked at again, which is not past the time it has to end."""
        if self._cancel_at_ms is None:
            return delay_ms
        return max(0, min(delay_ms, self._cancel_at_ms - self._shared.world.now_ms()))

    async def rebuild(self, reason: SnapshotRejectedError) -> tuple[Heap, Sequence[LoggedEvent]]:
        """Have a heap from the log alone, since its snapshot was found wrong; returns it with that.

        Args:
            reason: the error, in words.
        """
        self.discard()
        record = await self._shared.world.storage.get_run(self._run_id)
        if isinstance(reason, UnconfirmedFailureError):
            _log.info(
                "run %s fails by a snapshot without a tag; its log is asked",
                self._run_id,
                extra=of_run(self._run_id),
            )
        else:
            self._warn_rebuilt(reason)
        heap = self._heap = await self._unborn(record)
        return heap, await self._read_log()

    async def _read(self, after: int | None) -> RunState:
        world = self._shared.world
        with foreign_errors(world):
            return await world.storage.load_run(self._run_id, after=after)

    async def _read_log(self) -> Sequence[LoggedEvent]:
        """The whole log."""
        storage, events = self._shared.world.storage, list[LoggedEvent]()
        after = 0
        while True:
            page = await storage.read_events(self._run_id, after=after, limit=_PAGE)
            events.extend(page)
            if len(page) < _PAGE:
                return events
            after = page[-1].position

    async def _thaw(self, state: RunState, *, wary: bool) -> Heap:
        """The heap of the run's snapshot; one before its first delivery if that cannot be used."""
        shared, record, chain = self._shared, state.record, state.chain
        baseline = await shared.baselines.get(record)
        shared.tally.thawed += bool(chain)
        reason: SnapshotRejectedError | str | None = None
        if chain and not wary:
            try:
                return await shared.pool.run(
                    lambda: Heap.thaw(baseline, record, chain, limits=shared.limits, key=shared.key)
                )
            except SnapshotRejectedError as exc:
                reason = exc
        elif chain:
            reason = "a turn by its snapshot came to nothing"
        elif record.turn and was_put_away(state.events, consumed=record.consumed):
            reason = "its snapshot is missing"
        if reason is not None:
            self._warn_rebuilt(reason)
        return Heap(baseline, record, limits=shared.limits)

    async def _unborn(self, record: RunRecord) -> Heap:
        """A heap before its first delivery."""
        shared = self._shared
        return Heap(await shared.baselines.get(record), record, limits=shared.limits)

    def _warn_rebuilt(self, reason: SnapshotRejectedError | str) -> None:
        _log.warning(
            "run %s: %s; rebuilding it from its log. Nothing is lost but time; if it happens again"
            " and again, see that all workers have one version and one snapshot key",
            self._run_id,
            reason,
            extra=of_run(self._run_id),
        )
        self._shared.tally.rebuilt += 1

    # --- who has it -------------------------------------------------------------------------------

    def release(self) -> None:
        """Have the heap no more, since its run has ended: the thread of its last turn closes it."""
        self._heap = None

    def freeze_soon(self, commit_id: str) -> None:
        """Lend the heap to a VM thread once the loop has run its due callbacks."""
        loop = asyncio.get_running_loop()
        self._scheduled = loop.call_soon(self._freeze, commit_id)

    def _freeze(self, commit_id: str) -> None:
        shared, self._scheduled = self._shared, None
        assert self._heap is not None
        self._freezing = Freezing(self._heap, shared.pool, commit_id=commit_id, key=shared.key)

    async def reclaim(self) -> Heap | None:
        """Have the heap back if it is lent; if its freezing has not begun, it is forgone."""
        self._forgo_freezing()
        freezing, self._freezing = self._freezing, None
        if freezing is not None:
            await freezing.wait()
            if self._heap is not None and self._heap.chains:
                await self._save(self._heap)
        return self._heap

    def _forgo_freezing(self) -> None:
        handle, self._scheduled = self._scheduled, None
        if handle is not None:
            handle.cancel()

    async def _save(self, heap: Heap) -> None:
        """Save the heap's snapshot by itself, if one has not reached the world yet."""
        snapshot = heap.take_unsaved()
        if snapshot is not None:
            await self._writes.save(snapshot)

    # --- where it goes ----------------------------------------------------------------------------

    async def put_away(self) -> None:
        """Keep the heap warm, and a snapshot of it if its last turn left none."""
        heap, shared = await self.reclaim(), self._shared
        if heap is None:
            return
        due = snapshot_due(heap.cursor, parks=True, chains=heap.chains, lag=shared.snapshot_lag)
        if due is SnapshotDue.NOW:
            await shared.pool.run(lambda: heap.freeze(commit_id="", key=shared.key))
        await self._save(heap)
        self._heap = None  # whoever cancels before this line has it closed
        shared.warm.put(heap)

    def discard(self) -> None:
        """Have no heap any more. Idempotent."""
        self._forgo_freezing()
        freezing, self._freezing = self._freezing, None
        heap, self._heap = self._heap, None
        if freezing is not None:
            freezing.leave()  # which closes it
        elif heap is not None:
            heap.close()
