"""Turn planning: the writes that follow from one turn of a run's VM.

Pure. The VM's answer goes in, with the routes of its new steps; the events, messages, hook claims
and outcome of one ``TurnCommit`` come out. Commands made again while catching up with the log
(after a thaw from a snapshot that lags, or a rebuild) are compared with it and not written again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import assert_never

from .._model.children import ChildStart, Watch
from .._model.commands import (
    Abort,
    Answer,
    AskHook,
    AwaitAbort,
    CancelRun,
    Command,
    Completed,
    DisposeHook,
    Failed,
    Interrupted,
    OpenHook,
    ScheduleStep,
    SetAttributes,
    StartChild,
    StartWait,
    WatchRun,
)
from .._model.commit import Append
from .._model.constructors import make_event, make_new_message, make_outcome
from .._model.events import Event, EventType, Fact
from .._model.hooks import HookClaim
from .._model.ids import EntityId, RunId
from .._model.queue import NewMessage
from .._model.runs import RunOutcome, RunRecord, RunStatus
from .._value_class import constructor, value_class
from ..errors import DivergenceError
from .cancellation import cancel_event
from .children import child_start
from .ledger import Ledger

__all__ = (
    "StepRoute",
    "TurnPlan",
    "TurnRequest",
    "check_repeated",
    "created_key",
    "end_key",
    "foreign_step",
    "make_request",
    "make_route",
    "moot_commands",
    "new_commands",
    "plan_turn",
    "steps_to_run",
    "wait_completed",
    "wait_ended_early",
)


@value_class
class StepRoute:
    """Where a step's message goes."""

    topic: str
    body: bytes
    lease_ms: int | None  # not None: this worker runs it inline


@value_class
class TurnRequest:
    """The facts that the planner needs besides the answer."""

    run_id: RunId
    now_ms: int
    commands: Sequence[Command]  # those that are new
    routes: Mapping[EntityId, StepRoute]  # of each of their ``steps_to_run``
    stalled_error: bytes  # of a run that waits for nothing
    failure: bytes | None = None  # the run fails by this, also if it asks for more
    record: RunRecord | None = None  # of the run; its children derive from it
    moot: frozenset[EntityId] = frozenset()  # made before the run was asked to end, in this turn


@value_class
class TurnPlan:
    """The part of a commit that follows from the guest's answer."""

    events: tuple[Event, ...]
    messages: tuple[NewMessage, ...]
    inline: tuple[ScheduleStep, ...]  # those of the messages that are leased to us, in order
    hooks_claimed: tuple[HookClaim, ...]
    hooks_released: tuple[EntityId, ...]
    outcome: RunOutcome | None
    wake_at_ms: int | None
    has_news: bool  # the guest is to be told of some of the events
    has_aborts: bool = False  # steps are to be told of some of them
    starts: tuple[ChildStart, ...] = ()
    watches: tuple[Watch, ...] = ()
    cancels: tuple[Append, ...] = ()  # of other runs


make_plan = constructor(TurnPlan)
make_request = constructor(TurnRequest)
make_route = constructor(StepRoute)


def created_key(entity: EntityId) -> str:
    """The key of the event that records a command."""
    return f"{entity}/created"


def end_key(entity: EntityId) -> str:
    """The key that all terminal events of an entity share."""
    return f"{entity}/end"


def wait_completed(entity: EntityId, *, resume_at_ms: int, now_ms: int) -> Event:
    """The delivery that ends a wait; never before its time."""
    return make_event(
        type=EventType.WAIT_COMPLETED,
        key=end_key(entity),
        at_ms=max(resume_at_ms, now_ms),
        entity=entity,
    )


def wait_ended_early(entity: EntityId, *, now_ms: int) -> Event:
    """The delivery that ends a wait before its time, of which the guest is told that it is now.

    With the time that the wait was for, later sleeps would be too long.
    """
    return Event(
        type=EventType.WAIT_COMPLETED,
        key=end_key(entity),
        at_ms=now_ms,
        entity=entity,
        facts={"early": True},
    )


