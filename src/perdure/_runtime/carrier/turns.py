"""Turns: taking the turns of one run, and the steps that come of them.

One at a time: a turn is delivered and planned in a VM thread and posted from there to the world's
writer; steps that it started are running here once it has landed. An error is raised, and leaves
the run as it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from typing import TypeAlias, final

from ..._model.commands import ScheduleStep
from ..._model.commit import Committed
from ..._model.constructors import make_claim, make_message
from ..._model.events import LoggedEvent
from ..._model.ids import EntityId, RunId
from ..._model.queue import Lease, MessageClaim, NewMessage, WakeClaim
from ..._model.runs import NewRun, RunRecord
from ..._vm.watch import StoppedError, StopReason, Watch
from ...errors import SnapshotRejectedError, WorldError
from ..aborts import tell_aborts
from ..containment import ends_worker
from ..log_fields import of_run
from ..slots import TakenSlots
from ..worker.step_call import StepCall, make_call
from .custody import Custody
from .equipment import Carrying
from .giving_up import MAX_FRUITLESS
from .heap import Heap
from .turn import Idle, StepResult, Turn, TurnInput, make_input
from .turn_thread import take_in_thread
from .writes import Writes

__all__ = ("Turns",)

# A step that has a lease here and has not begun. Of thousands each becomes a claim when it begins.
Ready: TypeAlias = "tuple[Lease, NewMessage, ScheduleStep, RunRecord]"

_log = logging.getLogger("perdure")
_ENTITY = attrgetter("event.entity")  # of a result
_AT_ONCE = 1000  # steps that are made ready before others have a turn: 1 ms


@final
class Turns:
    """The turns of one run, and its steps here."""

    def __init__(self, run_id: RunId, shared: Carrying, writes: Writes, custody: Custody) -> None:
        self.in_flight: set[EntityId] = set()  # steps that are running here
        self.ready: deque[Ready] = deque()  # of these, what has not begun
        self.results: list[StepResult] = []  # of steps that ended, for the next turn
        self._run_id = run_id
        self._shared = shared
        self._writes = writes
        self._custody = custody

    def __repr__(self) -> str:
        return f"<Turns of {self._run_id}, {len(self.in_flight)} steps in flight>"

    def finished(self, claim: MessageClaim, result: StepResult | None) -> None:
        """A step that ran here has ended; without a result it goes on elsewhere, or later."""
        self.in_flight.discard(_entity_of(claim))
        if result is None:
            self._custody.expect_events()
        else:
            self.results.append(result)

    def has_steps_elsewhere(self, heap: Heap, results: Iterable[StepResult]) -> bool:
        """Whether other workers may append to the log: then *results* must not be kept back."""
        others = heap.ledger.steps.keys() - map(_ENTITY, results)
        return bool(others and others.difference(self.in_flight, map(_ENTITY, self.results)))

    async def take_first(self, new: NewRun) -> Turn | None:
        """Create the run and take its first turn, in one write; None if that did not go well."""
        try:
            heap, log = await self._custody.begin(new)
            turn = await self._take(heap, self._given(log, new=new), self._shared.timing.first_turn)
        except StoppedError as exc:
            self._shared.slow.note(self._run_id)
            _log.debug(
                "run %s: its first turn waits for a claim: %s",
                self._run_id,
                exc,
                extra=of_run(self._run_id),
            )
        except BaseException as exc:
            if ends_worker(exc):
                raise
            level = logging.DEBUG if isinstance(exc, WorldError) else logging.WARNING
            _log.log(
                level,
                "run %s: its first turn waits for a claim: %r",
                self._run_id,
                exc,
                extra=of_run(self._run_id),
            )
        else:
            if isinstance(turn, Turn):
                return turn
        self._custody.discard()
        return None

    async def take(self, claim: WakeClaim | None, results: list[StepResult]) -> Turn | None:
        """Take the turn that *results* and the log make, and land it; None if there is none.

        Args:
            claim: the one that this turn ends; with it the log is read first.

        Raises:
            StaleTurnError: another worker was faster.
            RunEndedError: the run has ended meanwhile.
            StoppedError: the guest was stopped, or there is no room for one that was before.
            WorldError: the world failed; the turn has not landed.
        """
        shared, heap = self._shared, self._custody.current_heap
        if self._run_id in shared.slow.refusals and shared.pool.is_crowded:
            raise StoppedError(StopReason.CROWDED)
        events: Sequence[LoggedEvent] = ()
        if claim is not None or heap is None:
            heap, events = await self._custody.load(wary=self._is_wary(claim))
        if heap is None:
            await self._writes.give_back(None if claim is None else claim.lease, 0)  # it has ended
            return None
        turn_input = self._given(events, results=results, claim=claim)
        turn = await self._take(heap, turn_input, shared.turn_deadline)
        if isinstance(turn, Turn):
            return turn
        if claim is not None:
            await self._writes.finish(claim, turn.next_due_ms)
        return None

    def _is_wary(self, claim: WakeClaim | None) -> bool:
        """Whether the run's snapshot may be why its turns come to nothing.

        Every other try, since the log alone may take longer than a turn may.
        """
        losses = claim.fruitless_claims - MAX_FRUITLESS if claim is not None else 0
        tries = max(losses, self._shared.failed.get(self._run_id, 0))
        return tries % 2 == 1

    def _given(
        self,
        events: Sequence[LoggedEvent],
        *,
        results: Sequence[StepResult] = (),
        claim: WakeClaim | None = None,
        new: NewRun | None = None,
    ) -> TurnInput:
        shared = self._shared
        return make_input(
            commit_id=f"{shared.name}-{next(shared.commits)}",
            events=events,
            results=results,
            claim=claim,
            new=new,
            now_ms=shared.world.now_ms(),
            busy=bool(self.in_flight or self.results),
            snapshot_lag=shared.snapshot_lag,
            key=shared.key,
            routing=shared.routing,
            slots=TakenSlots(shared.slots),
        )

    async def _take(self, heap: Heap, turn_input: TurnInput, deadline: float) -> Turn | Idle:
        """Take a turn and land it; a heap whose snapshot was wrong is made from the log first."""
        shared = self._shared
        watch = shared.leases.watches[self._run_id] = Watch(deadline)
        try:
            try:
                posted = await take_in_thread(shared, heap, turn_input, watch)
            except SnapshotRejectedError as exc:
                heap, log = await self._custody.rebuild(exc)
                watch = shared.leases.watches[self._run_id] = Watch(deadline)
                posted = await take_in_thread(shared, heap, replace(turn_input, events=log), watch)
            turn, committed = posted
            if isinstance(turn, Turn):
                committed = committed or await self._writes.commit(turn.commit)
                self._landed(heap, turn, committed)
                if len(committed.leases) > _AT_ONCE:
                    await self._start_many(heap.record, turn, committed, turn_input.slots)
                elif committed.leases:
                    leases = committed.leases
                    self._start_steps(heap.record, leases, _messages(turn), turn_input.slots)
            return turn
        finally:
            del shared.leases.watches[self._run_id]
            turn_input.slots.give_back()

    def _landed(self, heap: Heap, turn: Turn, committed: Committed) -> None:
        shared, commit = self._shared, turn.commit
        shared.tally.turns += 1
        shared.failed.pop(self._run_id, None)
        if self._run_id in shared.slow.refusals:
            shared.slow.forget(self._run_id)
        if commit.snapshot is not None:
            shared.tally.snapshots += 1
            shared.tally.snapshot_bytes += len(commit.snapshot.data)
        heap.land(committed)
        if (
            committed.first_position != commit.expected_position + 1
            or committed.conflicts
            or turn.has_news
            or commit.starts  # the world may have answered in the log
            or commit.watches
        ):
            self._custody.expect_events()
        if turn.has_aborts:
            tell_aborts(self._run_id, commit.events)
        if commit.outcome is not None:
            self._custody.release()
        if turn.defers_snapshot and (self.in_flight or committed.leases):
            self._custody.freeze_soon(commit.commit_id)

    def _start_steps(
        self,
        record: RunRecord,
        leases: Sequence[Lease],
        messages: Iterator[tuple[NewMessage, ScheduleStep]],
        slots: TakenSlots,
    ) -> None:
        """Have steps ready: those whose message has a lease, which come in the order sent."""
        in_flight, ready, hold = self.in_flight, self.ready, self._shared.leases.hold
        for lease in leases:
            new, command = next(messages)
            while new.message_id != lease.item:  # it was sent before, and has none
                new, command = next(messages)
            in_flight.add(command.id)
            hold(lease)
            ready.append((lease, new, command, record))
        slots.hand_on(len(leases))

    async def _start_many(
        self, record: RunRecord, turn: Turn, committed: Committed, slots: TakenSlots
    ) -> None:
        """Likewise thousands, with pauses for all else in the loop."""
        messages, rest = _messages(turn), iter(committed.leases)
        try:
            while some := tuple(islice(rest, _AT_ONCE)):
                self._start_steps(record, some, messages, slots)
                await asyncio.sleep(0)
        finally:  # also those of a worker that ends, which gives back what is ready
            self._start_steps(record, tuple(rest), messages, slots)

    def next_step(self) -> tuple[MessageClaim, StepCall]:
        """The first that is ready, which is ready no more."""
        lease, new, command, record = self.ready.popleft()
        message = make_message(
            message_id=new.message_id, run_id=self._run_id, topic=new.topic, body=new.body
        )
        call = make_call(
            entity=command.id,
            step=command.step,
            args=command.args,
            workflow=record.workflow,
            run_started_ms=record.created_at_ms,
            base_url=record.base_url,
            created_ms=new.due_ms,
            bundle=record.bundle,
            is_cleanup=record.cancel_at_ms is not None,
        )
        claim = make_claim(message=message, lease=lease, claims=1, losses=0, returned=0)
        return claim, call


def _messages(turn: Turn) -> Iterator[tuple[NewMessage, ScheduleStep]]:
    """The messages that ask for a lease, and their steps."""
    leased = (new for new in turn.commit.messages if new.lease_ms is not None)
    return zip(leased, turn.inline, strict=True)


def _entity_of(claim: MessageClaim) -> EntityId:
    return EntityId(claim.message.message_id.removeprefix(f"{claim.message.run_id}/"))
