"""JSON: any value has a view that json can print."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from perdure._protocol.json_values import as_json
from perdure.errors import GuestError
from perdure.values import UNDEFINED, RegExp, Url

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
ANY = st.recursive(
    PLAIN | st.floats() | st.binary(max_size=4) | st.just(UNDEFINED) | st.just(RegExp("a")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers() | st.text(max_size=2), inner, max_size=3)
        | st.builds(GuestError, name=st.just("E"), message=st.text(max_size=2), cause=inner)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_what_json_has_stays_as_it_is(value: object) -> None:
    assert as_json(value) == value


@given(ANY)
def test_any_value_can_be_printed(value: object) -> None:
    json.dumps(as_json(value), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (UNDEFINED, None),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (b"\0\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        (memoryview(b"a"), "YQ=="),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        ({1: "a", "b": {2}}, [[1, "a"], ["b", [2]]]),
        ((1, frozenset({2})), [1, [2]]),
        (RegExp("a", "g"), "RegExp(source='a', flags='g')"),
        ([Url("http://a/")], ["http://a/"]),
    ],
)
def test_what_json_lacks_has_a_view(value: object, shown: object) -> None:
    assert as_json(value) == shown


def test_errors_show_their_causes_and_members() -> None:
    inner = GuestError(name="E", message="i", stack="at f")
    raised = GuestError(name="R", message="r", errors=(inner, 5))
    raised.__cause__ = ValueError("v")
    outer = GuestError(name="O", message="o", cause=raised)
    assert as_json(outer) == {
        "name": "O",
        "message": "o",
        "stack": "",
        "cause": {
            "name": "R",
            "message": "r",
            "stack": "",
            "cause": "v",
            "errors": [{"name": "E", "message": "i", "stack": "at f"}, 5],
        },
    }


def test_a_cycle_ends() -> None:
    value: list[object] = []
    value.append(value)
    shown = as_json(value)
    depth = 0
    while shown:
        (shown,) = shown
        depth += 1
    assert depth == 101