def new_commands(answer: Answer, known_through: int) -> list[Command]:
    """The commands that the log does not hold.

    Args:
        known_through: deliveries up to here were told before; their commands are in the log.
    """
    return [
        command
        for output in answer.turns
        if output.position > known_through
        for command in output.commands
    ]


def moot_commands(answer: Answer, asked_at: int) -> frozenset[EntityId]:
    """Those of an answer's commands whose await was rejected in the same turn.

    Args:
        asked_at: position of the request that the run end.
    """
    return frozenset(
        [
            command.id
            for output in answer.turns
            if output.position < asked_at
            for command in output.commands
            if isinstance(command, ScheduleStep | StartWait | WatchRun)
        ]
    )


def steps_to_run(
    answer: Answer, commands: Iterable[Command], moot: Container[EntityId] = ()
) -> list[ScheduleStep]:
    """The steps among an answer's new commands, but for *moot* ones; none if the run ends by it."""
    if isinstance(answer.outcome, Completed | Failed):
        return []
    return [c for c in commands if isinstance(c, ScheduleStep) and c.id not in moot]


def foreign_step(steps: Iterable[ScheduleStep], imported: Container[str]) -> str | None:
    """The first of these that is not among the imported ones, which are all that may be called.

    The guest refuses such a call itself; only one that was tampered with comes to this.
    """
    for command in steps:
        if command.step not in imported:
            return command.step
    return None


def plan_turn(request: TurnRequest, answer: Answer, ledger: Ledger) -> TurnPlan:
    """The writes to commit after a turn; *ledger* notes the new commands."""
    fresh = request.commands
    ledger.note(fresh)
    moot = request.moot
    if moot:
        ledger.drop(moot)
    outcome = _outcome(answer, ledger, request)
    if outcome is not None:
        return _last_plan(request, outcome)
    messages: list[NewMessage] = []
    inline: list[ScheduleStep] = []
    events: list[Event] = []
    claims: list[HookClaim] = []
    releases: list[EntityId] = []
    watches: list[Watch] = []
    has_children = has_cancels = False
    has_news = has_aborts = False
    for command in fresh:
        events.append(_event(command, request.now_ms))
        if moot and command.id in moot:
            continue
        if isinstance(command, ScheduleStep):
            message = _message(request, command)
            messages.append(message)
            if message.lease_ms is not None:
                inline.append(command)
                events.append(_started(command, request.now_ms))
        elif isinstance(command, OpenHook):
            claims.append(_claim(command, request.now_ms))
        elif isinstance(command, DisposeHook):
            releases.append(command.id)
        elif isinstance(command, AskHook):
            has_news = True
        elif isinstance(command, Abort):
            has_aborts = True
        elif isinstance(command, WatchRun):
            watches.append(_watch(command, request.now_ms))
        elif isinstance(command, StartChild):
            has_children = True
        elif isinstance(command, CancelRun):
            has_cancels = True
    return make_plan(
        events=tuple(events),
        messages=tuple(messages),
        inline=tuple(inline),
        hooks_claimed=tuple(claims),
        hooks_released=tuple(releases),
        outcome=None,
        wake_at_ms=request.now_ms if has_news else ledger.next_due_ms(),
        has_news=has_news,
        has_aborts=has_aborts,
        starts=_starts(request, fresh) if has_children else (),
        watches=tuple(watches),
        cancels=_cancels(fresh, request.now_ms) if has_cancels else (),
    )


def _last_plan(request: TurnRequest, outcome: RunOutcome) -> TurnPlan:
    """The writes of a turn that ends its run: its commands are in the log, and nothing is sent.

    A token is claimed only where that outlasts the run, or takes it from another.
    """
    commands = request.commands
    if request.failure is not None:  # by a guest that was tampered with
        commands = [c for c in commands if isinstance(c, SetAttributes)]
    hooks = [c for c in commands if isinstance(c, OpenHook) and (c.keep_ms or c.force)]
    return TurnPlan(
        events=tuple([_event(command, request.now_ms) for command in commands]),
        messages=(),
        inline=(),
        hooks_claimed=tuple([_claim(hook, request.now_ms) for hook in hooks]),
        hooks_released=tuple([c.id for c in commands if isinstance(c, DisposeHook)]),
        outcome=outcome,
        wake_at_ms=None,
        has_news=False,
        has_aborts=any(isinstance(c, Abort) for c in commands),
        starts=_starts(request, commands),
        cancels=_cancels(commands, request.now_ms),
    )


