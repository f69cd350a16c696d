"""Attributes: their limits, told in words, and what becomes of a run's."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perdure._core.attributes import attributes_after, fault_of, merged_attributes
from perdure.errors import AttributeLimitError, FatalError
from perdure.model import Event, EventType

TEXTS = st.dictionaries(st.sampled_from("abc"), st.text(max_size=2))


@given(TEXTS, st.dictionaries(st.sampled_from("abc"), st.none() | st.text(max_size=2)))
def test_attributes_are_merged_and_none_takes_away(
    before: dict[str, str], changes: dict[str, str | None]
) -> None:
    kept = dict(before)
    merged = merged_attributes(before, changes)
    assert before == kept
    for name in "abc":
        assert merged.get(name) == changes.get(name, before.get(name))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"a": "b", "c": None}, None),
        ({"a" * 256: "b" * 256}, None),
        ({"\U0001f600" * 128: "\U0001f600" * 64}, None),
        ({"": "x"}, "must not be empty"),
        ({"": None}, "must not be empty"),
        ({"a" * 257: "x"}, "key length 257 exceeds limit 256"),
        ({"\U0001f600" * 129: "x"}, "key length 258 exceeds limit 256"),
        ({"a": "x" * 400}, "byte length 400 exceeds limit 256"),
        ({"a": "é" * 129}, "byte length 258 exceeds limit 256"),
        ({"$a": "x"}, "reserved prefix"),
        ({"$a": "x"}, "allowReservedAttributes"),
        ({f"a{n}": "x" for n in range(64)}, None),
        ({f"a{n}": "x" for n in range(65)}, "exceed limit 64"),
        ({f"a{n}": "x" * 250 for n in range(40)}, "exceeds limit 8192"),
        ({f"{n:0256}": None for n in range(40)}, "exceeds limit 8192"),
    ],
)
def test_each_limit_is_told_in_the_words_that_tests_of_the_reference_look_for(
    changes: dict[str, str | None], fault: str | None
) -> None:
    told = fault_of(changes, allow_reserved=False)
    assert told is None if fault is None else fault in (told or "")


def test_a_reserved_name_is_taken_with_permission() -> None:
    assert fault_of({"$root": "x"}, allow_reserved=True) is None


def changed(**facts: str | None) -> Event:
    return Event(type=EventType.ATTRIBUTES_SET, key="k", at_ms=1, facts=facts)


def many(count: int) -> dict[str, str]:
    return {f"a{n}": "x" for n in range(count)}


def test_a_run_has_no_more_than_64() -> None:
    other = Event(type=EventType.STEP_CREATED, key="k", at_ms=1, facts={"step": "s"})
    assert attributes_after("r", many(63), [other, changed(b="1")]).keys() == {*many(63), "b"}
    assert len(attributes_after("r", many(64), [changed(b="1", a0=None)])) == 64
    with pytest.raises(AttributeLimitError, match=r"run r .* 65 .*exceed limit 64") as failure:
        attributes_after("r", many(64), [changed(b="1")])
    assert isinstance(failure.value, FatalError)
    # One that had more, by an earlier version, may have fewer.
    assert len(attributes_after("r", many(70), [changed(a0=None)])) == 69
