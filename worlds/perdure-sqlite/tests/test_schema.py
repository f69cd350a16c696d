"""Packing: what goes into a row comes out of it, and the usual keys are short."""

from __future__ import annotations

from hypothesis import given, strategies as st

from perdure.model import EntityId, Event, EventType
from perdure_sqlite._schema import pack_event, pack_key, unpack_event

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