def _starts(request: TurnRequest, commands: Iterable[Command]) -> tuple[ChildStart, ...]:
    parent, now_ms = request.record, request.now_ms
    starts = [command for command in commands if isinstance(command, StartChild)]
    if not starts:
        return ()
    assert parent is not None  # whoever asks for a turn of a run knows it
    return tuple([child_start(command, parent, now_ms=now_ms) for command in starts])


def check_repeated(
    run_id: RunId, commands: Iterable[Command], recorded: Mapping[str, Event]
) -> None:
    """Compare commands made again with the events the log holds for them, by key.

    Raises:
        DivergenceError: the log holds another command, or none.
    """
    for command in commands:
        event = _event(command, 0)
        entry = recorded.get(event.key)
        if entry is None:
            # A token another run held is recorded as the conflict it became.
            if isinstance(command, OpenHook) and f"{command.id}/conflict" in recorded:
                continue
            raise DivergenceError(run_id, reason=f"the log holds no {event.key}")
        if isinstance(command, Abort) and entry.type is EventType.ABORT_RECEIVED:
            continue  # somebody else's came first, and the guest had not heard of it
        if (entry.type, entry.payload) != (event.type, event.payload) or not _same_facts(
            entry.facts, event.facts
        ):
            raise DivergenceError(run_id, reason=f"{event.key} is another command in the log")


def _same_facts(left: Mapping[str, Fact], right: Mapping[str, Fact]) -> bool:
    return {k: v for k, v in left.items() if k != "at"} == {
        k: v for k, v in right.items() if k != "at"
    }


def _outcome(answer: Answer, ledger: Ledger, request: TurnRequest) -> RunOutcome | None:
    if request.failure is not None:
        return _ended(RunStatus.FAILED, request.failure, request.now_ms)
    match answer.outcome:
        case Completed(value):
            return _ended(RunStatus.COMPLETED, value, request.now_ms)
        case Failed(error):
            return _ended(RunStatus.FAILED, error, request.now_ms)
        case Interrupted() | None:
            if answer.outcome is None and ledger.is_empty:
                return _ended(RunStatus.FAILED, request.stalled_error, request.now_ms)
            return None
        case _:
            assert_never(answer.outcome)


def _ended(status: RunStatus, payload: bytes, now_ms: int) -> RunOutcome:
    return make_outcome(status=status, payload=payload, at_ms=now_ms)


def _event(command: Command, now_ms: int) -> Event:
    match command:
        case ScheduleStep():
            return _created(
                command.id,
                EventType.STEP_CREATED,
                {"step": command.step, "at": command.at},
                now_ms,
                command.args,
            )
        case StartWait():
            facts: dict[str, Fact] = {"resume_at_ms": command.resume_at_ms, "at": command.at}
            return _created(command.id, EventType.WAIT_CREATED, facts, now_ms)
        case OpenHook():
            return _created(
                command.id, EventType.HOOK_CREATED, _hook_facts(command), now_ms, command.metadata
            )
        case AskHook():
            return Event(
                type=EventType.HOOK_REGISTERED,
                key=f"{command.id}/registered",
                at_ms=now_ms,
                entity=command.id,
            )
        case DisposeHook():
            return make_event(
                type=EventType.HOOK_DISPOSED,
                key=end_key(command.id),
                at_ms=now_ms,
                entity=command.id,
            )
        case Abort() | AwaitAbort():
            return _abort_event(command, now_ms)
        case StartChild():
            return _created(
                command.id, EventType.CHILD_CREATED, _child_facts(command), now_ms, command.input
            )
        case WatchRun():
            watched: dict[str, Fact] = {"run_id": command.run_id, "at": command.at}
            return _created(command.id, EventType.WATCH_CREATED, watched, now_ms)
        case CancelRun():
            return _created(
                command.id, EventType.CANCEL_SENT, _cancel_facts(command), now_ms, command.reason
            )
        case SetAttributes():
            return make_event(
                type=EventType.ATTRIBUTES_SET,
                key=created_key(command.id),
                at_ms=now_ms,
                facts=dict(command.changes),
            )
        case _:
            assert_never(command)


