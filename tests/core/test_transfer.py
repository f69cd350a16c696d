"""Transfer: what waits for a run goes with it, and what must not move is refused unchanged."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from perdure._core.book import Book
from perdure._core.transfer import (
    arrive,
    arrived_already,
    check_here,
    confirmed_record,
    depart,
    moved_key,
    moved_to,
    remains_of,
    work_of,
)
from perdure.errors import (
    HookTokenHeldError,
    RunBusyError,
    RunEndedError,
    RunExistsError,
    RunMovedError,
    WorldContractError,
)
from perdure.model import (
    Append,
    Departure,
    Digest,
    EntityId,
    Event,
    EventType,
    HookClaim,
    HookRecord,
    Lease,
    LoggedEvent,
    NewMessage,
    NewRun,
    RunCopy,
    RunId,
    RunStatus,
    Snapshot,
    TurnCommit,
)
from tests.damage import DAMAGE

RUN = RunId("run_a")
NOW = 1_000
AWAY = Departure(run_id=RUN, to="there://")
LOSING = replace(AWAY, lose_claims=True)


def book(*, messages: int = 2, lease_ms: int | None = None) -> tuple[Book, list[LoggedEvent]]:
    """A run that awaits a hook and steps, and its log."""
    new = NewRun(
        run_id=RUN,
        workflow="w",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"i",
        created_at_ms=NOW,
    )
    made = Book.create(new, due_ms=NOW)
    made.commit(
        TurnCommit(
            run_id=RUN,
            commit_id="c",
            turn=0,
            expected_position=1,
            consumed=1,
            log_digest=b"d",
            events=(Event(type=EventType.STEP_CREATED, key="step_1/created", at_ms=NOW),),
            hooks_claimed=(HookClaim(hook_id=EntityId("hook_1"), token="t", metadata=b"m"),),
            messages=tuple(
                NewMessage(
                    message_id=f"{RUN}/step_{n}",
                    run_id=RUN,
                    topic="q",
                    body=b"%d" % n,
                    due_ms=NOW + n,
                    lease_ms=lease_ms,
                )
                for n in range(messages, 0, -1)
            ),
            snapshot=Snapshot(turn=1, parent_turn=None, consumed=1, data=b"s"),
            wake_at_ms=NOW + 500,
        ),
        now_ms=NOW,
        holder=lambda token: None,
        new_token=lambda: "lease",
    )
    return made, made.written


def nobody(token: str) -> HookRecord | None:
    return None


def copy_of(departed: Book, log: list[LoggedEvent]) -> RunCopy:
    return RunCopy(
        record=departed.record, events=tuple(log), chain=tuple(departed.snapshots), streams=()
    )


def send(made: Book, log: list[LoggedEvent], departure: Departure = AWAY) -> RunCopy:
    depart(made, departure, url="here://", now_ms=NOW + 10)
    return copy_of(made, log)


def test_a_run_arrives_with_everything_that_it_left_with() -> None:
    made, log = book()
    before = copy.deepcopy(made)
    there = arrive(send(made, log), holder=nobody)
    assert there.record == replace(before.record, position=before.record.position + 1)
    assert (there.messages, there.hooks, there.wake) == (
        before.messages,
        before.hooks,
        before.wake,
    )
    assert (there.snapshots, there.input_digest) == (before.snapshots, before.input_digest)
    assert there.positions == {e.event.key: e.position for e in there.written}
    assert log[-1].event.facts == {"from": "here://", "to": "there://"}


def test_what_is_left_behind_holds_nothing_and_says_where_it_went() -> None:
    made, log = book()
    assert moved_to(made.record) is None
    send(made, log)
    assert (made.record.status, moved_to(made.record)) == (RunStatus.MOVING, "there://")
    assert (made.wake, made.hooks, made.messages) == (None, {}, {})
    late = Event(type=EventType.STEP_COMPLETED, key="step_1/end", at_ms=NOW)
    with pytest.raises(RunEndedError):
        made.append(Append(run_id=RUN, event=late), now_ms=NOW)
    made.record = confirmed_record(confirmed_record(made.record))
    assert (made.record.status, moved_to(made.record)) == (RunStatus.MOVED, "there://")
    for damaged in (b"", b"\x01"):
        unreadable = replace(made.record, payload=damaged)
        assert moved_to(unreadable) == "(a url that cannot be read)"


@pytest.mark.parametrize("damage", [*DAMAGE, "a map of something else"])
def test_what_waited_for_a_run_and_cannot_be_read_is_named(damage: str) -> None:
    made, log = book()
    copy = send(made, log)
    last = copy.events[-1]
    hurt = replace(last, event=replace(last.event, payload=DAMAGE.get(damage, b"\xa0")))
    with pytest.raises(WorldContractError, match=f"run {RUN}: .* cannot be read"):
        work_of(replace(copy, events=(*copy.events[:-1], hurt)))


def test_departing_again_changes_nothing_and_elsewhere_is_refused() -> None:
    made, log = book()
    send(made, log)
    record, count = made.record, len(log)
    assert depart(made, AWAY, url="here://", now_ms=NOW + 99) == record
    with pytest.raises(RunMovedError, match="there://"):
        depart(made, replace(AWAY, to="elsewhere://"), url="here://", now_ms=NOW)
    assert len(log) == count


def test_a_running_step_bars_the_run_unless_it_counts_as_lost() -> None:
    made, log = book(lease_ms=100)
    made.claim_wake(Lease(item=RUN, token="w", is_wake=True, expires_at_ms=NOW + 100))
    before = copy.deepcopy(made)
    with pytest.raises(RunBusyError, match="step_1, step_2") as caught:
        send(made, log)
    assert caught.value.until_ms == NOW + 100
    assert made == before
    work = work_of(send(made, log, LOSING))
    assert [(m.claims, m.losses, m.due_ms) for m in work.messages] == [(1, 1, NOW + 10)] * 2
    assert work.wake_due_ms == NOW + 10  # the turn that was under way is lost too


def test_a_claim_that_ran_out_counts_as_lost_since_then() -> None:
    made, log = book(messages=1, lease_ms=5)
    (message,) = work_of(send(made, log)).messages
    assert (message.claims, message.losses, message.due_ms) == (1, 1, NOW + 5)


def test_an_ended_run_stays() -> None:
    made, _ = book()
    end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=NOW)
    made.append(Append(run_id=RUN, event=end), now_ms=NOW)
    with pytest.raises(RunEndedError):
        depart(made, AWAY, url="here://", now_ms=NOW)
    with pytest.raises(WorldContractError, match="cancelled"):
        confirmed_record(made.record)


def test_a_run_that_took_no_turn_arrives_pending() -> None:
    made, log = book()
    made.record = replace(made.record, turn=0)
    assert arrive(send(made, log), holder=nobody).record.status is RunStatus.PENDING


def test_a_token_that_another_run_holds_bars_the_arrival() -> None:
    made, log = book()
    held = replace(made.hooks["t"], run_id=RunId("run_b"))
    with pytest.raises(HookTokenHeldError, match="run_b"):
        arrive(send(made, log), holder={"t": held}.get)


def test_what_a_run_left_behind_is_told_from_what_went_on_and_from_other_runs() -> None:
    made, log = book()
    send(made, log)
    left = made.record
    there = log[:]
    assert remains_of(left, there)
    assert remains_of(confirmed_record(left), there)
    assert not remains_of(replace(left, status=RunStatus.RUNNING), there)
    assert not remains_of(replace(left, created_at_ms=NOW + 1), there)
    assert not remains_of(replace(left, position=left.position + 1), there)  # it went on since
    assert not remains_of(replace(left, position=left.position - 1), there)


def test_only_a_run_that_is_away_is_refused_for_that() -> None:
    made, log = book()
    check_here(made.record)
    send(made, log)
    with pytest.raises(RunMovedError, match=f"perdure move {RUN} --to there://") as caught:
        check_here(made.record)
    assert not caught.value.arrived
    with pytest.raises(RunMovedError, match="ask for it there") as caught:
        check_here(confirmed_record(made.record))
    assert caught.value.arrived


def test_only_the_same_departure_has_arrived_already() -> None:
    made, log = book()
    sent = send(made, log)
    there = arrive(sent, holder=nobody)
    assert arrived_already(there, sent) == there.record
    moved = replace(sent.events[-1].event, key=moved_key(2))
    for other in (
        replace(sent, record=replace(sent.record, workflow="v")),
        replace(
            sent,
            record=replace(sent.record, position=2),
            events=(sent.events[0], LoggedEvent(position=2, event=moved)),
        ),
    ):
        with pytest.raises(RunExistsError):
            arrived_already(there, other)
    with pytest.raises(WorldContractError, match="not a whole"):
        arrived_already(there, replace(sent, events=sent.events[:-1]))


@pytest.mark.parametrize("cut", [slice(0, 0), slice(0, -1), slice(1, None)])
def test_a_copy_that_is_not_whole_is_refused(cut: slice) -> None:
    made, log = book()
    sent = send(made, log)
    with pytest.raises(WorldContractError, match="not a whole"):
        arrive(replace(sent, events=sent.events[cut]), holder=nobody)
