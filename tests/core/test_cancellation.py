"""Cancellation: which messages are withdrawn, and what a run that was asked to end waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perdure._core.book import Book
from perdure._core.cancellation import (
    CANCEL_KEY,
    asked_record,
    cancel_event,
    deadline_of,
    is_cancel,
    overdue_event,
    reaches_children,
    steps_begun,
    steps_running,
    withdraw,
)
from perdure._core.children import started_by
from perdure._core.fold import WITHDRAWN, fold
from perdure._core.landing import check_turn, ended_event, fresh_record
from perdure._core.leases import Claimable
from perdure._core.ledger import Ledger, next_digest
from perdure._core.post import cancel_child
from perdure._core.turn import StepRoute, TurnRequest, moot_commands, plan_turn, steps_to_run
from perdure._model.commands import (
    Answer,
    CancelRun,
    Command,
    Completed,
    DeliveryOutput,
    OpenHook,
    ScheduleStep,
    StartChild,
    StartWait,
    WatchRun,
)
from perdure.errors import StaleTurnError
from perdure.model import (
    Append,
    Digest,
    EntityId,
    Event,
    EventType,
    Lease,
    LoggedEvent,
    NewMessage,
    NewRun,
    RunId,
    RunOutcome,
    RunStatus,
    TurnCommit,
)

RUN = RunId("run_1")
NOW = 1_000
ASKED = cancel_event(reason=b"why", deadline_ms=9_000, children=False, now_ms=NOW)
STEP = ScheduleStep(id=EntityId("step_1"), step="m:f", args=b"", at="")
LATER = ScheduleStep(id=EntityId("step_6"), step="m:f", args=b"", at="")
WAIT = StartWait(id=EntityId("wait_2"), resume_at_ms=5_000, at="")
HOOK = OpenHook(id=EntityId("hook_3"), token="t", metadata=None, webhook=False, at="")
WATCH = WatchRun(id=EntityId("watch_4"), run_id="run_x", at="")
START = StartChild(
    id=EntityId("child_5"),
    entry="w#f",
    name="f",
    input=b"",
    attributes={},
    token=None,
    run_id="run_y",
    asks=True,
    at="",
)
NEW = NewRun(
    run_id=RUN,
    workflow="w",
    bundle=Digest("b"),
    engine=Digest("e"),
    input=b"i",
    created_at_ms=1,
)


def item(*, claims: int = 0, until_ms: int | None = None) -> Claimable:
    lease = None
    if until_ms is not None:
        lease = Lease(item="m", token="t", is_wake=False, expires_at_ms=until_ms)
    return Claimable(due_ms=0, lease=lease, claims=claims)


def test_what_nobody_runs_is_withdrawn_and_what_had_begun_is_named() -> None:
    items = [
        (f"{RUN}/queued", item(), 0),
        (f"{RUN}/running", item(claims=1, until_ms=NOW + 1), 0),
        (f"{RUN}/lost", item(claims=1, until_ms=NOW), 0),
        (f"{RUN}/again", item(claims=2), 1),
        (f"{RUN}/returned", item(claims=2), 2),
    ]
    event, withdrawn = withdraw(ASKED, items, now_ms=NOW)
    assert withdrawn == [f"{RUN}/{name}" for name in ("queued", "lost", "again", "returned")]
    assert steps_running(event) == {"running"}
    assert steps_begun(event) == ["running", "again", "lost"]
    assert (deadline_of(event), event.key, event.payload) == (9_000, CANCEL_KEY, b"why")
    assert withdraw(ASKED, [], now_ms=NOW) == (ASKED, [])


def test_a_request_without_a_deadline_is_due() -> None:
    event = Event(type=EventType.CANCEL_REQUESTED, key=CANCEL_KEY, at_ms=7)
    assert deadline_of(event) == 7
    assert asked_record(fresh_record(NEW), event).cancel_at_ms == 7


def test_a_run_that_has_had_its_time_ends_for_the_reason_of_the_request() -> None:
    assert overdue_event(ASKED, now_ms=8).payload == b"why"
    assert overdue_event(None, now_ms=8).payload is None
    outcome = RunOutcome(status=RunStatus.CANCELLED, payload=b"why", at_ms=8)
    assert ended_event(outcome) == overdue_event(ASKED, now_ms=8)


def test_a_turn_that_does_not_know_of_the_request_is_stale() -> None:
    commit = TurnCommit(
        run_id=RUN, commit_id="c", turn=0, expected_position=1, consumed=1, log_digest=b""
    )
    pending = RunStatus.PENDING
    with pytest.raises(StaleTurnError, match="asked to end"):
        check_turn(commit, status=pending, turn=0, position=2, cancel_at_ms=9_000)
    aware = replace(commit, cancel_at_ms=9_000)
    check_turn(aware, status=pending, turn=0, position=2, cancel_at_ms=9_000)


def test_a_ledger_keeps_what_a_request_does_not_end() -> None:
    ledger = Ledger.empty()
    ledger.note([STEP, WAIT, HOOK, WATCH, START])
    ledger.deliver(ASKED)
    assert (ledger.steps, ledger.waits) == ({}, {})
    assert (list(ledger.hooks), list(ledger.runs)) == ([HOOK.id], [START.id])
    assert (ledger.cancel, ledger.next_due_ms()) == ((9_000, b"why"), 9_000)
    ledger.note([WAIT])
    assert ledger.next_due_ms() == 5_000
    assert ledger.copy().cancel == ledger.cancel


def test_a_digest_has_the_deadline_and_what_had_begun() -> None:
    facts = dict(ASKED.facts)
    others = [replace(ASKED, facts={**facts, name: "x"}) for name in ("running", "retrying")]
    others.append(replace(ASKED, facts={"deadline_ms": 9_001}))
    assert len({next_digest(b"", event) for event in (ASKED, *others)}) == 4


def test_what_a_turn_asks_for_before_the_request_is_logged_and_not_sent() -> None:
    answer = Answer(
        turns=(
            DeliveryOutput(position=2, commands=(STEP, WAIT, HOOK, WATCH), console=()),
            DeliveryOutput(position=3, commands=(LATER,), console=()),
        ),
        consumed=3,
        outcome=None,
        unhandled=(),
        instructions=0,
        heap_bytes=0,
        clock_ms=0,
        open=2,
    )
    moot = moot_commands(answer, 3)
    assert moot == {STEP.id, WAIT.id, WATCH.id}
    commands: list[Command] = [STEP, WAIT, HOOK, WATCH, LATER]
    (step,) = steps_to_run(answer, commands, moot)
    ledger = Ledger.empty()
    ledger.deliver(ASKED)
    route = StepRoute(topic="t", body=b"", lease_ms=None)
    request = TurnRequest(
        run_id=RUN,
        now_ms=NOW,
        commands=commands,
        routes={step.id: route},
        stalled_error=b"",
        moot=moot,
    )
    plan = plan_turn(request, answer, ledger)
    assert [event.entity for event in plan.events] == [command.id for command in commands]
    assert [message.message_id for message in plan.messages] == [f"{RUN}/{LATER.id}"]
    assert (plan.watches, plan.wake_at_ms) == ((), 9_000)
    assert (list(ledger.steps), list(ledger.hooks)) == ([LATER.id], [HOOK.id])


def test_a_fold_says_what_was_withdrawn() -> None:
    log = [
        Event(type=kind, key=f"{name}/{kind}", at_ms=1, entity=EntityId(name))
        for name, kind in (
            ("step_1", EventType.STEP_CREATED),
            ("step_2", EventType.STEP_CREATED),
            ("step_2", EventType.STEP_STARTED),
            ("step_3", EventType.STEP_CREATED),
            ("step_3", EventType.STEP_COMPLETED),
            ("wait_4", EventType.WAIT_CREATED),
            ("hook_5", EventType.HOOK_CREATED),
            ("watch_6", EventType.WATCH_CREATED),
        )
    ]
    log.append(replace(ASKED, facts={**ASKED.facts, "running": "step_2"}))
    log += [
        Event(type=EventType.STEP_COMPLETED, key=f"{name}/end", at_ms=2, entity=EntityId(name))
        for name in ("step_1", "step_2")
    ]
    entities = fold(LoggedEvent(position=n, event=event) for n, event in enumerate(log, 1))
    states = {entity.id: entity.state for entity in entities}
    assert states == {
        "step_1": WITHDRAWN,
        "step_2": "completed",
        "step_3": "completed",
        "wait_4": WITHDRAWN,
        "hook_5": "live",
        "watch_6": WITHDRAWN,
    }
    assert [entity.ended_ms for entity in entities if entity.state == WITHDRAWN] == [NOW] * 3


CANCEL = CancelRun(
    id=EntityId("cancel_7"),
    run_id="run_x",
    reason=b"why",
    graceful_ms=None,
    children=False,
    at="",
)


@pytest.mark.parametrize(
    ("command", "kind", "facts"),
    [
        (CANCEL, EventType.RUN_CANCELLED, {}),
        (
            replace(CANCEL, graceful_ms=5, children=True),
            EventType.CANCEL_REQUESTED,
            {"deadline_ms": NOW + 5, "children": True},
        ),
    ],
)
@pytest.mark.parametrize("outcome", [None, Completed(b"")])
def test_a_turn_cancels_other_runs(
    command: CancelRun, kind: EventType, facts: dict[str, object], outcome: Completed | None
) -> None:
    answer = Answer(
        turns=(DeliveryOutput(position=2, commands=(command,), console=()),),
        consumed=2,
        outcome=outcome,
        unhandled=(),
        instructions=0,
        heap_bytes=0,
        clock_ms=0,
        open=0,
    )
    request = TurnRequest(run_id=RUN, now_ms=NOW, commands=[command], routes={}, stalled_error=b"")
    ledger = Ledger.empty()
    ledger.note([HOOK])
    plan = plan_turn(request, answer, ledger)
    ((event,), (cancel,)) = plan.events, plan.cancels
    assert (event.type, event.key) == (EventType.CANCEL_SENT, "cancel_7/created")
    assert event.facts.get("children", False) == command.children
    told = cancel.event
    assert (cancel.run_id, told.type, told.payload) == ("run_x", kind, b"why")
    assert told.facts == facts


def test_a_log_says_which_runs_it_started() -> None:
    def child(kind: EventType, n: int, run_id: str) -> Event:
        entity = EntityId(f"child_{n}")
        return Event(type=kind, key=str(n), at_ms=1, entity=entity, facts={"run_id": run_id})

    created, conflict = EventType.CHILD_CREATED, EventType.CHILD_CONFLICT
    log = [child(created, 1, "a"), child(created, 2, "b"), child(conflict, 2, "c")]
    log += [ASKED, child(created, 3, "a"), Event(type=created, key="odd", at_ms=1)]
    assert started_by(log) == ["a"]


@pytest.mark.parametrize("deadline_ms", [None, 9_000])
def test_a_book_has_a_letter_to_itself_until_its_children_are_told(
    deadline_ms: int | None,
) -> None:
    event = cancel_event(reason=None, deadline_ms=deadline_ms, children=True, now_ms=NOW)
    parent = Book.create(NEW, due_ms=0)
    parent.append(Append(run_id=RUN, event=event), now_ms=NOW)
    (letter,) = parent.letters
    assert letter == Append(run_id=RUN, event=event)
    for owner, is_told in ((RUN, True), (RunId("run_other"), False)):
        new = replace(NEW, run_id=RunId("run_child"), attributes={"$parentRunId": owner})
        child = Book.create(new, due_ms=0)
        for _ in range(2):
            cancel_child(child, event, parent=RUN, now_ms=NOW)
        assert (event.key in child.positions) == is_told
        assert child.letters == ((Append(run_id=new.run_id, event=event),) if is_told else ())
    parent.settle(letter, None, now_ms=NOW)
    assert parent.letters == ()


def test_only_cancels_reach_children() -> None:
    odd = Event(type=EventType.STEP_COMPLETED, key="k", at_ms=1, facts={"children": True})
    assert [is_cancel(event) for event in (ASKED, odd)] == [True, False]
    assert not reaches_children(odd)
    assert overdue_event(replace(ASKED, facts={"children": True}), now_ms=8).facts["children"]


def test_a_book_withdraws_messages() -> None:
    book = Book.create(NEW, due_ms=0)
    new = NewMessage(message_id=f"{RUN}/step_1", run_id=RUN, topic="t", body=b"", due_ms=0)
    book.send(new, now_ms=NOW)
    book.append(Append(run_id=RUN, event=ASKED), now_ms=NOW)
    assert (book.messages, book.record.cancel_at_ms) == ({}, 9_000)
