"""Turn planning: from a guest's answer to what is committed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from perdure._core.landing import fresh_record
from perdure._core.ledger import Ledger
from perdure._core.turn import (
    StepRoute,
    TurnPlan,
    TurnRequest,
    check_repeated,
    created_key,
    end_key,
    foreign_step,
    new_commands,
    plan_turn,
    steps_to_run,
    wait_completed,
    wait_ended_early,
)
from perdure._model.commands import (
    Abort,
    Answer,
    AskHook,
    AwaitAbort,
    Command,
    Completed,
    DeliveryOutput,
    DisposeHook,
    Failed,
    Interrupted,
    OpenHook,
    Outcome,
    ScheduleStep,
    SetAttributes,
    StartChild,
    StartWait,
    WatchRun,
)
from perdure.errors import DivergenceError
from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    HookClaim,
    NewRun,
    RunId,
    RunOutcome,
    RunStatus,
)

RUN = RunId("run_1")
NOW = 1000


def entity(name: str) -> EntityId:
    return EntityId(name)


STEP = ScheduleStep(id=entity("step_1"), step="m:f", args=b"args", at="w.ts:1:1")
ELSEWHERE = ScheduleStep(id=entity("step_2"), step="m:elsewhere", args=b"", at="")
WAIT = StartWait(id=entity("wait_3"), resume_at_ms=5000, at="w.ts:2:1")
HOOK = OpenHook(id=entity("hook_4"), token="t", metadata=b"m", webhook=True, at="w.ts:3:1")
DISPOSE = DisposeHook(id=entity("hook_4"))
ASK = AskHook(id=HOOK.id)
ATTRIBUTES = SetAttributes(id=entity("attributes_5"), changes={"a": "b", "c": None}, at="")
ALL: list[Command] = [STEP, ELSEWHERE, WAIT, HOOK, ATTRIBUTES]
COMMANDS = st.lists(
    st.sampled_from([*ALL, ASK]), max_size=5, unique_by=lambda command: (type(command), command.id)
)


def request(
    made: Answer | None = None, known_through: int = 0, *, failure: bytes | None = None
) -> TurnRequest:
    def route(command: ScheduleStep) -> StepRoute:
        here = command.step != "m:elsewhere"
        return StepRoute(topic=f"q/{command.step}", body=b"body", lease_ms=10_000 if here else None)

    made = made or answer(*ALL)
    commands = new_commands(made, known_through)
    return TurnRequest(
        run_id=RUN,
        now_ms=NOW,
        commands=commands,
        routes={command.id: route(command) for command in steps_to_run(made, commands)},
        stalled_error=b"stalled",
        failure=failure,
    )


def answer(*commands: Command, outcome: Outcome | None = None, position: int = 1) -> Answer:
    return Answer(
        turns=(DeliveryOutput(position=position, commands=commands, console=()),),
        consumed=position,
        outcome=outcome,
        unhandled=(),
        instructions=0,
        heap_bytes=0,
        clock_ms=0,
        open=0,
    )


def plan(made: Answer, *, known_through: int = 0) -> TurnPlan:
    return plan_turn(request(made, known_through), made, Ledger.empty())


def test_a_step_is_recorded_and_sent() -> None:
    made = plan(answer(ELSEWHERE))
    (event,), (message,) = made.events, made.messages
    assert (event.type, event.key, event.payload) == (
        EventType.STEP_CREATED,
        "step_2/created",
        b"",
    )
    assert event.facts == {"step": "m:elsewhere", "at": ""}
    assert (message.message_id, message.topic, message.due_ms, message.lease_ms) == (
        "run_1/step_2",
        "q/m:elsewhere",
        NOW,
        None,
    )
    assert made.inline == ()


def test_a_step_that_runs_here_is_recorded_as_started_in_the_same_commit() -> None:
    made = plan(answer(STEP))
    assert [(e.type, e.key, dict(e.facts)) for e in made.events][1:] == [
        (EventType.STEP_STARTED, "step_1/start/1", {"attempt": 1})
    ]
    assert made.inline == (STEP,)
    assert made.messages[0].lease_ms == 10_000


def test_every_other_command_becomes_its_event() -> None:
    made = plan(answer(WAIT, HOOK, DISPOSE, ATTRIBUTES, STEP))
    assert [(e.type, e.key) for e in made.events][:4] == [
        (EventType.WAIT_CREATED, created_key(WAIT.id)),
        (EventType.HOOK_CREATED, created_key(HOOK.id)),
        (EventType.HOOK_DISPOSED, end_key(HOOK.id)),
        (EventType.ATTRIBUTES_SET, created_key(ATTRIBUTES.id)),
    ]
    assert made.events[0].facts == {"resume_at_ms": 5000, "at": "w.ts:2:1"}
    assert made.events[1].facts == {"token": "t", "webhook": True, "at": "w.ts:3:1"}
    assert made.events[3].facts == {"a": "b", "c": None}
    assert made.hooks_claimed == (
        HookClaim(hook_id=HOOK.id, token="t", metadata=b"m", is_webhook=True),
    )
    assert made.hooks_released == (HOOK.id,)
    assert made.wake_at_ms == 5000


def test_a_hook_that_is_asked_for_is_told_at_once() -> None:
    made = plan(answer(WAIT, HOOK, ASK))
    asked = made.events[-1]
    assert (asked.type, asked.key, asked.entity) == (
        EventType.HOOK_REGISTERED,
        "hook_4/registered",
        HOOK.id,
    )
    assert (made.has_news, made.wake_at_ms) == (True, NOW)
    alone = plan(answer(WAIT, HOOK))
    assert (alone.has_news, alone.wake_at_ms) == (False, WAIT.resume_at_ms)


def test_retention_and_force_are_facts_of_a_hook_that_has_them() -> None:
    kept = replace(HOOK, keep_ms=60_000, force=True)
    (event,) = plan(answer(kept)).events
    assert event.facts == {
        "token": "t",
        "webhook": True,
        "at": "w.ts:3:1",
        "keep_ms": 60_000,
        "force": True,
    }
    check_repeated(RUN, [kept], {event.key: event})
    with pytest.raises(DivergenceError, match="hook_4/created is another command"):
        check_repeated(RUN, [HOOK], {event.key: event})


@given(COMMANDS, st.sampled_from([None, Completed(b"v"), Failed(b"e"), Interrupted()]))
def test_keys_are_unique_and_an_end_has_every_command_but_sends_nothing(
    commands: list[Command], outcome: Outcome | None
) -> None:
    made = plan(answer(*commands, outcome=outcome))
    keys = [event.key for event in made.events]
    assert len(set(keys)) == len(keys)
    assert all(event.at_ms == NOW for event in made.events)
    if made.outcome is not None:
        check_repeated(RUN, commands, {event.key: event for event in made.events})
        assert len(keys) == len(commands)
        assert (made.messages, made.inline, made.hooks_claimed) == ((), (), ())
        assert (made.wake_at_ms, made.has_news) == (None, False)
    else:
        assert len(made.messages) == sum(isinstance(c, ScheduleStep) for c in commands)


@pytest.mark.parametrize("fields", [{"keep_ms": 500}, {"force": True}])
def test_an_end_claims_a_token_where_that_outlasts_it(fields: dict[str, Any]) -> None:
    kept = replace(HOOK, **fields)
    made = plan(answer(kept, DISPOSE, outcome=Completed(b"v")))
    assert [event.type for event in made.events] == [
        EventType.HOOK_CREATED,
        EventType.HOOK_DISPOSED,
    ]
    (claim,) = made.hooks_claimed
    assert (claim.hook_id, claim.token, claim.force) == (HOOK.id, "t", kept.force)
    assert claim.keep_until_ms == (NOW + 500 if kept.keep_ms else None)
    assert made.hooks_released == (HOOK.id,)


@pytest.mark.parametrize(
    ("outcome", "ended"),
    [
        (Completed(b"v"), RunOutcome(status=RunStatus.COMPLETED, payload=b"v", at_ms=NOW)),
        (Failed(b"e"), RunOutcome(status=RunStatus.FAILED, payload=b"e", at_ms=NOW)),
        (Interrupted(), None),
        (None, RunOutcome(status=RunStatus.FAILED, payload=b"stalled", at_ms=NOW)),
    ],
)
def test_a_turn_ends_its_run_or_not(outcome: Outcome | None, ended: RunOutcome | None) -> None:
    assert plan(answer(outcome=outcome)).outcome == ended


def test_a_run_that_waits_for_something_goes_on() -> None:
    made = plan(answer(WAIT))
    assert (made.outcome, made.wake_at_ms) == (None, WAIT.resume_at_ms)


def test_commands_made_again_are_not_written_again() -> None:
    again = answer(STEP, position=4)
    fresh = answer(WAIT, position=5)
    made = plan(replace(fresh, turns=again.turns + fresh.turns), known_through=4)
    assert [event.key for event in made.events] == ["wait_3/created"]
    assert made.messages == ()


@given(COMMANDS)
def test_what_was_recorded_passes_when_it_is_made_again(commands: list[Command]) -> None:
    events = plan(answer(*commands, STEP if not commands else commands[0])).events
    recorded = {
        event.key: replace(event, facts={**event.facts, "at": "moved.ts:9:9"}) for event in events
    }
    check_repeated(RUN, commands, recorded)


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        (STEP, {"payload": b"other"}),
        (STEP, {"facts": {"step": "m:other", "at": "w.ts:1:1"}}),
        (STEP, {"type": EventType.WAIT_CREATED}),
        (WAIT, {"facts": {"resume_at_ms": 1}}),
    ],
)
def test_another_command_than_the_log_holds_is_a_divergence(
    command: Command, changed: dict[str, object]
) -> None:
    event = plan(answer(command)).events[0]
    recorded = {event.key: replace(event, **changed)}  # type: ignore[arg-type]  # one of its fields
    with pytest.raises(DivergenceError, match="is another command in the log"):
        check_repeated(RUN, [command], recorded)


@pytest.mark.parametrize("command", [STEP, HOOK])
def test_a_command_the_log_does_not_hold_is_a_divergence(command: Command) -> None:
    with pytest.raises(DivergenceError, match=f"the log holds no {command.id}/created"):
        check_repeated(RUN, [command], {})


def test_a_hook_recorded_as_a_conflict_is_the_same_command() -> None:
    conflict = Event(
        type=EventType.HOOK_CONFLICT, key=f"{HOOK.id}/conflict", at_ms=0, entity=HOOK.id
    )
    check_repeated(RUN, [HOOK], {conflict.key: conflict})


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_wait_is_never_over_before_its_time(resume_at: int, now: int) -> None:
    event = wait_completed(WAIT.id, resume_at_ms=resume_at, now_ms=now)
    assert event.at_ms >= max(resume_at, now)
    assert (event.key, event.entity) == (end_key(WAIT.id), WAIT.id)


@given(st.integers(0, 99))
def test_a_wait_that_is_ended_early_is_over_now(now: int) -> None:
    event = wait_ended_early(WAIT.id, now_ms=now)
    assert (event.at_ms, event.facts) == (now, {"early": True})
    assert event.key == wait_completed(WAIT.id, resume_at_ms=0, now_ms=now).key


def test_a_step_that_the_bundle_does_not_import_ends_the_run() -> None:
    forged = replace(STEP, step="m:forged")
    made = answer(STEP, forged, ATTRIBUTES)
    name = foreign_step(steps_to_run(made, new_commands(made, 0)), {STEP.step})
    assert name == "m:forged"
    plan = plan_turn(request(made, failure=b"no m:forged"), made, Ledger.empty())
    assert plan.outcome == RunOutcome(status=RunStatus.FAILED, payload=b"no m:forged", at_ms=NOW)
    assert (plan.messages, plan.inline) == ((), ())
    assert [event.type for event in plan.events] == [EventType.ATTRIBUTES_SET]


def test_a_step_made_again_is_not_looked_at() -> None:
    made = answer(replace(STEP, step="m:forged"))
    assert new_commands(made, 1) == []
    assert foreign_step([STEP], {STEP.step}) is None
    plan = plan_turn(request(made, known_through=1), made, Ledger.empty())
    assert plan.outcome == RunOutcome(status=RunStatus.FAILED, payload=b"stalled", at_ms=NOW)


def test_an_abort_is_recorded_and_steps_are_to_hear_of_it() -> None:
    abort = Abort(id=EntityId("abort_9"), reason=b"why")
    for outcome in (None, Completed(b"")):
        made = plan(answer(ELSEWHERE, abort, outcome=outcome))
        assert made.has_aborts
        event = made.events[-1]
        assert (event.type, event.key, event.payload, event.entity) == (
            EventType.ABORT_REQUESTED,
            "abort_9/end",
            b"why",
            "abort_9",
        )
    assert not plan(answer(ELSEWHERE)).has_aborts
    assert not plan(answer(ELSEWHERE, outcome=Completed(b""))).has_aborts


def test_an_abort_made_again_may_have_come_second() -> None:
    """The guest had not heard of the one that counts, which is in the log under the same key."""
    abort = Abort(id=EntityId("abort_9"), reason=b"why")
    made = answer(ELSEWHERE, abort)
    event = plan_turn(request(made), made, Ledger.empty()).events[-1]
    other = replace(event, type=EventType.ABORT_RECEIVED, payload=b"before")
    check_repeated(RUN, [abort], {event.key: other})
    with pytest.raises(DivergenceError, match="another command"):
        check_repeated(RUN, [abort], {event.key: replace(event, payload=b"other")})


def test_an_abort_that_the_code_listens_for_keeps_its_run() -> None:
    ledger = Ledger.empty()
    made = answer(AwaitAbort(id=EntityId("abort_9"), at="w.ts:1:2"))
    event = plan_turn(request(made), made, ledger).events[-1]
    assert (event.type, event.key, event.entity, event.facts) == (
        EventType.ABORT_AWAITED,
        "abort_9/awaited",
        "abort_9",
        {"at": "w.ts:1:2"},
    )
    again = answer()
    assert plan_turn(request(again), again, ledger).outcome is None


CHILD = StartChild(
    id=entity("child_6"),
    entry="w.ts#f",
    name="f",
    input=b"args",
    attributes={"a": "b"},
    token=None,
    run_id="run_c",
    asks=False,
    at="w.ts:9:1",
)
KEYED = replace(CHILD, id=entity("child_7"), token="t", run_id="run_k", asks=True)
WATCH = WatchRun(id=entity("watch_8"), run_id="run_c", at="w.ts:10:1")
PARENT = fresh_record(
    NewRun(
        run_id=RUN,
        workflow="w",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"",
        created_at_ms=0,
        secret=b"s",
    )
)


def family_plan(made: Answer) -> TurnPlan:
    return plan_turn(replace(request(made), record=PARENT), made, Ledger.empty())


def test_children_are_started_and_watched_with_the_turn() -> None:
    made = family_plan(answer(CHILD, WATCH, KEYED))
    assert [(e.type, e.key, e.payload, dict(e.facts)) for e in made.events] == [
        (
            EventType.CHILD_CREATED,
            "child_6/created",
            b"args",
            {"run_id": "run_c", "entry": "w.ts#f", "workflow": "f", "at": "w.ts:9:1"},
        ),
        (
            EventType.WATCH_CREATED,
            "watch_8/created",
            None,
            {"run_id": "run_c", "at": "w.ts:10:1"},
        ),
        (
            EventType.CHILD_CREATED,
            "child_7/created",
            b"args",
            {
                "run_id": "run_k",
                "entry": "w.ts#f",
                "workflow": "f",
                "at": "w.ts:9:1",
                "token": "t",
                "asks": True,
            },
        ),
    ]
    assert [(start.entity, start.new.run_id, start.asks) for start in made.starts] == [
        ("child_6", "run_c", False),
        ("child_7", "run_k", True),
    ]
    assert [(watch.entity, watch.run_id) for watch in made.watches] == [("watch_8", "run_c")]
    assert (made.outcome, made.wake_at_ms) == (None, None)


def test_a_run_that_ends_starts_children_and_waits_for_none() -> None:
    made = family_plan(answer(CHILD, WATCH, outcome=Completed(b"v")))
    assert [start.entity for start in made.starts] == ["child_6"]
    assert made.watches == ()
    assert len(made.events) == 2


def test_a_tampered_guest_starts_nothing() -> None:
    made = answer(CHILD)
    refused = plan_turn(request(made, failure=b"tampered"), made, Ledger.empty())
    assert (refused.starts, refused.events) == ((), ())


def test_a_start_made_again_is_compared() -> None:
    recorded = {event.key: event for event in family_plan(answer(CHILD)).events}
    check_repeated(RUN, [CHILD], recorded)
    with pytest.raises(DivergenceError):
        check_repeated(RUN, [replace(CHILD, run_id="run_x")], recorded)
