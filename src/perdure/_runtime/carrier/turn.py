"""One turn of a run, in a VM thread: deliver new events, plan, freeze.

Its result is a ``TurnCommit`` that nobody has seen yet; no command leaves before that has landed.
It never raises for an error of workflow code: failure is an outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field, replace
from operator import attrgetter
from typing import TypeAlias, final

from ..._core.cursor import SnapshotDue, snapshot_due
from ..._core.turn import (
    TurnPlan,
    foreign_step,
    make_request,
    moot_commands,
    new_commands,
    plan_turn,
    steps_to_run,
    wait_completed,
)
from ..._model.commands import Answer, Command, DeliveryOutput, Interrupted, ScheduleStep
from ..._model.commit import TurnCommit
from ..._model.constructors import make_commit, make_lease_end, make_logged
from ..._model.events import Event, EventType, LoggedEvent
from ..._model.ids import EntityId
from ..._model.queue import Lease, LeaseEnd, WakeClaim
from ..._model.runs import NewRun, RunOutcome, RunStatus
from ..._model.snapshot import Snapshot
from ..._protocol.codec import encode
from ..._value_class import constructor, value_class
from ..._vm.interval import short_interval
from ...errors import GuestError
from ..slots import TakenSlots
from .heap import Heap
from .probation import UnconfirmedFailureError, check_open, refusal
from .routing import Routing
from .run_codes import coded, is_cancellation

__all__ = ("Idle", "StepResult", "Turn", "TurnInput", "make_input", "make_result", "take_turn")

_STALLED = encode(
    GuestError(
        name="RunStalledError",
        message="the workflow awaits a promise that nothing will ever settle",
    ),
    where="error",
)
_CONSOLE = attrgetter("console")
_MANY = 500  # commands; to plan them takes milliseconds
_NONE: frozenset[EntityId] = frozenset()


@value_class
class StepResult:
    """The terminal event of a step that ran here, not yet in the log, and the lease it ends."""

    event: Event
    lease: Lease


@value_class
class TurnInput:
    """The input of a turn besides the heap."""

    commit_id: str  # of the commit that the turn makes
    events: Sequence[LoggedEvent]  # the log above what the heap has consumed
    results: Sequence[StepResult]  # inline results, in the order they came
    claim: WakeClaim | None
    now_ms: int
    busy: bool  # other steps of the run are running inline, so it is not put away
    snapshot_lag: int  # turns that a warm run may go without a snapshot
    key: bytes | None = field(repr=False)  # a secret
    routing: Routing
    slots: TakenSlots  # for new steps; given back by the caller where nobody has them
    new: NewRun | None = None  # the run is created by this turn's commit
    moot: frozenset[EntityId] = _NONE  # commands of the turn, withdrawn later in it


@final
@value_class
class Turn:
    """A turn that was taken, to be committed."""

    commit: TurnCommit
    inline: tuple[ScheduleStep, ...]
    outputs: tuple[DeliveryOutput, ...]  # for the console
    unhandled: tuple[bytes, ...]  # rejections that nobody handled, at the run's end
    prints: bool  # whether there is anything for the console
    defers_snapshot: bool  # one is due, to be taken while the steps run
    has_news: bool  # its own events hold something to tell the guest
    has_aborts: bool  # and to tell steps


@final
@value_class(kw_only=False)
class Idle:
    """There was nothing to tell the guest."""

    next_due_ms: int | None


make_input = constructor(TurnInput)
make_result = constructor(StepResult)
make_turn = constructor(Turn)

Taken: TypeAlias = "Turn | Idle | Interrupted"


def take_turn(heap: Heap, work: TurnInput) -> Taken:
    """Take a turn. The heap must be discarded unless the commit lands.

    Raises:
        SnapshotRejectedError: the heap came from a snapshot, and anything at all went wrong.
        DivergenceError: the guest does not repeat the commands of the log.
    """
    if not heap.thawed:
        return _take_turn(heap, work)
    try:
        heap.try_out()
        return _take_turn(heap, work)
    except Exception as exc:
        raise refusal(exc) from exc


def _take_turn(heap: Heap, work: TurnInput) -> Taken:
    cursor = heap.cursor
    repeat = heap.catch_up(work.events) if cursor.consumed < cursor.recorded else None
    if repeat is not None and isinstance(repeat.outcome, Interrupted):
        return repeat.outcome
    news = heap.read(work.events) if work.events else []
    asked_at = _asked_at(news) if news and heap.record.cancel_at_ms is not None else 0
    inline = _inline(heap, news, work, has_waits=not asked_at)
    if not news and not inline:
        return Idle(heap.ledger.next_due_ms())
    answer = heap.deliver([*news, *inline])
    if isinstance(answer.outcome, Interrupted):
        return answer.outcome
    commands = new_commands(answer, cursor.recorded)
    if asked_at:
        work = replace(work, moot=moot_commands(answer, asked_at))
    if len(commands) < _MANY:
        return _plan(heap, work, inline, answer, commands, repeat)
    with short_interval():
        return _plan(heap, work, inline, answer, commands, repeat)


def _asked_at(news: Iterable[LoggedEvent]) -> int:
    """The position of the request that the run end; 0: it is not among these."""
    for logged in news:
        if logged.event.type is EventType.CANCEL_REQUESTED:
            return logged.position
    return 0


def _inline(
    heap: Heap, news: list[LoggedEvent], work: TurnInput, *, has_waits: bool
) -> list[LoggedEvent]:
    """Results that ran here and timers that are due, at the positions they will have.

    Args:
        has_waits: the guest still has waits when it is told these.
    """
    entities = {logged.event.entity for logged in news} if news else ()
    events = [result.event for result in work.results if result.event.entity not in entities]
    for entity in heap.ledger.due_waits(work.now_ms) if has_waits else ():
        if entity not in entities:
            at = heap.ledger.waits[entity]
            events.append(wait_completed(entity, resume_at_ms=at, now_ms=work.now_ms))
    return [
        make_logged(position=position, event=event)
        for position, event in enumerate(events, start=heap.cursor.position + 1)
    ]


def _plan(
    heap: Heap,
    work: TurnInput,
    inline: list[LoggedEvent],
    answer: Answer,
    commands: list[Command],  # of the answer, which are new
    repeat: Answer | None,  # of what earlier turns told it
) -> Turn:
    start, record = heap.cursor, heap.record
    foreign = foreign_step(steps := steps_to_run(answer, commands, work.moot), heap.baseline.steps)
    request = make_request(
        run_id=heap.run_id,
        now_ms=work.now_ms,
        commands=commands,
        routes=work.routing.routes(record, steps, work.slots, now_ms=work.now_ms),
        stalled_error=_STALLED,
        failure=None if foreign is None else _foreign(foreign),
        record=record,
        moot=work.moot,
    )
    plan = plan_turn(request, answer, heap.ledger)
    if heap.thawed:
        _check_plan(heap, answer, plan)
    end = heap.end_turn(len(inline))
    outputs = answer.turns if repeat is None else (*repeat.turns, *answer.turns)
    snapshot, defers_snapshot = _snapshot(heap, work, plan, outputs)
    commit = make_commit(
        run_id=heap.run_id,
        commit_id=work.commit_id,
        turn=start.turn,
        expected_position=start.position,
        consumed=end.consumed,
        log_digest=heap.ledger.digest,
        deliveries=tuple([logged.event for logged in inline]),
        events=plan.events,
        snapshot=snapshot,
        messages=plan.messages,
        hooks_claimed=plan.hooks_claimed,
        hooks_released=plan.hooks_released,
        outcome=plan.outcome and _end(heap, plan.outcome, is_foreign=foreign is not None),
        wake_at_ms=plan.wake_at_ms,
        leases=_leases(work, plan),
        new=work.new,
        starts=plan.starts,
        watches=plan.watches,
        cancels=plan.cancels,
        cancel_at_ms=record.cancel_at_ms,
    )
    unhandled = answer.unhandled if plan.outcome else ()
    outputs = (*heap.take_printed(), *outputs) if heap.thawed else outputs
    return make_turn(
        commit=commit,
        inline=plan.inline,
        outputs=outputs,
        unhandled=unhandled,
        prints=bool(unhandled) or any(map(_CONSOLE, outputs)),
        defers_snapshot=defers_snapshot,
        has_news=plan.has_news,
        has_aborts=plan.has_aborts,
    )


def _end(heap: Heap, outcome: RunOutcome, *, is_foreign: bool) -> RunOutcome:
    """The end of a run as it is written, of one that was asked to end perhaps as cancelled."""
    cancel = heap.ledger.cancel
    if cancel is None or outcome.status is not RunStatus.FAILED or is_foreign:
        return coded(outcome, is_foreign=is_foreign)
    if outcome.payload is _STALLED or is_cancellation(outcome.payload):
        return replace(outcome, status=RunStatus.CANCELLED, payload=cancel[1])
    return coded(outcome, is_foreign=is_foreign)


def _check_plan(heap: Heap, answer: Answer, plan: TurnPlan) -> None:
    """Pass only what a heap of a snapshot may come to."""
    check_open(answer, heap.ledger)
    fails = plan.outcome is not None and plan.outcome.status is RunStatus.FAILED
    if fails and not heap.vouched:
        raise UnconfirmedFailureError("the run fails by it")


def _snapshot(
    heap: Heap, work: TurnInput, plan: TurnPlan, outputs: Sequence[DeliveryOutput]
) -> tuple[Snapshot | None, bool]:
    """The snapshot that the commit saves, and whether one is to be taken while the steps run.

    It saves the turn's own, or an earlier turn's that was taken while steps ran.
    """
    if plan.outcome is not None:
        return None, False
    parks = not (plan.inline or work.busy)
    due = snapshot_due(heap.cursor, parks=parks, chains=heap.chains, lag=work.snapshot_lag)
    if due is SnapshotDue.NOW:
        heap.freeze(commit_id=work.commit_id, key=work.key, printed=outputs)
    return heap.unsaved, due is SnapshotDue.BESIDE_STEPS


def _leases(work: TurnInput, plan: TurnPlan) -> tuple[LeaseEnd, ...]:
    ends = [make_lease_end(lease=result.lease) for result in work.results]
    claim = work.claim
    if claim is not None:
        ends.append(
            make_lease_end(
                lease=claim.lease, generation=claim.generation, next_due_ms=plan.wake_at_ms
            )
        )
    return tuple(ends)


def _foreign(step: str) -> bytes:
    error = GuestError(
        name="StepNotImportedError",
        message=f"this workflow imports no step {step!r}, and called it: its VM was tampered with",
    )
    return encode(error, where="error")
