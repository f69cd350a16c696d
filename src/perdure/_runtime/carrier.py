"""Carrier: one run in this worker, from a wake until nothing of it is running here.

It takes turns one after another: a turn is delivered and planned in a VM thread and posted from
there to the world's writer; the steps that came back leased run here, and their results go into
the next turn without a write of their own. A task that has run a step goes on to take the turn
with its result, and then runs a step which that turn started, so a sequence needs one task. What
goes wrong discards the heap, appends results that exist under their keys, and lets the run be
woken: nothing is lost, at worst repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any, final

from .._core.landing import created_event, fresh_record
from .._model.commands import Interrupted
from .._model.commit import Committed
from .._model.events import LoggedEvent
from .._model.ids import EntityId, RunId
from .._model.queue import Message, MessageClaim, WakeClaim
from .._model.runs import NewRun, RunOutcome, RunRecord
from .._model.snapshot import Snapshot
from ..errors import (
    GuestError,
    LeaseLostError,
    PerdureError,
    RunEndedError,
    SnapshotRejectedError,
    StaleTurnError,
    WorldError,
)
from .carrying import Carrying
from .freezing import Freezing
from .giving_up import MAX_FRUITLESS, MAX_INTERRUPTED, MAX_LOST, fruitless
from .heap import Heap
from .heap_source import HeapSource
from .slots import TakenSlots
from .turn_handler import StepResult, Taken, Turn, TurnInput
from .turn_thread import take_in_thread
from .writes import Writes

__all__ = ("Carrier",)

_log = logging.getLogger("perdure")
_PARKED_MS = 30_000  # a run whose bundle is missing is looked at again after this long
_FIRST_TURN_DEADLINE = 0.1  # seconds; one that takes longer is not waited for by ``start``


@final
class Carrier:
    """Carries one run."""

    def __init__(self, run_id: RunId, shared: Carrying) -> None:
        self.run_id = run_id
        self.in_flight: set[EntityId] = set()  # steps that are running here
        self._shared = shared
        self._source = HeapSource(run_id, shared)
        self._writes = Writes(run_id, shared.world)
        self._claims: list[WakeClaim] = []
        self._results: list[StepResult] = []
        self._ready: deque[MessageClaim] = deque()  # steps in flight that no task runs yet
        self._watched: asyncio.Future[RunOutcome | None] | None = None
        self._tasks = 0  # that carry this run
        self._turning = False  # one of them takes turns
        self._heap: Heap | None = None
        self._to_freeze: asyncio.Handle | None = None  # begins that once steps are under way
        self._freezing: Freezing | None = None  # which has the heap
        self._frozen: Snapshot | None = None  # of an earlier turn, to be kept with the next
        self._unseen = False  # the log holds events that this carrier has not read
        self._record: RunRecord | None = None

    def __repr__(self) -> str:
        return f"<Carrier of {self.run_id}, {len(self.in_flight)} steps in flight>"

    def wake(self, claim: WakeClaim) -> None:
        """Have the run looked at."""
        self._claims.append(claim)
        if not self._turning:
            self._add_task(None)

    def finished(self, entity: EntityId, result: StepResult | None) -> None:
        """A step that ran here has ended; without a result it goes on elsewhere, or later."""
        self.in_flight.discard(entity)
        if result is None:
            self._unseen = True
        else:
            self._results.append(result)

    def watch(self) -> asyncio.Future[RunOutcome | None]:
        """The run's outcome, once it has landed; None once the run is not carried here any more."""
        if self._watched is None:  # one for all who wait, however often they ask
            self._watched = asyncio.get_running_loop().create_future()
        return self._watched

    async def carry(self, step: MessageClaim | None = None) -> None:
        """Run *step*, take the turns there are to take, and so on; returns when others do that.

        The last task to leave finds the run put away.
        """
        try:
            while True:
                if step is not None:
                    await self._shared.run_step(self, step)
                if self._turning:
                    return
                await self._take_turns()
                if not self._ready:
                    return
                step = self._ready.popleft()
                self._spread()
        finally:
            self._release_task()

    async def _take_turns(self) -> None:
        """Take turns until nothing more is known of the run; put it away if nothing runs here."""
        self._turning = True
        try:
            if self._results and self.in_flight and not self._claims:
                await asyncio.sleep(0)  # steps that end at once share a turn
            while True:
                if self._claims or self._results:
                    await self._advance()
                elif self.in_flight or self._heap is None:
                    return
                else:
                    await self._put_away()
        finally:
            self._turning = False

    def _spread(self) -> None:
        """Have other tasks run the steps that are ready."""
        while self._ready:
            self._add_task(self._ready.popleft())

    def _add_task(self, step: MessageClaim | None) -> None:
        self._tasks += 1
        self._shared.spawn(self, step)

    def _release_task(self) -> None:
        self._tasks -= 1
        if not self._tasks:
            self._leave()

    def _leave(self) -> None:
        """Keep nothing of the run: it is put away, or was cancelled on the way."""
        self._discard()
        for claim in self._ready:
            self._shared.drop_step(claim)
        self._tell(None)
        self._shared.forget(self)

    def _tell(self, outcome: RunOutcome | None) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            watched.set_result(outcome)

    def begin(self, new: NewRun, told: Callable[[bool], None]) -> Coroutine[Any, Any, None]:
        """Create the run and commit its first turn in one write, then carry it on.

        *told* hears whether it is durable; if not, nothing is lost by creating it without a turn.
        """
        self._turning = True  # from now on: a claim that comes meanwhile waits
        self._tasks += 1
        return self._begin(new, told)

    async def _begin(self, new: NewRun, told: Callable[[bool], None]) -> None:
        try:
            try:
                taken = await self._take_first_turn(new)
                told(taken is not None)
                if taken is not None and taken.prints:
                    await self._write_console(taken)
            finally:
                self._turning = False
            self._tasks += 1
            await self.carry()
        finally:
            self._release_task()

    async def _take_first_turn(self, new: NewRun) -> Turn | None:
        """The first turn, landed; None if that did not go well."""
        self._record = record = fresh_record(new)
        created = LoggedEvent(position=1, event=created_event(new))
        try:
            baseline = await self._shared.baselines.get(record)
            self._heap = Heap(baseline, record, limits=self._shared.limits)
            taken = await self._take(self._given([created], new=new), _FIRST_TURN_DEADLINE)
        except Exception as exc:
            level = logging.DEBUG if isinstance(exc, WorldError) else logging.WARNING
            _log.log(level, "run %s: its first turn waits for a claim: %r", self.run_id, exc)
        else:
            if isinstance(taken, Turn):
                return taken
        self._discard()
        return None

    # --- one turn -----------------------------------------------------------------------------

    async def _advance(self) -> None:
        claims, self._claims = self._claims, []
        results, self._results = self._results, []
        claim = claims[-1] if claims else None  # a later claim of ours replaces what ran out
        turn: Turn | None = None
        freeze = self._forgo_freezing()
        try:
            if self._freezing is not None:
                await self._collect_frozen(self._freezing)
            if results and self._heap is not None and self._has_steps_elsewhere(results):
                await self._append_all(results)
                results = []
            if claim is None and not results:
                return
            turn = await self._take_turn(claim, results, freeze=freeze)
        except (StaleTurnError, LeaseLostError) as exc:
            _log.debug("run %s: %s", self.run_id, exc)
            self._shared.tally.stale += 1
            await self._abandon(claim, results, delay_ms=0)
        except RunEndedError:
            await self._abandon(claim, (), delay_ms=0)
        except WorldError as exc:
            _log.warning("run %s: %s; it is tried again", self.run_id, exc)
            delay_ms = _PARKED_MS if not exc.retryable else 1000
            await self._abandon(claim, results, delay_ms=delay_ms)
        except Exception as exc:
            _log.exception("run %s: a turn failed; it is tried again", self.run_id)
            await self._fail_turn(claim, results, fruitless(self.run_id, claim, exc))
        finally:
            for ended in claims:
                self._shared.let_go(ended.lease)
        if turn is not None and turn.prints:
            await self._write_console(turn)

    async def _take_turn(
        self, claim: WakeClaim | None, results: list[StepResult], *, freeze: bool
    ) -> Turn | None:
        if claim is not None and claim.attempt > MAX_LOST:  # those who tried did not live
            await self._fail_turn(claim, results, fruitless(self.run_id, claim, None))
            return None
        events: Sequence[LoggedEvent] = ()
        if claim is not None or self._unseen or self._heap is None:
            events = await self._load()
        if self._heap is None:
            await self._writes.give_back(claim, 0)  # the run has ended
            return None
        given = self._given(events, results=results, claim=claim, freeze=freeze)
        taken = await self._take(given, self._shared.turn_deadline)
        if isinstance(taken, Turn):
            return taken
        if isinstance(taken, Interrupted):
            await self._interrupted(claim, results)
        elif claim is not None:
            await self._writes.finish(claim, taken.next_due_ms)
        return None

    def _given(
        self,
        events: Sequence[LoggedEvent],
        *,
        results: Sequence[StepResult] = (),
        claim: WakeClaim | None = None,
        new: NewRun | None = None,
        freeze: bool = False,
    ) -> TurnInput:
        shared, record = self._shared, self._record
        assert record is not None
        slots = TakenSlots(shared.slots)
        return TurnInput(
            commit_id=f"{shared.name}-{next(shared.commits)}",
            events=events,
            results=results,
            claim=claim,
            new=new,
            now_ms=shared.world.now_ms(),
            busy=bool(self.in_flight or self._results),
            snapshot_lag=shared.snapshot_lag,
            frozen=self._frozen,
            freeze=freeze,
            key=shared.key,
            slots=slots,
            route=lambda command: shared.route(record, command, slots),
        )

    async def _take(self, given: TurnInput, deadline: float) -> Taken:
        """Take a turn and land it; a heap whose snapshot was wrong is made from the log first."""
        heap, shared = self._heap, self._shared
        assert heap is not None
        try:
            try:
                posted = await take_in_thread(shared, heap, given, deadline=deadline)
            except SnapshotRejectedError as exc:
                self._discard()
                assert self._record is not None
                heap = self._heap = await self._source.rebuild(self._record, exc)
                given = replace(given, events=await self._source.read_log(), frozen=None)
                posted = await take_in_thread(shared, heap, given, deadline=deadline)
            if isinstance(posted.taken, Turn):
                committed = posted.committed or await self._writes.commit(posted.taken.commit)
                self._landed(heap, posted.taken, committed, given.slots)
            return posted.taken
        finally:
            given.slots.give_back()

    async def _load(self) -> Sequence[LoggedEvent]:
        """Have the run's heap, unless the run has ended; gives the log above what it consumed."""
        shared = self._shared
        heap = self._heap or shared.warm.take(self.run_id)
        self._heap, self._unseen = heap, False
        storage = shared.world.storage
        state = await storage.load_run(self.run_id, after=None if heap is None else heap.consumed)
        if heap is not None and heap.turn != state.record.turn:
            self._discard()  # another worker carried the run on
            heap = None
            state = await storage.load_run(self.run_id)
        self._record = state.record
        if state.record.status.is_ended:
            self._discard()
            return ()
        if heap is None:
            heap = self._heap = await self._source.thaw(state)
            if state.chain and not heap.consumed:  # the chain was refused
                return await self._source.read_log()
        return state.events

    def _landed(self, heap: Heap, turn: Turn, committed: Committed, slots: TakenSlots) -> None:
        shared, commit = self._shared, turn.commit
        shared.tally.turns += 1
        shared.failed.pop(self.run_id, None)
        if commit.snapshot is not None:
            shared.tally.snapshots += 1
            shared.tally.snapshot_bytes += len(commit.snapshot.data)
        heap.turn, heap.recorded = committed.turn, commit.consumed
        heap.position = committed.position
        if committed.first_position != commit.expected_position + 1 or committed.conflicts:
            self._unseen = True
        self._frozen = None
        self._start_steps(turn, committed, slots)
        if commit.outcome is not None:
            self._heap = None  # its thread closes it
            self._tell(commit.outcome)
            return
        overdue = heap.lags(heap.turn, allowed=shared.snapshot_lag)
        if overdue and self.in_flight and not heap.chains:
            loop = asyncio.get_running_loop()
            self._to_freeze = loop.call_soon(self._freeze, heap, commit.commit_id)

    def _freeze(self, heap: Heap, commit_id: str) -> None:
        shared, self._to_freeze = self._shared, None
        self._freezing = Freezing(heap, shared.pool, commit_id=commit_id, key=shared.key)

    def _start_steps(self, turn: Turn, committed: Committed, slots: TakenSlots) -> None:
        sent = {message.message_id: message for message in turn.commit.messages}
        entities = {f"{self.run_id}/{command.id}": command.id for command in turn.inline}
        for lease in committed.leases:  # a message that was sent before has none
            new = sent[lease.item]
            message = Message(
                message_id=new.message_id, run_id=self.run_id, topic=new.topic, body=new.body
            )
            self.in_flight.add(entities[lease.item])
            slots.hand_on()
            self._shared.hold(lease)
            self._ready.append(
                MessageClaim(message=message, lease=lease, attempt=1, lost=0, returned=0)
            )

    async def _write_console(self, turn: Turn) -> None:
        self._spread()  # no step waits for what was printed before it
        await self._writes.write_console(turn)

    # --- when it does not go well ----------------------------------------------------------------

    def _has_steps_elsewhere(self, results: Iterable[StepResult]) -> bool:
        """Whether other workers may append to the log: then results are not kept back."""
        assert self._heap is not None
        here = self.in_flight | {r.event.entity for r in (*results, *self._results)}
        return bool(self._heap.ledger.steps.keys() - here)

    async def _append_all(self, results: Iterable[StepResult]) -> None:
        await self._writes.append_all(results)
        self._unseen = True

    async def _abandon(
        self, claim: WakeClaim | None, results: Iterable[StepResult], *, delay_ms: int
    ) -> None:
        """Give the turn up: results are kept under their keys, the claim is given back."""
        self._discard()
        await self._append_all(results)
        await self._writes.give_back(claim, delay_ms)

    async def _interrupted(self, claim: WakeClaim | None, results: list[StepResult]) -> None:
        _log.warning("run %s: a turn passed the deadline; it is tried again", self.run_id)
        error = GuestError(
            name="TurnDeadlineError",
            message=f"a turn took more than {self._shared.turn_deadline} s, several times over",
        )
        await self._fail_turn(claim, results, error, budget=MAX_INTERRUPTED)

    async def _fail_turn(
        self,
        claim: WakeClaim | None,
        results: Iterable[StepResult],
        error: PerdureError,
        *,
        budget: int = MAX_FRUITLESS,
    ) -> None:
        """Give the turn up; the run is tried again later, or, past its budget, fails for good."""
        self._discard()
        await self._append_all(results)  # which wakes the run
        if claim is None:
            return
        failed = self._shared.failed
        failed[self.run_id] += 1  # by this worker: those that were lost are no sign against a run
        if failed[self.run_id] < budget and claim.attempt <= MAX_LOST:
            delay_ms = min(1000 * 2 ** (failed[self.run_id] - 1), 60_000)
            await self._writes.give_back(claim, delay_ms, ran=True)
            return
        del failed[self.run_id]
        outcome = await self._writes.fail_run(claim, error)
        if outcome is not None:
            self._tell(outcome)

    def _forgo_freezing(self) -> bool:
        """Whether the steps ended so soon that their turn's heap was not even begun to freeze."""
        handle, self._to_freeze = self._to_freeze, None
        if handle is not None:
            handle.cancel()
        return handle is not None

    async def _collect_frozen(self, freezing: Freezing) -> None:
        """Have the heap back, and its snapshot for the next commit."""
        self._freezing = None
        snapshot = await freezing.wait()
        if self._heap is not None and self._heap.chains:  # the next one may build on it
            await self._writes.save(snapshot)
        else:
            self._frozen = snapshot

    async def _put_away(self) -> None:
        """Keep the heap warm, and a snapshot of it if its last turn left none."""
        self._forgo_freezing()
        if self._freezing is not None:
            await self._collect_frozen(self._freezing)
        heap = self._heap
        if heap is None:
            return
        if heap.snapshot_turn < heap.turn and heap.consumed == heap.recorded:
            key = self._shared.key
            self._frozen = await self._shared.pool.run(
                lambda: heap.freeze(turn=heap.turn, consumed=heap.consumed, commit_id="", key=key)
            )
        if self._frozen is not None:
            await self._writes.save(self._frozen)
            self._frozen = None
        self._heap = None  # whoever cancels before this line has it closed
        self._shared.warm.put(heap)

    def _discard(self) -> None:
        self._forgo_freezing()
        freezing, self._freezing = self._freezing, None
        heap, self._heap = self._heap, None
        self._frozen = None
        if freezing is not None:
            freezing.leave()  # which closes it
        elif heap is not None:
            heap.close()
