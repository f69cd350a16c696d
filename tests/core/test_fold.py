"""Fold: any log has a fold, and what its entities cannot take changes nothing."""

from __future__ import annotations

from hypothesis import given, strategies as st

from perdure._core.fold import WITHDRAWN, Entity, fold
from perdure._core.transitions import ENTITY_OF, TABLES, EntityKind, is_ended
from perdure.model import EntityId, Event, EventType, Fact, LoggedEvent
from tests.core.strategies import events, logs


def logged(*made: Event) -> list[LoggedEvent]:
    return [LoggedEvent(position=k, event=event) for k, event in enumerate(made, 1)]


def event(kind: EventType, entity: str | None, at_ms: int, **facts: str | int) -> Event:
    return Event(
        type=kind,
        key=f"{entity}/{kind}",
        at_ms=at_ms,
        entity=None if entity is None else EntityId(entity),
        facts=facts,
    )


@given(logs())
def test_any_log_folds_into_states_of_the_tables(log: tuple[LoggedEvent, ...]) -> None:
    made = fold(log)
    assert len({entity.id for entity in made}) == len(made)
    for entity in made:
        assert entity.state in {*TABLES[entity.kind], WITHDRAWN}
        assert entity.kind is not EntityKind.RUN
        assert (entity.ended_ms is not None) == is_ended(entity.kind, entity.state)


@given(logs(), events())
def test_an_entity_that_has_ended_never_changes(log: tuple[LoggedEvent, ...], late: Event) -> None:
    before = {entity.id: entity for entity in fold(log)}
    after = {entity.id: entity for entity in fold([*log, *logged(late)])}
    for entity in before.values():
        if entity.ended_ms is not None:
            assert after[entity.id] == entity
        assert after[entity.id].attempts >= entity.attempts


@given(logs(), st.integers(0, 12))
def test_entities_keep_their_order_as_the_log_grows(log: tuple[LoggedEvent, ...], cut: int) -> None:
    shorter = [entity.id for entity in fold(log[:cut])]
    assert [entity.id for entity in fold(log)][: len(shorter)] == shorter


@given(st.lists(events(), max_size=12))
def test_states_are_those_of_the_table_one_event_after_another(made: list[Event]) -> None:
    states: dict[EntityId, tuple[EntityKind, str]] = {}
    made = [each for each in made if each.type is not EventType.CANCEL_REQUESTED]
    for each in made:
        kind = ENTITY_OF[each.type]
        if each.entity is None or kind is EntityKind.RUN:
            continue
        known, state = states.get(each.entity, (kind, "absent"))
        if known is kind and each.type in TABLES[kind][state]:
            states[each.entity] = (kind, TABLES[kind][state][each.type])
    assert {e.id: (e.kind, e.state) for e in fold(logged(*made))} == states


def test_a_run_as_people_see_it() -> None:
    made = fold(
        logged(
            event(EventType.RUN_CREATED, None, 1),
            event(EventType.STEP_CREATED, "step_1", 2, step="m:f", at="w.ts:1:1"),
            event(EventType.STEP_STARTED, "step_1", 3, attempt=1),
            event(EventType.STEP_RETRYING, "step_1", 4),
            event(EventType.STEP_STARTED, "step_1", 5, attempt=2),
            event(EventType.WAIT_CREATED, "wait_2", 6, resume_at_ms=70),
            event(EventType.HOOK_CREATED, "hook_3", 7, token="t"),
            event(EventType.HOOK_CONFLICT, "hook_4", 8, token="t"),
            event(EventType.STEP_COMPLETED, "step_1", 9),
            event(EventType.STEP_CREATED, "step_5", 10, step="m:g"),
            event(EventType.STEP_FAILED, "step_5", 11),
        )
    )
    step, wait, hook, conflict, unstarted = made
    assert step == Entity(
        kind=EntityKind.STEP,
        id=EntityId("step_1"),
        state="completed",
        name="m:f",
        at="w.ts:1:1",
        created_ms=2,
        ended_ms=9,
        attempts=2,
    )
    assert (wait.state, wait.name, wait.resume_at_ms, wait.ended_ms) == ("waiting", "", 70, None)
    assert (hook.state, hook.name) == ("live", "t")
    assert (conflict.state, conflict.ended_ms) == ("conflicted", 8)
    assert (unstarted.state, unstarted.attempts) == ("failed", 1)


def test_executions_that_were_lost_are_counted() -> None:
    def of(*more: Event) -> Entity:
        (step,) = fold(logged(event(EventType.STEP_CREATED, "step_1", 1, step="m:f"), *more))
        return step

    retrying = event(EventType.STEP_RETRYING, "step_1", 2, attempt=3, lost=2)
    assert (of(retrying).attempts, of(retrying).losses) == (3, 2)
    ended = of(retrying, event(EventType.STEP_COMPLETED, "step_1", 3, attempt=4, lost=2))
    assert (ended.attempts, ended.losses) == (4, 2)
    assert of(event(EventType.STEP_COMPLETED, "step_1", 2)).losses == 0


def test_a_hook_that_lost_its_token_is_named_by_it_and_a_child_by_its_run() -> None:
    """The facts of a conflict name a run, too."""
    facts: dict[str, Fact] = {"token": "t", "run_id": "run_b"}
    names: dict[str, str] = {}
    for kind, entity in (
        (EventType.HOOK_CONFLICT, "hook_1"),
        (EventType.CHILD_CREATED, "child_2"),
        (EventType.WATCH_CREATED, "watch_3"),
    ):
        event = Event(type=kind, key=entity, at_ms=1, entity=EntityId(entity), facts=facts)
        names |= {entity.id: entity.name for entity in fold([LoggedEvent(position=1, event=event)])}
    assert names == {"hook_1": "t", "child_2": "run_b", "watch_3": "run_b"}
