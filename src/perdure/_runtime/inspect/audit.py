"""Audit: a run executed again from its log alone, and compared with everything that was stored.

The guest must make the commands that the log holds, end as the run ended, and at each stored
snapshot have the byte-identical heap. Writes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..._core.turn import check_repeated
from ..._model.commands import Answer, Command, Completed, Failed, Interrupted
from ..._model.events import DELIVERED, LoggedEvent
from ..._model.ids import RunId
from ..._model.runs import RunRecord, RunStatus
from ..._model.snapshot import Snapshot
from ..._protocol.frames import Limits
from ..._value_class import value_class
from ..._vm.image import Baseline
from ..._vm.pool import VmPool
from ..._vm.watch import StoppedError, Watch
from ...abc import World
from ...errors import DivergenceError, GuestError, PerdureError, SnapshotRejectedError
from ..carrier.baselines import SECONDS, Baselines
from ..carrier.heap import Heap
from ..carrier.run_codes import is_cancellation
from ..keys import snapshot_key
from .inspection import read_log

__all__ = ("AuditReport", "SuspensionCost", "measure_run", "verify_run")


@dataclass(slots=True, kw_only=True)
class AuditReport:
    """The findings of an audit."""

    run_id: str
    events: int
    deliveries: int = 0
    snapshots: int = 0  # compared, byte for byte
    problems: list[str] = field(default_factory=list[str])

    @property
    def passed(self) -> bool:
        """Whether everything was as the log says."""
        return not self.problems


async def verify_run(
    world: World,
    run_id: str,
    *,
    key: bytes | str | None = None,
    limits: Limits | None = None,
    turn_deadline: float = SECONDS,
) -> AuditReport:
    """Execute a run again from its log and compare.

    Args:
        key: the key that its snapshots are tagged with; default: ``PERDURE_SNAPSHOT_KEY``.
        turn_deadline: seconds that one turn may take.

    Raises:
        RunNotFoundError: no such run.
        BundleMissingError: the world does not have the run's bundle.
    """
    record = await world.storage.get_run(RunId(run_id))
    events = await read_log(world, record.run_id)
    chain = await world.snapshots.load(record.run_id)
    pool = VmPool(1)
    try:
        try:
            baseline = await Baselines(world, pool).get(record)
        except StoppedError as exc:
            problem = f"its bundle cannot be loaded: {exc}"
            return AuditReport(run_id=run_id, events=len(events), problems=[problem])
        audit = _Audit(
            record,
            events,
            chain,
            baseline,
            key=snapshot_key(key),
            limits=limits or Limits(),
            turn_deadline=turn_deadline,
        )
        return await pool.run(audit.run, Watch(math.inf, patience=None))
    finally:
        pool.close()


@value_class
class SuspensionCost:
    """The cost of putting a run away at one of its suspensions, alone."""

    position: int
    snapshot_bytes: int
    freeze_ms: float
    thaw_ms: float  # from stored bytes to a guest that can go on


async def measure_run(
    world: World, run_id: str, *, limits: Limits | None = None
) -> tuple[SuspensionCost, ...]:
    """Replay a run's log, freezing and thawing it after each delivery that did not end it."""
    record = await world.storage.get_run(RunId(run_id))
    events = await read_log(world, record.run_id)
    pool = VmPool(1)
    try:
        baseline = await Baselines(world, pool).get(record)
        return await pool.run(
            lambda: tuple(_measure(record, events, baseline, limits or Limits())),
            Watch(math.inf, patience=None),
        )
    finally:
        pool.close()


def _measure(
    record: RunRecord, events: Sequence[LoggedEvent], baseline: Baseline, limits: Limits
) -> Iterator[SuspensionCost]:
    unborn = replace(record, turn=0, position=0, consumed=0)
    heap = Heap(baseline, unborn, limits=limits)
    chain: list[Snapshot] = []
    try:
        deliveries = [logged for logged in events if logged.event.type in DELIVERED]
        for turn, logged in enumerate(deliveries, start=1):
            heap.read([logged])
            with Watch(SECONDS, patience=None).here():
                answer = heap.deliver([logged], recorded=True)
            if answer.outcome is not None:
                return
            heap.end_turn(0)
            began = time.perf_counter()
            snapshot = heap.freeze(commit_id="", key=None)
            freeze_end = time.perf_counter()
            chain = [*chain, snapshot] if snapshot.parent_turn is not None else [snapshot]
            at = replace(record, turn=turn, consumed=logged.position, log_digest=heap.ledger.digest)
            thawed = Heap.thaw(baseline, at, chain, limits=limits, key=None)
            ready = time.perf_counter()
            thawed.close()
            yield SuspensionCost(
                position=logged.position,
                snapshot_bytes=len(snapshot.data),
                freeze_ms=(freeze_end - began) * 1000,
                thaw_ms=(ready - freeze_end) * 1000,
            )
    finally:
        heap.close()


