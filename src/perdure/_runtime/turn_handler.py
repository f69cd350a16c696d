"""One turn of a run, in a VM thread: deliver what is new, plan, freeze.

What it gives is a ``TurnCommit`` that nobody has seen yet; no command leaves before that has
landed. It never raises for what workflow code does: failure is an outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from operator import attrgetter
from typing import TypeAlias, final

from .._core.turn import (
    TurnPlan,
    TurnRequest,
    foreign_step,
    new_commands,
    plan_turn,
    steps_to_run,
    wait_completed,
)
from .._frozen import frozen
from .._model.commands import Answer, DeliveryOutput, Failed, Interrupted, ScheduleStep
from .._model.commit import TurnCommit
from .._model.events import Event, LoggedEvent
from .._model.queue import Lease, LeaseEnd, WakeClaim
from .._model.runs import NewRun, RunRecord, RunStatus
from .._model.snapshot import Snapshot
from .._protocol.codec import encode
from .._vm.interval import short_interval
from ..errors import GuestError
from .heap import Heap
from .probation import UnconfirmedFailureError, check_open, refusal
from .routing import Routing
from .slots import TakenSlots

__all__ = ("Idle", "StepResult", "Turn", "TurnInput", "take_turn")

_STALLED = encode(
    GuestError(
        name="RunStalledError",
        message="the workflow awaits a promise that nothing will ever settle",
    ),
    where="error",
)
_CONSOLE = attrgetter("console")
_MANY = 500  # commands; to plan them takes milliseconds


@frozen
class StepResult:
    """The terminal event of a step that ran here, not yet in the log, and the lease it ends."""

    event: Event
    lease: Lease


@frozen
class TurnInput:
    """What a turn works on besides the heap."""

    commit_id: str  # of the commit that the turn makes
    record: RunRecord
    events: Sequence[LoggedEvent]  # the log above what the heap has consumed
    results: Sequence[StepResult]  # inline results, in the order they came
    claim: WakeClaim | None
    now_ms: int
    busy: bool  # other steps of the run are running inline, so it is not put away
    snapshot_lag: int  # turns that a warm run may go without a snapshot
    frozen: Snapshot | None  # of an earlier turn, frozen while steps ran, and not kept yet
    freeze: bool  # there was no time for that
    key: bytes | None = field(repr=False)  # a secret
    routing: Routing
    slots: TakenSlots  # for new steps; given back by the caller where nobody has them
    new: NewRun | None = None  # the run is created by this turn's commit


@final
@frozen
class Turn:
    """A turn that was taken, to be committed."""

    commit: TurnCommit
    inline: tuple[ScheduleStep, ...]
    outputs: tuple[DeliveryOutput, ...]  # for the console
    unhandled: tuple[bytes, ...]  # rejections that nobody handled, at the run's end
    prints: bool  # whether there is anything for the console


@final
@frozen(kw_only=False)
class Idle:
    """There was nothing to tell the guest."""

    next_due_ms: int | None


Taken: TypeAlias = "Turn | Idle | Interrupted"


def take_turn(heap: Heap, given: TurnInput) -> Taken:
    """Take a turn. The heap must be discarded unless the commit lands.

    Raises:
        SnapshotRejectedError: the heap came from a snapshot, and anything at all went wrong.
        DivergenceError: the guest does not repeat what the log says it did.
    """
    if not heap.thawed:
        return _take_turn(heap, given)
    try:
        heap.try_out()
        return _take_turn(heap, given)
    except Exception as exc:
        raise refusal(exc) from exc


def _take_turn(heap: Heap, given: TurnInput) -> Taken:
    cursor = heap.cursor
    again = heap.catch_up(given.events) if cursor.consumed < cursor.recorded else None
    if again is not None and isinstance(again.outcome, Interrupted):
        return again.outcome
    told = heap.read(given.events) if given.events else []
    inline = _inline(heap, told, given)
    if not told and not inline:
        return Idle(heap.ledger.next_due_ms())
    answer = heap.deliver([*told, *inline])
    if isinstance(answer.outcome, Interrupted):
        return answer.outcome
    if sum([len(turn.commands) for turn in answer.turns]) < _MANY:
        return _plan(heap, given, inline, answer, again)
    with short_interval():
        return _plan(heap, given, inline, answer, again)


def _inline(heap: Heap, told: list[LoggedEvent], given: TurnInput) -> list[LoggedEvent]:
    """Results that ran here and timers that are due, at the positions they will have."""
    ended = {logged.event.entity for logged in told} if told else ()
    events = [result.event for result in given.results if result.event.entity not in ended]
    for entity, at in heap.ledger.due_waits(given.now_ms):
        if entity not in ended:
            events.append(wait_completed(entity, resume_at_ms=at, now_ms=given.now_ms))
    return [
        LoggedEvent(position=position, event=event)
        for position, event in enumerate(events, start=heap.cursor.position + 1)
    ]


def _plan(
    heap: Heap,
    given: TurnInput,
    inline: list[LoggedEvent],
    answer: Answer,
    again: Answer | None,
) -> Turn:
    start = heap.cursor
    commands = new_commands(answer, start.recorded)
    steps = steps_to_run(answer, commands)
    foreign = foreign_step(steps, heap.baseline.steps)
    if foreign is not None:
        steps = []
    request = TurnRequest(
        run_id=heap.run_id,
        now_ms=given.now_ms,
        commands=commands,
        routes=given.routing.routes(given.record, steps, given.slots, now_ms=given.now_ms),
        stalled_error=_STALLED,
        failure=None if foreign is None else _foreign(foreign),
    )
    plan = plan_turn(request, answer, heap.ledger)
    if heap.thawed:
        check_open(answer, heap.ledger)
        if not heap.vouched and _fails(plan):
            raise UnconfirmedFailureError("the run fails by it")
    end = heap.end_turn(len(inline))
    outputs = (*(again.turns if again else ()), *answer.turns)
    printed = heap.take_printed() if heap.thawed else ()
    commit = TurnCommit(
        run_id=heap.run_id,
        commit_id=given.commit_id,
        turn=start.turn,
        expected_position=start.position,
        consumed=end.consumed,
        log_digest=heap.ledger.digest,
        deliveries=tuple([logged.event for logged in inline]),
        events=plan.events,
        snapshot=_snapshot(heap, given, plan, answer, outputs),
        messages=plan.messages,
        hooks_claimed=plan.hooks_claimed,
        hooks_released=plan.hooks_released,
        outcome=plan.outcome,
        wake_at_ms=plan.wake_at_ms,
        leases=_leases(given, plan),
        new=given.new,
    )
    unhandled = answer.unhandled if plan.outcome else ()
    outputs = (*printed, *outputs)
    prints = bool(unhandled) or any(map(_CONSOLE, outputs))
    return Turn(
        commit=commit, inline=plan.inline, outputs=outputs, unhandled=unhandled, prints=prints
    )


def _fails(plan: TurnPlan) -> bool:
    return plan.outcome is not None and plan.outcome.status is RunStatus.FAILED


def _snapshot(
    heap: Heap,
    given: TurnInput,
    plan: TurnPlan,
    answer: Answer,
    outputs: Sequence[DeliveryOutput],
) -> Snapshot | None:
    """What the commit keeps: the turn's own, or the one of an earlier turn that is at hand."""
    if _wants_snapshot(heap, given, plan, answer):
        return heap.freeze(commit_id=given.commit_id, key=given.key, printed=outputs)
    return given.frozen if plan.outcome is None else None


def _wants_snapshot(heap: Heap, given: TurnInput, plan: TurnPlan, answer: Answer) -> bool:
    if plan.outcome is not None or isinstance(answer.outcome, Failed):
        return False
    if not (plan.inline or given.busy):
        return True  # the run is put away
    # A small one is frozen while the steps run, and kept with the next turn.
    due = given.freeze or heap.chains
    return due and heap.lags(allowed=given.snapshot_lag)


def _leases(given: TurnInput, plan: TurnPlan) -> tuple[LeaseEnd, ...]:
    ends = [LeaseEnd(lease=result.lease) for result in given.results]
    claim = given.claim
    if claim is not None:
        ends.append(
            LeaseEnd(lease=claim.lease, generation=claim.generation, next_due_ms=plan.wake_at_ms)
        )
    return tuple(ends)


def _foreign(step: str) -> bytes:
    error = GuestError(
        name="StepNotImportedError",
        message=f"this workflow imports no step {step!r}, and called it: its VM was tampered with",
    )
    return encode(error, where="error")
