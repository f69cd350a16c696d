"""JSON: any value has a view that json can print."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from perdure._protocol.json_values import as_json
from perdure.errors import GuestError
from perdure.values import UNDEFINED, RegExp, Stream, Url

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


def test_a_stream_is_its_run_and_name() -> None:
    assert as_json([Stream("run_a", "out")]) == [{"run_id": "run_a", "name": "out"}]


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


def test_a_container_that_contains_itself_is_named_there() -> None:
    value: list[object] = [1]
    value.append({"again": value})
    assert as_json(value) == [1, {"again": "(contains itself)"}]
    error = GuestError(name="E", message="m")
    error.cause = error
    assert as_json(error)["cause"] == "(contains itself)"


def test_what_is_referred_to_again_and_again_is_cut() -> None:
    value: object = ["x"]
    for _ in range(90):  # 2**90 leaves, were each shown
        value = [value, value]
    text = str(as_json(value))
    assert "(shown before)" in text
    assert len(text) < 10_000_000
    once = [1]
    assert as_json([once, once]) == [[1], [1]]


def test_an_integer_that_is_too_long_for_decimals_is_hexadecimal() -> None:
    assert as_json(10**5000) == hex(10**5000)
    assert as_json(-(10**5000)) == hex(-(10**5000))
    assert as_json(10**3000) == 10**3000