def _abort_event(command: Abort | AwaitAbort, now_ms: int) -> Event:
    if isinstance(command, Abort):
        return Event(
            type=EventType.ABORT_REQUESTED,
            key=end_key(command.id),
            at_ms=now_ms,
            entity=command.id,
            payload=command.reason,
        )
    return Event(
        type=EventType.ABORT_AWAITED,
        key=f"{command.id}/awaited",
        at_ms=now_ms,
        entity=command.id,
        facts={"at": command.at},
    )


def _hook_facts(command: OpenHook) -> dict[str, Fact]:
    facts: dict[str, Fact] = {
        "token": command.token,
        "webhook": command.webhook,
        "at": command.at,
    }
    if command.keep_ms:
        facts["keep_ms"] = command.keep_ms
    if command.force:
        facts["force"] = True
    return facts


def _child_facts(command: StartChild) -> dict[str, Fact]:
    facts: dict[str, Fact] = {
        "run_id": command.run_id,
        "entry": command.entry,
        "workflow": command.name,
        "at": command.at,
    }
    if command.token is not None:
        facts["token"] = command.token
    if command.asks:
        facts["asks"] = True
    return facts


def _cancel_facts(command: CancelRun) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"run_id": command.run_id, "at": command.at}
    if command.graceful_ms is not None:
        facts["graceful_ms"] = command.graceful_ms
    if command.children:
        facts["children"] = True
    return facts


def _cancels(commands: Iterable[Command], now_ms: int) -> tuple[Append, ...]:
    """The events for the runs that a turn cancels."""
    return tuple(
        [
            Append(
                run_id=RunId(c.run_id),
                event=cancel_event(
                    reason=c.reason,
                    deadline_ms=None if c.graceful_ms is None else now_ms + c.graceful_ms,
                    children=c.children,
                    now_ms=now_ms,
                ),
            )
            for c in commands
            if isinstance(c, CancelRun)
        ]
    )


def _created(
    entity: EntityId,
    kind: EventType,
    facts: Mapping[str, Fact],
    now_ms: int,
    payload: bytes | None = None,
) -> Event:
    return make_event(
        type=kind,
        key=created_key(entity),
        at_ms=now_ms,
        entity=entity,
        payload=payload,
        facts=facts,
    )


def _started(command: ScheduleStep, now_ms: int) -> Event:
    return make_event(
        type=EventType.STEP_STARTED,
        key=f"{command.id}/start/1",
        at_ms=now_ms,
        entity=command.id,
        facts={"attempt": 1},
    )


def _message(request: TurnRequest, command: ScheduleStep) -> NewMessage:
    route = request.routes[command.id]
    return make_new_message(
        message_id=f"{request.run_id}/{command.id}",
        run_id=request.run_id,
        topic=route.topic,
        body=route.body,
        due_ms=request.now_ms,
        lease_ms=route.lease_ms,
    )


def _watch(command: WatchRun, now_ms: int) -> Watch:
    return Watch(entity=command.id, run_id=RunId(command.run_id), at_ms=now_ms)


def _claim(command: OpenHook, now_ms: int) -> HookClaim:
    return HookClaim(
        hook_id=command.id,
        token=command.token,
        metadata=command.metadata,
        is_webhook=command.webhook,
        keep_until_ms=now_ms + command.keep_ms if command.keep_ms else None,
        force=command.force,
    )
