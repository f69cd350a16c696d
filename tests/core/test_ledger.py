"""Ledger: what is open is what was asked for and has not ended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from perdure._core.ledger import KEYED_HOOK, Ledger, next_digest
from perdure._model.commands import (
    Abort,
    AskHook,
    AwaitAbort,
    Command,
    DisposeHook,
    OpenHook,
    ScheduleStep,
    SetAttributes,
    StartChild,
    StartWait,
    WatchRun,
)
from perdure.model import EntityId, Event, EventType
from tests.core.strategies import events

STEP = ScheduleStep(id=EntityId("step_1"), step="m:f", args=b"", at="")
WAIT = StartWait(id=EntityId("wait_2"), resume_at_ms=50, at="")
HOOK = OpenHook(id=EntityId("hook_3"), token="t", metadata=None, webhook=False, at="")
ATTRIBUTES = SetAttributes(id=EntityId("attributes_4"), changes={"a": "b"}, at="")


def delivery(kind: EventType, entity: EntityId | None, **fields: int | bytes) -> Event:
    return Event(type=kind, key=f"{entity}/end", at_ms=7, entity=entity, payload=b"p")


def noted(*commands: Command) -> Ledger:
    ledger = Ledger.empty()
    ledger.note(commands)
    return ledger


def test_commands_open_what_deliveries_end() -> None:
    ledger = noted(STEP, WAIT, HOOK)
    assert (ledger.steps, ledger.waits, ledger.hooks) == (
        {STEP.id: "m:f"},
        {WAIT.id: 50},
        {HOOK.id: "t"},
    )
    ledger.deliver(delivery(EventType.STEP_COMPLETED, STEP.id))
    ledger.deliver(delivery(EventType.WAIT_COMPLETED, WAIT.id))
    assert not ledger.is_empty
    ledger.deliver(delivery(EventType.HOOK_CONFLICT, HOOK.id))
    assert ledger.is_empty


@pytest.mark.parametrize("kind", [EventType.STEP_COMPLETED, EventType.STEP_FAILED])
def test_either_end_of_a_step_ends_it(kind: EventType) -> None:
    ledger = noted(STEP)
    ledger.deliver(delivery(kind, STEP.id))
    assert ledger.is_empty


def test_a_hook_is_open_until_it_is_disposed_of() -> None:
    ledger = noted(HOOK)
    ledger.deliver(delivery(EventType.HOOK_RECEIVED, HOOK.id))
    assert not ledger.is_empty
    ledger.note([DisposeHook(id=HOOK.id), DisposeHook(id=HOOK.id)])
    assert ledger.is_empty


def test_a_hook_that_is_asked_for_opens_nothing() -> None:
    assert noted(AskHook(id=HOOK.id)).is_empty
    assert noted(HOOK, AskHook(id=HOOK.id)) == noted(HOOK)


def test_a_run_that_was_started_with_a_token_has_its_hook_open() -> None:
    ledger = Ledger.empty()
    created = delivery(EventType.RUN_CREATED, None)
    ledger.deliver(replace(created, facts={"workflow": "w", "hook": "order-17"}))
    assert ledger.hooks == {KEYED_HOOK: "order-17"}
    ledger.note([DisposeHook(id=KEYED_HOOK)])
    assert ledger.is_empty
    ledger.deliver(delivery(EventType.RUN_MOVED, None))
    assert ledger.is_empty


def test_attributes_and_deliveries_of_the_run_open_and_end_nothing() -> None:
    ledger = noted(ATTRIBUTES)
    assert ledger.is_empty
    ledger.deliver(delivery(EventType.RUN_CREATED, None))
    assert ledger.is_empty
    assert ledger.digest


@given(st.lists(events(), max_size=8))
def test_any_delivery_is_taken_and_ends_at_most_what_it_names(made: list[Event]) -> None:
    ledger = noted(STEP, WAIT, HOOK)
    made = [event for event in made if event.type is not EventType.CANCEL_REQUESTED]
    for event in made:
        ledger.deliver(event)
    named = {event.entity for event in made}
    left = {*ledger.steps, *ledger.waits, *ledger.hooks}
    assert left >= {STEP.id, WAIT.id, HOOK.id} - named


@given(st.lists(events(), max_size=8), st.integers(0, 8))
def test_the_digest_says_what_was_delivered_and_in_which_order(made: list[Event], cut: int) -> None:
    def digest(told: list[Event]) -> bytes:
        ledger = Ledger.empty()
        for event in told:
            ledger.deliver(event)
        return ledger.digest

    assert digest(made) == digest(list(made))
    other = made[cut:] + made[:cut]
    told = [(e.type, e.entity, e.at_ms, e.payload or b"") for e in made]
    again = [(e.type, e.entity, e.at_ms, e.payload or b"") for e in other]
    assert (digest(other) == digest(made)) == (told == again)


@given(events(), st.binary(max_size=3))
def test_a_digest_depends_on_what_came_before(event: Event, before: bytes) -> None:
    assert next_digest(before, event) != next_digest(before + b"\0", event)
    assert len(next_digest(before, event)) == 16


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 99)), st.integers(0, 99))
def test_waits_come_due_in_order(waits: dict[int, int], now: int) -> None:
    ledger = noted(
        *(StartWait(id=EntityId(f"wait_{n}"), resume_at_ms=at, at="") for n, at in waits.items())
    )
    due = ledger.due_waits(now)
    times = [ledger.waits[entity] for entity in due]
    assert times == sorted(at for at in waits.values() if at <= now)
    assert len(set(due)) == len(due)
    assert ledger.next_due_ms() == min(waits.values(), default=None)


def test_a_copy_is_worked_on_alone() -> None:
    ledger = noted(STEP, WAIT, HOOK)
    copy = ledger.copy()
    assert copy == ledger
    copy.note([StartWait(id=EntityId("wait_9"), resume_at_ms=1, at="")])
    copy.deliver(delivery(EventType.STEP_FAILED, STEP.id))
    copy.note([DisposeHook(id=HOOK.id)])
    assert ledger == noted(STEP, WAIT, HOOK)


CHILD = StartChild(
    id=EntityId("child_5"),
    entry="w.ts#f",
    name="f",
    input=b"",
    attributes={},
    token=None,
    run_id="run_c",
    asks=False,
    at="",
)
WATCH = WatchRun(id=EntityId("watch_6"), run_id="run_c", at="")


def test_a_watch_is_open_until_the_run_has_ended() -> None:
    ledger = noted(CHILD, WATCH)
    assert ledger.runs == {WATCH.id: "run_c"}
    ledger.deliver(delivery(EventType.CHILD_ENDED, WATCH.id))
    assert ledger.is_empty


@pytest.mark.parametrize("kind", [EventType.CHILD_STARTED, EventType.CHILD_CONFLICT])
def test_a_start_that_asks_is_open_until_it_is_answered(kind: EventType) -> None:
    ledger = noted(replace(CHILD, asks=True))
    copy = ledger.copy()
    ledger.deliver(delivery(kind, CHILD.id))
    assert ledger.is_empty
    assert copy.runs == {CHILD.id: "run_c"}


def test_an_abort_is_open_from_the_first_listener_until_it_comes() -> None:
    entity = EntityId("abort_1")
    for ends in (True, False):
        ledger = noted(AwaitAbort(id=entity, at="w.ts:1:2"))
        copy = ledger.copy()
        assert (ledger.aborts, ledger.is_empty) == ({entity: "w.ts:1:2"}, False)
        if ends:
            ledger.deliver(delivery(EventType.ABORT_RECEIVED, entity))
        else:
            ledger.note([Abort(id=entity, reason=b"")])
        assert ledger.is_empty
        assert copy.aborts


@pytest.mark.parametrize("fact", ["run_id", "status", "code", "token"])
def test_the_digest_has_the_facts_that_the_guest_is_told(fact: str) -> None:
    event = delivery(EventType.CHILD_ENDED, WATCH.id)
    told = replace(event, facts={fact: "failed"})
    assert next_digest(b"", told) != next_digest(b"", event)
    unlike = replace(told, type=EventType.STEP_COMPLETED)
    assert next_digest(b"", unlike) == next_digest(b"", replace(event, type=unlike.type))
