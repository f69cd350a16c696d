"""Custody: the one heap that a carrier has: where it comes from, who has it now, where it goes.

It comes from the warm heaps of this worker, the run's snapshot or its log; a VM thread may have it
to freeze while steps run; it goes back to the warm heaps, or is closed. Nothing of a run is lost
with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import final

from .._core.landing import created_event, fresh_record
from .._model.commit import Committed, TurnCommit
from .._model.events import LoggedEvent
from .._model.ids import RunId
from .._model.runs import NewRun, RunRecord
from .._model.snapshot import Snapshot
from .._model.state import RunState
from ..errors import SnapshotRejectedError
from .carrying import Carrying
from .freezing import Freezing
from .heap import Heap
from .heap_source import HeapSource
from .writes import Writes, foreign_errors

__all__ = ("Custody",)


@final
class Custody:
    """Has the heap of one run, or none."""

    def __init__(self, run_id: RunId, shared: Carrying, writes: Writes) -> None:
        self.heap: Heap | None = None
        self.record: RunRecord | None = None  # as it was when it was last read
        self.frozen: Snapshot | None = None  # of an earlier turn, to be kept with the next
        self.unseen = False  # the log holds events that were not read here
        self._run_id = run_id
        self._shared = shared
        self._writes = writes
        self._source = HeapSource(run_id, shared)
        self._to_freeze: asyncio.Handle | None = None  # begins that once steps are under way
        self._freezing: Freezing | None = None  # which has the heap

    def __repr__(self) -> str:
        return f"<Custody of {self.heap!r}>"

    @property
    def is_lent(self) -> bool:
        """Whether a VM thread has the heap, to freeze it."""
        return self._freezing is not None

    async def begin(self, new: NewRun) -> Sequence[LoggedEvent]:
        """Have the heap of a run that is not in the world yet; gives its log."""
        self.record = record = fresh_record(new)
        baseline = await self._shared.baselines.get(record)
        self.heap = Heap(baseline, record, limits=self._shared.limits)
        return [LoggedEvent(position=1, event=created_event(new))]

    async def load(self, *, wary: bool = False) -> Sequence[LoggedEvent]:
        """Have the run's heap, unless the run has ended; gives the log above what it consumed.

        Args:
            wary: use no snapshot, since turns of the run came to nothing.
        """
        shared = self._shared
        heap = self.heap or shared.warm.take(self._run_id)
        self.heap, self.unseen = heap, False
        state = await self._read(None if heap is None else heap.cursor.consumed)
        if heap is not None and heap.cursor.turn != state.record.turn:
            self.discard()  # another worker carried the run on
            heap = None
            state = await self._read(None)
        self.record = state.record
        if state.record.status.is_ended:
            self.discard()
            return ()
        if heap is None:
            heap = self.heap = await self._source.thaw(state, wary=wary)
            if state.chain and not heap.cursor.consumed:  # the chain was refused
                return await self._source.read_log()
        return state.events

    async def _read(self, after: int | None) -> RunState:
        world = self._shared.world
        with foreign_errors(world):
            return await world.storage.load_run(self._run_id, after=after)

    async def rebuild(self, reason: SnapshotRejectedError) -> Sequence[LoggedEvent]:
        """Have a heap from the log alone, since the snapshot's was found wrong; gives the log."""
        self.discard()
        self.record = record = await self._shared.world.storage.get_run(self._run_id)
        self.heap = await self._source.rebuild(record, reason)
        return await self._source.read_log()

    def advance(self, commit: TurnCommit, committed: Committed) -> None:
        """The heap's turn has landed."""
        heap = self.heap
        assert heap is not None
        heap.land(committed)
        if committed.first_position != commit.expected_position + 1 or committed.conflicts:
            self.unseen = True
        self.frozen = None
        if commit.outcome is not None:
            self.heap = None  # its thread closes it

    # --- frozen while steps run -------------------------------------------------------------------

    def freeze_soon(self, commit_id: str) -> None:
        """Lend the heap to a VM thread once the loop has done what it is about to do."""
        loop = asyncio.get_running_loop()
        self._to_freeze = loop.call_soon(self._freeze, commit_id)

    def _freeze(self, commit_id: str) -> None:
        shared, self._to_freeze = self._shared, None
        assert self.heap is not None
        self._freezing = Freezing(self.heap, shared.pool, commit_id=commit_id, key=shared.key)

    def forgo_freezing(self) -> bool:
        """Whether the heap was to be lent and, as it is needed now, will not be."""
        handle, self._to_freeze = self._to_freeze, None
        if handle is not None:
            handle.cancel()
        return handle is not None

    async def collect(self) -> None:
        """Have the heap back if it is lent, and its snapshot for the next commit."""
        freezing, self._freezing = self._freezing, None
        if freezing is None:
            return
        snapshot = await freezing.wait()
        if self.heap is not None and self.heap.chains:  # the next one may build on it
            await self._writes.save(snapshot)
        else:
            self.frozen = snapshot

    # --- where it goes ----------------------------------------------------------------------------

    async def put_away(self) -> None:
        """Keep the heap warm, and a snapshot of it if its last turn left none."""
        self.forgo_freezing()
        await self.collect()
        heap = self.heap
        if heap is None:
            return
        cursor = heap.cursor
        if cursor.snapshot_turn < cursor.turn and cursor.consumed == cursor.recorded:
            key = self._shared.key
            self.frozen = await self._shared.pool.run(lambda: heap.freeze(commit_id="", key=key))
        if self.frozen is not None:
            await self._writes.save(self.frozen)
            self.frozen = None
        self.heap = None  # whoever cancels before this line has it closed
        self._shared.warm.put(heap)

    def discard(self) -> None:
        """Have no heap any more. Idempotent."""
        self.forgo_freezing()
        freezing, self._freezing = self._freezing, None
        heap, self.heap = self.heap, None
        self.frozen = None
        if freezing is not None:
            freezing.leave()  # which closes it
        elif heap is not None:
            heap.close()
