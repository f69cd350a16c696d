"""One turn of a run: wake it, deliver what is new, commit what follows, put it away.

The heap comes from the newest snapshot that passes its checks, else from the log. Any failure
discards the VM; the log stays the truth. A turn that loses the race for its turn number leaves
nothing behind and is tried again by whoever claims the run next.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

from .._core.ledger import Ledger
from .._core.turn import StepRoute, TurnPlan, TurnRequest, check_repeated, plan_turn, wait_completed
from .._model.commands import Answer, Interrupted, ScheduleStep
from .._model.commit import TurnCommit
from .._model.events import DELIVERED, Event, EventType, LoggedEvent
from .._model.ids import EntityId
from .._model.queue import LeaseEnd, WakeClaim
from .._model.runs import RunRecord
from .._model.snapshot import Snapshot
from .._protocol.codec import encode
from .._protocol.frames import GuestDelivery, Limits, StartFrame
from .._protocol.snapshot_format import (
    SnapshotHeader,
    decode_ledger,
    decode_snapshot,
    encode_ledger,
    encode_snapshot,
)
from .._vm.guest import GuestEngine
from .._vm.image import Baseline
from .._vm.instance import Instance
from .._vm.lineage import Lineage
from .._vm.pool import VmPool
from ..abc import World
from ..errors import GuestError, SnapshotRejectedError
from .registry import topic_of
from .step_handler import StepCall

__all__ = ("TurnHandler",)

_log = logging.getLogger("perdure")
_PAGE = 1000


@dataclass(slots=True, kw_only=True)
class _Heap:
    """A run's VM and what is known beside it."""

    instance: Instance | None
    ledger: Ledger
    baseline: Baseline
    lineage: Lineage
    consumed: int  # position delivered through


