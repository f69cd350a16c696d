"""Packing: what goes into a row comes out of it, and the usual keys are short."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from sqlite_values import new_run

from perdure.errors import WorldContractError
from perdure.model import EntityId, Event, EventType, RunId, TurnCommit
from perdure_sqlite._owners import Owner
from perdure_sqlite._place import Place
from perdure_sqlite._runs import insert_run, record_of, unpack_committed
from perdure_sqlite._schema import (
    _TYPES,
    create_tables,
    pack_event,
    pack_key,
    unpack_event,
)
from perdure_sqlite._sequences import Sequences
from perdure_sqlite._turn import commit_turn
from perdure_sqlite._writer import Transaction
from tests.damage import DAMAGE

NAMES = st.one_of(
    st.builds(
        "{}_{}".format, st.sampled_from(["step", "wait", "hook", "other"]), st.integers(0, 10**20)
    ),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
KEYS = st.one_of(
    st.builds("{}/{}".format, NAMES, st.sampled_from(["created", "end", "start/1", "start/9", ""])),
    st.text(st.characters(codec="utf-8"), max_size=12),
)
FACTS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=4),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(codec="utf-8")),
    max_size=3,
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    key = draw(KEYS)
    named = key.rpartition("/")[0]
    entity = draw(st.none() | st.sampled_from([named or "x", "other_1"]))
    return Event(
        type=draw(st.sampled_from(EventType)),
        key=key,
        at_ms=draw(st.integers(0, 2**48)),
        entity=None if entity is None else EntityId(entity),
        payload=draw(st.none() | st.binary(max_size=8)),
        facts=draw(FACTS),
    )


def test_every_type_of_event_has_a_stored_number() -> None:
    missing = set(EventType) - {*_TYPES}
    assert not missing, "a new type of event is added at the end of _TYPES in _schema.py"
    assert len(_TYPES) == len({*_TYPES})


@given(events(), st.integers(1, 2**31))
def test_an_event_survives_its_row(event: Event, position: int) -> None:
    row = pack_event(7, position, event)
    assert (row[0] >> 32, row[0] & 0xFFFFFFFF) == (7, position)
    logged = unpack_event((position, *row[1:]))
    assert (logged.position, logged.event) == (position, event)


@given(KEYS, KEYS)
def test_different_keys_pack_differently(left: str, right: str) -> None:
    assert (pack_key(left) == pack_key(right)) == (left == right)


def test_usual_keys_are_short_and_in_order_of_their_number() -> None:
    packed = [pack_key(f"step_{number}/end") for number in (1, 9, 10, 255, 256, 70_000)]
    assert packed == sorted(packed)
    assert max(map(len, packed)) <= 5


READERS: dict[str, Callable[[bytes], object]] = {
    "an event's facts": lambda data: unpack_event(
        (1, *pack_event(7, 1, Event(type=EventType.RUN_STARTED, key="k", at_ms=1))[1:6], data)
    ),
    "a run's attributes": lambda data: record_of(
        ("r", "w", "b", "e", "running", *(0,) * 3, b"", 0, None, None, None, None, data)
    ),
    "a commit's answer": unpack_committed,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_damaged_bytes_are_named(reader: str, damage: str) -> None:
    with pytest.raises(WorldContractError, match="cannot be read"):
        READERS[reader](DAMAGE[damage])


def test_attributes_that_are_damaged_fail_the_commit_that_adds_to_them() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        create_tables(db)
        transaction, owner = Transaction(db.cursor(), 1), Owner(Place("", Path("none")))
        insert_run(db, new_run("a"), due_ms=None)
        db.execute("UPDATE runs SET attributes = ?", (DAMAGE["a tag within"],))
        change = Event(type=EventType.ATTRIBUTES_SET, key="k", at_ms=1, facts={"a": "1"})
        commit = TurnCommit(
            run_id=RunId("a"),
            commit_id="c",
            turn=0,
            expected_position=1,
            consumed=0,
            log_digest=b"",
            events=(change,),
        )
        with pytest.raises(WorldContractError, match="the record of run a cannot be read"):
            commit_turn(commit, owner, Sequences(), transaction)
