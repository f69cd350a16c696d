"""Transitions: the tables are whole, and whatever is not in them is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perdure._core.transitions import ENTITY_OF, TABLES, EntityKind, is_ended, transition
from perdure.errors import IllegalTransitionError
from perdure.model import EventType

KINDS = pytest.mark.parametrize("kind", EntityKind)


@given(st.sampled_from(EntityKind), st.sampled_from(EventType), st.data())
def test_a_pair_is_a_row_of_the_table_or_raises(
    kind: EntityKind, event: EventType, data: st.DataObject
) -> None:
    state = data.draw(st.sampled_from(list(TABLES[kind])))
    if event in TABLES[kind][state]:
        assert transition(kind, state, event) in TABLES[kind]
    else:
        with pytest.raises(IllegalTransitionError) as caught:
            transition(kind, state, event)
        assert (caught.value.entity, caught.value.state, caught.value.event) == (kind, state, event)


def test_a_state_that_is_not_there_takes_nothing() -> None:
    with pytest.raises(IllegalTransitionError, match="step is lost and cannot take step_started"):
        transition(EntityKind.STEP, "lost", EventType.STEP_STARTED)


def test_every_event_belongs_to_one_kind_of_entity() -> None:
    owners = [
        (event, kind)
        for kind, table in TABLES.items()
        for event in {event for row in table.values() for event in row}
    ]
    missing = set(EventType) - {event for event, _ in owners}
    assert not missing, "each type of event has rows in TABLES of _core/transitions.py"
    assert sorted(event for event, _ in owners) == sorted(EventType)
    assert dict(owners) == ENTITY_OF


@KINDS
def test_every_state_is_reached_and_every_state_can_end(kind: EntityKind) -> None:
    table = TABLES[kind]
    reached, frontier = {"absent"}, ["absent"]
    while frontier:
        new = set(table[frontier.pop()].values()) - reached
        reached |= new
        frontier += new
    assert reached == set(table)
    ended = {state for state in table if is_ended(kind, state)}
    assert "absent" not in ended
    for _ in table:
        ended |= {state for state, row in table.items() if ended & set(row.values())}
    assert ended == set(table)