@final
@dataclass(slots=True, kw_only=True)
class TurnHandler:
    """Carries out turns for one worker."""

    world: World
    engine: GuestEngine
    pool: VmPool
    queue_of: Callable[[str], str]  # step id -> queue name
    limits: Limits = field(default_factory=Limits)
    baselines: dict[str, Baseline] = field(default_factory=dict[str, Baseline])
    turns: int = 0
    rebuilt: int = 0  # heaps made from the log although a snapshot was there

    async def handle(self, claim: WakeClaim) -> None:
        """Do the turn a wake asks for, and end the claim."""
        world = self.world
        record = await world.storage.get_run(claim.run_id)
        baseline = await self._baseline(record)
        chain = await world.snapshots.load(claim.run_id)
        after = chain[-1].consumed if chain else 0
        events = await self._events(record, after)
        now_ms = world.now_ms()
        commit, answer = await self.pool.run(
            lambda: self._turn(record, baseline, chain, events, now_ms, claim)
        )
        if commit is None:
            await world.queue.finish(
                LeaseEnd(lease=claim.lease, generation=claim.generation, next_due_ms=answer)
            )
            return
        await world.storage.commit(commit)
        self.turns += 1

    async def _baseline(self, record: RunRecord) -> Baseline:
        found = self.baselines.get(record.bundle)
        if found is None:
            data = await self.world.blobs.get(record.bundle)
            found = await self.pool.run(lambda: Baseline.build(self.engine, data))
            self.baselines[record.bundle] = found
        return found

    async def _events(self, record: RunRecord, after: int) -> list[LoggedEvent]:
        events: list[LoggedEvent] = []
        while True:
            page = await self.world.storage.read_events(record.run_id, after=after, limit=_PAGE)
            events.extend(page)
            if len(page) < _PAGE:
                return events
            after = page[-1].position

    # --- in a VM thread ---------------------------------------------------------------------

    def _turn(
        self,
        record: RunRecord,
        baseline: Baseline,
        chain: Sequence[Snapshot],
        events: list[LoggedEvent],
        now_ms: int,
        claim: WakeClaim,
    ) -> tuple[TurnCommit | None, int | None]:
        heap = self._thaw(record, baseline, chain)
        last = events[-1].position if events else record.position
        try:
            told = [e for e in events if e.event.type in DELIVERED and e.position > heap.consumed]
            inline = self._due(heap, told, now_ms, last)
            if not told and not inline:
                return None, heap.ledger.next_due_ms()
            recorded = {e.event.key: e.event for e in events}
            answers = self._deliver(record, heap, told, inline)
            return self._commit(record, heap, answers, inline, last, now_ms, claim, recorded), None
        finally:
            if heap.instance is not None:
                heap.instance.close()

    def _thaw(self, record: RunRecord, baseline: Baseline, chain: Sequence[Snapshot]) -> _Heap:
        fresh = _Heap(
            instance=None,
            ledger=Ledger.empty(),
            baseline=baseline,
            lineage=Lineage(baseline),
            consumed=0,
        )
        if not chain:
            return fresh
        try:
            parts = [decode_snapshot(s.data, key=None) for s in chain]
            header = parts[-1][0]
            if header.run_id != record.run_id or header.baseline != baseline.digest:
                raise SnapshotRejectedError("it is of another run or baseline")
            deltas = [delta for _, _, delta in parts]
            instance = baseline.thaw(deltas)
            steps, waits, hooks, digest = decode_ledger(parts[-1][1])
            ledger = Ledger(steps=steps, waits=waits, hooks=hooks, digest=digest)
            lineage = Lineage.resume(baseline, instance, turn=header.turn, deltas=deltas)
            return _Heap(
                instance=instance,
                ledger=ledger,
                baseline=baseline,
                lineage=lineage,
                consumed=header.consumed,
            )
        except SnapshotRejectedError as exc:
            _log.warning("run %s: %s; rebuilding from its log", record.run_id, exc)
            self.rebuilt += 1
            return fresh

    def _due(
        self, heap: _Heap, told: list[LoggedEvent], now_ms: int, last: int
    ) -> list[LoggedEvent]:
        done = {e.event.entity for e in told}
        return [
            LoggedEvent(position=last + n, event=wait_completed(entity, resume_at_ms=at, now_ms=now_ms))
            for n, (entity, at) in enumerate(
                ((e, at) for e, at in heap.ledger.due_waits(now_ms) if e not in done), start=1
            )
        ]

    def _deliver(
        self,
        record: RunRecord,
        heap: _Heap,
        told: list[LoggedEvent],
        inline: list[LoggedEvent],
    ) -> list[Answer]:
        answers: list[Answer] = []
        queue = [*told, *inline]
        if heap.instance is None:
            first = queue.pop(0).event
            heap.instance = heap.baseline.instantiate()
            answers.append(heap.instance.start(self._start_frame(record, first)))
            heap.ledger.deliver(first)
        if queue and (not answers or answers[-1].outcome is None):
            answers.append(heap.instance.resume([_as_delivery(e) for e in queue]))
            for logged in queue:
                heap.ledger.deliver(logged.event)
        return answers

    def _start_frame(self, record: RunRecord, created: Event) -> StartFrame:
        return StartFrame(
            run_id=record.run_id,
            workflow=record.workflow,
            seed=hashlib.sha256(record.run_id.encode()).digest(),
            at_ms=created.at_ms,
            input=created.payload or b"\x80",
            limits=self.limits,
        )

    def _commit(
        self,
        record: RunRecord,
        heap: _Heap,
        answers: list[Answer],
        inline: list[LoggedEvent],
        last: int,
        now_ms: int,
        claim: WakeClaim,
        recorded: dict[str, Event],
    ) -> TurnCommit:
        outputs = tuple(turn for answer in answers for turn in answer.turns)
        repeated = [o for o in outputs if o.position <= record.consumed]
        commands = [c for o in repeated for c in o.commands]
        check_repeated(record.run_id, commands, recorded)
        heap.ledger.note(commands)
        final = answers[-1]
        joined = Answer(
            turns=outputs,
            consumed=final.consumed,
            outcome=final.outcome,
            unhandled=final.unhandled,
            instructions=final.instructions,
            heap_bytes=final.heap_bytes,
            clock_ms=final.clock_ms,
            open=final.open,
        )
        request = TurnRequest(
            run_id=record.run_id,
            now_ms=now_ms,
            known_through=record.consumed,
            route=lambda command: self._route(record, command),
            stalled_error=_stalled,
        )
        plan = plan_turn(request, joined, heap.ledger)
        consumed = last + len(inline)
        commit_id = secrets.token_hex(8)
        return TurnCommit(
            run_id=record.run_id,
            commit_id=commit_id,
            turn=record.turn,
            expected_position=last,
            consumed=consumed,
            log_digest=heap.ledger.digest,
            deliveries=tuple(e.event for e in inline),
            events=plan.events,
            snapshot=self._freeze(record, heap, plan, joined, consumed, commit_id),
            messages=plan.messages,
            hooks_claimed=plan.hooks_claimed,
            hooks_released=plan.hooks_released,
            outcome=plan.outcome,
            wake_at_ms=plan.wake_at_ms,
            leases=(
                LeaseEnd(
                    lease=claim.lease, generation=claim.generation, next_due_ms=plan.wake_at_ms
                ),
            ),
        )

    def _freeze(
        self,
        record: RunRecord,
        heap: _Heap,
        plan: TurnPlan,
        answer: Answer,
        consumed: int,
        commit_id: str,
    ) -> Snapshot | None:
        if plan.outcome is not None or isinstance(answer.outcome, Interrupted):
            return None
        assert heap.instance is not None
        turn = record.turn + 1
        delta, parent = heap.lineage.freeze(heap.instance, turn=turn)
        ledger = heap.ledger
        header = SnapshotHeader(
            engine=bytes.fromhex(record.engine),
            bundle=bytes.fromhex(record.bundle),
            baseline=heap.baseline.digest,
            run_id=record.run_id,
            turn=turn,
            commit_id=commit_id,
            consumed=consumed,
            log_digest=ledger.digest,
            memory_bytes=heap.instance.memory_bytes,
            stack_pointer=heap.instance.layout.stack_pointer,
            parent_turn=parent,
        )
        fold = encode_ledger([ledger.steps, ledger.waits, ledger.hooks, ledger.digest])
        data = encode_snapshot(header, fold, delta, key=None)
        return Snapshot(turn=turn, parent_turn=parent, consumed=consumed, data=data)

    def _route(self, record: RunRecord, command: ScheduleStep) -> StepRoute:
        call = StepCall(
            entity=command.id,
            step=command.step,
            args=command.args,
            workflow=record.workflow,
            created_ms=self.world.now_ms(),
        )
        topic = topic_of(command.step, self.queue_of(command.step))
        return StepRoute(topic=topic, body=call.encoded(), lease_ms=None)


def _as_delivery(logged: LoggedEvent) -> GuestDelivery:
    event = logged.event
    return GuestDelivery(
        position=logged.position,
        at_ms=event.at_ms,
        kind=event.type,
        id=event.entity or EntityId(""),
        value=event.payload if event.type is not EventType.HOOK_CONFLICT else None,
    )


def _stalled() -> bytes:
    error = GuestError(
        name="RunStalledError",
        message="the workflow awaits a promise that nothing will ever settle",
    )
    return encode(error, where="error")
