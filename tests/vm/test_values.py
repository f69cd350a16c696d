"""Values through a guest: Python, JavaScript and back."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from perdure._model.commands import Completed
from perdure._protocol.codec import decode, encode
from perdure._protocol.frames import GuestDelivery
from perdure.errors import GuestError, ValueNotCarriableError
from perdure.values import UNDEFINED, ArrayBuffer, DataView, RegExp, TypedArray, Url
from tests.vm.conftest import Run, RunOf, ValueOf

IDENTITY = """
import { work } from "python:steps";
export async function w(value) { return await work(value); }
"""
INSPECT = "export async function w(value) { return %s; }"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
SCALARS = (
    st.none()
    | st.booleans()
    | SAFE
    | st.integers(2**53, 2**80)
    | st.floats(allow_nan=False).filter(lambda x: not x.is_integer())
    | TEXT
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC))
)
NAMES = TEXT.filter(lambda name: name != "__proto__" and not name.isdigit())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES, inner, max_size=4)
        | st.dictionaries(SAFE, inner, min_size=1, max_size=3)
        | st.sets(SAFE | TEXT, max_size=4)
    ),
    max_leaves=10,
)


def _through(run: Run, value: object) -> tuple[Any, Any]:
    """*value* to the workflow, to a step, back to the workflow, and back as its result."""
    answer = run.start(value)
    assert answer.outcome is None, answer
    (argument,) = decode(run.step_of(answer).args)
    delivery = GuestDelivery(
        position=2,
        at_ms=0,
        kind="step_completed",
        id="step_1",
        value=encode(argument, where="result"),
    )
    answer = run.guest.resume([delivery])
    run.guest.close()
    assert isinstance(answer.outcome, Completed)
    return argument, decode(answer.outcome.value)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_values_survive_two_round_trips_through_javascript(run_of: RunOf, value: Any) -> None:
    argument, result = _through(run_of(IDENTITY), value)
    assert argument == value
    assert result == value


@pytest.mark.parametrize(
    "value",
    [
        UNDEFINED,
        math.inf,
        -0.0,
        RegExp("a+", "gi"),
        Url("https://example.com/a?b"),
        ArrayBuffer(b"abc"),
        DataView(b"abc"),
        TypedArray(85, b"\0\0\x80?"),
        TypedArray(79, b"\1" + b"\0" * 7),
        [UNDEFINED, {"a": UNDEFINED}],
        2**53,
        -(2**70),
    ],
    ids=repr,
)
def test_special_values_survive(run_of: RunOf, value: Any) -> None:
    argument, result = _through(run_of(IDENTITY), value)
    for back in (argument, result):
        assert back == value
        assert type(back) is type(value)
    if value == 0:
        assert math.copysign(1, result) == -1


def test_errors_survive(run_of: RunOf) -> None:
    error = GuestError(
        name="TypeError",
        message="bad",
        cause=GuestError(name="E", message="inner"),
        errors=(),
        fatal=True,
    )
    _, back = _through(run_of(IDENTITY), error)
    assert (back.name, back.text, back.fatal) == ("TypeError", "bad", True)
    assert (back.cause.name, back.cause.text) == ("E", "inner")


def test_cycles_and_shared_values_survive(run_of: RunOf) -> None:
    value: dict[str, object] = {"items": [1]}
    value["again"] = value["items"]
    value["me"] = value
    _, back = _through(run_of(IDENTITY), value)
    assert back["me"] is back
    assert back["again"] is back["items"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("new Set([1, 'a'])", {1, "a"}),
        ("new Map([[1, 'a'], ['b', 2]])", {1: "a", "b": 2}),
        ("[1,,2]", [1, UNDEFINED, 2]),
        ("10n ** 20n", 10**20),
        ("new Date(1500)", datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)),
        ("new Uint8Array([1, 2])", b"\1\2"),
        ("0.1 + 0.2", 0.1 + 0.2),
        ("4 / 2", 2),
    ],
)
def test_what_javascript_makes_arrives(
    run_of: RunOf, value_of: ValueOf, expression: str, value: Any
) -> None:
    run = run_of(INSPECT % expression)
    found = value_of(run.start())
    assert found == value
    assert type(found) is type(value)


AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
WHOLE = AT.replace(microsecond=678000)


@pytest.mark.parametrize("at", [AT, AT.replace(year=1925), AT.replace(year=9998)])
@pytest.mark.parametrize(
    ("expression", "keeps"),
    [
        ("v", True),
        ("Object.freeze(v)", True),
        ("structuredClone(v)", True),
        ("(v.setTime(v.getTime() + 1), v.setTime(v.getTime() - 1), v)", True),
        ("new Date(v)", False),
        ("new Date(v.getTime())", False),
        ("(v.setSeconds(5), v)", True),
        ("(v.setMilliseconds(0), v.setTime(+v + 678), v)", True),
    ],
)
def test_a_date_that_is_what_it_was_keeps_its_microseconds(
    run_of: RunOf, value_of: ValueOf, at: datetime, expression: str, keeps: bool
) -> None:
    run = run_of(f"export async function w(v) {{ return {expression}; }}")
    assert value_of(run.start(at)) == (at if keeps else at.replace(microsecond=678000))


@pytest.mark.parametrize("change", ["setTime(1000)", "setSeconds(6)", "setTime(NaN)"])
def test_a_date_that_is_set_to_another_time_has_no_microseconds(
    run_of: RunOf, value_of: ValueOf, change: str
) -> None:
    both = f"const plain = new Date(v); plain.{change}; v.{change}; return [v, plain];"
    back: Any = value_of(run_of(f"export async function w(v) {{ {both} }}").start(AT))
    assert repr(back[0]) == repr(back[1])


def test_no_code_sees_the_microseconds_of_a_date(run_of: RunOf, value_of: ValueOf) -> None:
    looks = (
        "const all = []; for (const name in v) all.push(name);"
        "return [all, Reflect.ownKeys(v), Object.getOwnPropertyDescriptors(v), v.getTime(), "
        "{ ...v }, Object.keys(Object.assign({}, v)), v.toISOString(), "
        "Object.isFrozen(Object.preventExtensions(v))];"
    )
    back = value_of(run_of(f"export async function w(v) {{ {looks} }}").start(AT))
    ms = WHOLE.timestamp() * 1000
    assert back == [[], [], {}, ms, {}, [], "2026-01-02T03:04:05.678Z", True]


KEYS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=3)
    | st.just(UNDEFINED)
    | st.tuples(SAFE, TEXT)
    | st.frozensets(SAFE, max_size=2)
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, SAFE, min_size=1, max_size=6))
def test_a_dict_of_any_keys_loses_none_of_them_in_javascript(
    run_of: RunOf, value: dict[Any, int]
) -> None:
    source = "const n = v instanceof Map ? v.size : Object.keys(v).length; return [n, v];"
    run = run_of(f"export async function w(v) {{ {source} }}")
    answer = run.start(value)
    run.guest.close()
    assert isinstance(answer.outcome, Completed)
    size, back = decode(answer.outcome.value)
    assert size == len(value)
    assert back == value


@pytest.mark.parametrize(
    "source",
    [
        "new Map([[true, 1], [1, 2]])",
        "new Map([[1, 1], [1n, 2]])",
        "new Map([['http://a/', 1], [new URL('http://a/'), 2]])",
        "new Map([[[1], 1], [[1], 2]])",
        "new Map([[new Date(0), 1], [new Date(0), 2]])",
        "new Map([[{}, 1], [new Map(), 2]])",
        "[new Map([[[true], 1], [[1], 2]])]",
    ],
)
def test_a_map_whose_keys_python_merges_is_refused_by_name(run_of: RunOf, source: str) -> None:
    answer = run_of(f"export async function w() {{ return {source}; }}").start()
    assert isinstance(answer.outcome, Completed)
    with pytest.raises(ValueNotCarriableError, match="list of pairs"):
        decode(answer.outcome.value)


@pytest.mark.parametrize(
    ("source", "back"),
    [
        ("new Set([true, 1, 1n])", [True, 1, 1]),
        ("new Set([1, 2])", {1, 2}),
        ("new Set(['http://a/', new URL('http://a/')])", ["http://a/", "http://a/"]),
        ("new Set([[1], [1]])", [[1], [1]]),
        ("new Set([undefined, null])", {UNDEFINED, None}),
    ],
)
def test_a_set_whose_items_python_merges_arrives_as_a_list(
    run_of: RunOf, source: str, back: object
) -> None:
    answer = run_of(f"export async function w() {{ return {source}; }}").start()
    assert isinstance(answer.outcome, Completed)
    assert decode(answer.outcome.value) == back