class _Audit:
    """One audit, in a VM thread."""

    def __init__(
        self,
        record: RunRecord,
        events: Sequence[LoggedEvent],
        chain: Sequence[Snapshot],
        baseline: Baseline,
        *,
        key: bytes | None,
        limits: Limits,
        turn_deadline: float,
    ) -> None:
        self._turn_deadline = turn_deadline
        self._record = record
        self._events = events
        self._chain = chain
        self._baseline = baseline
        self._key = key
        self._limits = limits
        self._report = AuditReport(run_id=record.run_id, events=len(events))

    def run(self) -> AuditReport:
        """Replay from the beginning, stopping at each snapshot."""
        heap = Heap(self._baseline, self._record, limits=self._limits)
        try:
            answer: Answer | None = None
            for count, snapshot in enumerate(self._chain, start=1):
                answer = self._replay(heap, snapshot.consumed) or answer
                self._compare(heap, count)
            answer = self._replay(heap, self._record.consumed) or answer
            if heap.ledger.digest != self._record.log_digest:
                self._report.problems.append("the record's log digest is not the log's")
            self._compare_end(answer)
        except PerdureError as exc:
            self._report.problems.append(f"position {heap.cursor.consumed}: {exc}")
        finally:
            heap.close()
        return self._report

    def _replay(self, heap: Heap, position: int) -> Answer | None:
        deliveries = [
            e
            for e in self._events
            if heap.cursor.consumed < e.position <= position and e.event.type in DELIVERED
        ]
        answer: Answer | None = None
        commands: list[Command] = []
        for logged in deliveries:
            with Watch(self._turn_deadline, patience=None).here():
                answer = heap.deliver([logged], recorded=True)
            self._report.deliveries += 1
            commands += [c for output in answer.turns for c in output.commands]
            if isinstance(answer.outcome, Interrupted):
                message = f"took more than {self._turn_deadline:g} s"
                raise GuestError(name="TurnDeadlineError", message=message)
            if answer.outcome is not None:
                break
        recorded = {e.event.key: e.event for e in self._events}
        try:
            check_repeated(heap.run_id, commands, recorded)
        except DivergenceError as exc:
            self._report.problems.append(str(exc))
        return answer

    def _compare(self, heap: Heap, count: int) -> None:
        turn = self._chain[count - 1].turn
        try:
            stored = Heap.thaw(
                self._baseline,
                self._record,
                self._chain[:count],
                limits=self._limits,
                key=self._key,
            )
        except SnapshotRejectedError as exc:
            self._report.problems.append(f"the snapshot of turn {turn}: {exc}")
            return
        try:
            if stored.image_digest() != heap.image_digest():
                self._report.problems.append(f"the snapshot of turn {turn} is another heap")
            elif stored.ledger != heap.ledger:
                self._report.problems.append(f"the snapshot of turn {turn} has another fold")
            else:
                self._report.snapshots += 1
        finally:
            stored.close()

    def _compare_end(self, answer: Answer | None) -> None:
        record = self._record
        outcome = None if answer is None else answer.outcome
        match record.status:
            case RunStatus.COMPLETED:
                same = isinstance(outcome, Completed) and outcome.value == record.payload
            case RunStatus.FAILED:
                # A run can also be failed from outside: stalled, or past a budget of its worker.
                same = outcome is None or (
                    isinstance(outcome, Failed) and outcome.error == record.payload
                )
            case RunStatus.CANCELLED:  # from outside, or by its own code once it was asked to end
                same = outcome is None or (
                    isinstance(outcome, Failed) and is_cancellation(outcome.error)
                )
            case _:
                same = outcome is None
        if not same:
            self._report.problems.append(f"replayed, the run does not end as {record.status}")
