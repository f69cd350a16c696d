"""Landing: what becomes of a run when something is written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from perdure._core.landing import (
    advanced_record,
    check_turn,
    conflict_event,
    created_event,
    ended_event,
    ended_record,
    fresh_record,
    list_cursor,
    matches_filter,
    parse_cursor,
)
from perdure.errors import CursorError, RunEndedError, StaleTurnError
from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    HookClaim,
    HookRecord,
    NewRun,
    RunFilter,
    RunId,
    RunOutcome,
    RunStatus,
    TurnCommit,
)

NEW = NewRun(
    run_id=RunId("run_1"),
    workflow="w",
    bundle=Digest("b"),
    engine=Digest("e"),
    input=b"\x80",
    created_at_ms=5,
    idempotency_key="k",
    attributes={"a": "1"},
)
RECORD = fresh_record(NEW)
COMMIT = TurnCommit(
    run_id=NEW.run_id,
    commit_id="c",
    turn=0,
    expected_position=1,
    consumed=1,
    log_digest=b"d",
)
COMPLETED = RunOutcome(status=RunStatus.COMPLETED, payload=b"v", at_ms=9)
FAILED = RunOutcome(status=RunStatus.FAILED, payload=b"e", at_ms=9)
DELIVERY = Event(type=EventType.STEP_COMPLETED, key="step_1/end", at_ms=1)
TEXTS = st.dictionaries(st.sampled_from("abc"), st.text(max_size=2))


def test_a_new_run_is_pending_with_its_first_event() -> None:
    event = created_event(NEW)
    assert (RECORD.status, RECORD.turn, RECORD.position, RECORD.consumed) == (
        RunStatus.PENDING,
        0,
        1,
        0,
    )
    assert (event.type, event.key, event.at_ms, event.payload) == (
        EventType.RUN_CREATED,
        "run/created",
        5,
        b"\x80",
    )
    assert event.facts == {"workflow": "w", "bundle": "b", "engine": "e"}
    assert (RECORD.idempotency_key, RECORD.attributes) == ("k", {"a": "1"})


@given(st.sampled_from(RunStatus), st.integers(0, 2), st.integers(0, 2), st.booleans())
def test_only_a_commit_on_the_run_as_it_is_passes(
    status: RunStatus, turn: int, position: int, delivers: bool
) -> None:
    commit = replace(COMMIT, deliveries=(DELIVERY,) if delivers else ())
    if status.is_ended:
        with pytest.raises(RunEndedError):
            check_turn(commit, status=status, turn=turn, position=position)
    elif turn != commit.turn or (delivers and position > commit.expected_position):
        with pytest.raises(StaleTurnError):
            check_turn(commit, status=status, turn=turn, position=position)
    else:
        check_turn(commit, status=status, turn=turn, position=position)


def test_a_commit_that_does_not_know_the_log_must_not_end_the_run() -> None:
    commit = replace(COMMIT, outcome=COMPLETED)
    with pytest.raises(StaleTurnError, match="it knows of position 1, the log is at 2"):
        check_turn(commit, status=RunStatus.RUNNING, turn=0, position=2)
    with pytest.raises(StaleTurnError, match="it builds on turn 0, the run is at 3"):
        check_turn(commit, status=RunStatus.RUNNING, turn=3, position=1)


def test_a_token_that_is_held_becomes_a_conflict_in_the_place_of_the_hook() -> None:
    holder = HookRecord(
        run_id=RunId("run_2"),
        hook_id=EntityId("hook_1"),
        token="t",
        metadata=None,
        is_webhook=False,
        created_at_ms=3,
    )
    asked = Event(
        type=EventType.HOOK_CREATED, key="hook_3/created", at_ms=4, entity=EntityId("hook_3")
    )
    event = conflict_event(asked, holder, COMMIT)
    assert (event.type, event.key, event.at_ms, event.entity) == (
        EventType.HOOK_CONFLICT,
        "hook_3/conflict",
        4,
        "hook_3",
    )
    assert event.facts == {"token": "t", "run_id": "run_2"}
    forced = HookClaim(hook_id=EntityId("hook_3"), token="t", force=True)
    by_force = replace(COMMIT, hooks_claimed=(forced,))
    refused = conflict_event(asked, holder, by_force)
    assert refused.facts == {"token": "t", "run_id": "run_2", "refused": True}
    own = conflict_event(asked, replace(holder, run_id=COMMIT.run_id), by_force)
    assert "refused" not in own.facts


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(COMPLETED, EventType.RUN_COMPLETED), (FAILED, EventType.RUN_FAILED)],
)
def test_an_outcome_is_the_last_event_and_the_state(outcome: RunOutcome, kind: EventType) -> None:
    event = ended_event(outcome)
    assert (event.type, event.key, event.at_ms, event.payload) == (
        kind,
        "run/ended",
        9,
        outcome.payload,
    )
    record = ended_record(RECORD, outcome)
    assert (record.status, record.payload, record.ended_at_ms) == (
        outcome.status,
        outcome.payload,
        9,
    )


@pytest.mark.parametrize(("first_at", "started"), [(None, 77), (6, 6)])
def test_the_first_commit_starts_a_run(first_at: int | None, started: int) -> None:
    record = advanced_record(
        RECORD, COMMIT, position=4, first_at_ms=first_at, attributes={"b": "2"}, now_ms=77
    )
    assert (record.status, record.turn, record.position, record.consumed) == (
        RunStatus.RUNNING,
        1,
        4,
        1,
    )
    assert (record.started_at_ms, record.log_digest) == (started, b"d")
    assert record.attributes == {"b": "2"}
    again = advanced_record(record, COMMIT, position=5, first_at_ms=50, attributes={}, now_ms=99)
    assert (again.turn, again.started_at_ms) == (2, started)


def test_a_commit_with_an_outcome_ends_its_run() -> None:
    commit = replace(COMMIT, outcome=FAILED)
    record = advanced_record(RECORD, commit, position=4, first_at_ms=6, attributes={}, now_ms=77)
    assert (record.status, record.turn, record.ended_at_ms) == (RunStatus.FAILED, 1, 9)


@given(st.integers(0, 2**53), st.text(min_size=1))
def test_a_cursor_comes_back(created: int, run_id: str) -> None:
    record = replace(RECORD, created_at_ms=created, run_id=RunId(run_id))
    assert parse_cursor(list_cursor(record)) == (created, run_id)


@given(st.integers(0, 2**53), st.text())
def test_a_list_begins_above_every_run(created: int, run_id: str) -> None:
    assert parse_cursor(None) > (created, run_id)


@pytest.mark.parametrize(
    "cursor", ["", "5", "x/run_1", "-1/run_1", "/run_1", "5/", "1" * 17 + "/r"]
)
def test_another_text_is_no_cursor(cursor: str) -> None:
    with pytest.raises(CursorError, match="is not a cursor of a list of runs; go on with"):
        parse_cursor(cursor)


@given(TEXTS, TEXTS, st.sampled_from([None, *RunStatus]), st.sampled_from([None, "w", "other"]))
def test_a_filter_asks_for_all_it_names(
    has: dict[str, str], asked: dict[str, str], status: RunStatus | None, workflow: str | None
) -> None:
    record = replace(RECORD, attributes=has)
    where = RunFilter(status=status, workflow=workflow, attributes=asked)
    assert matches_filter(record, where) == (
        status in (None, RunStatus.PENDING)
        and workflow in (None, "w")
        and all(has.get(name) == value for name, value in asked.items())
    )
