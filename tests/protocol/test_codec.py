"""The value codec: what goes out comes back, or is refused by its path."""

from __future__ import annotations

import contextlib
import inspect
import math
import pickle
import sys
import uuid
from array import array
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, cast

import cbor2
import hypothesis.strategies as st
import pytest
from hypothesis import given

from perdure._protocol.codec import (
    decode,
    decode_error,
    encode,
    encode_error,
    encode_scalar,
    encode_scalars,
)
from perdure.errors import FatalError, GuestError, ProtocolError, ValueNotCarriableError
from perdure.values import (
    UNDEFINED,
    ArrayBuffer,
    ClassRef,
    DataView,
    Instance,
    RegExp,
    StepRef,
    TypedArray,
    Url,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
if sys.version_info >= (3, 13):
    LETTERS = array("w", "x")
else:
    LETTERS = array("u", "x")  # pyright: ignore[reportDeprecated]  # people still have them
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**90), 2**90)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC))
    | st.just(UNDEFINED)
    | st.builds(RegExp, TEXT, st.sampled_from(["", "g", "iu"]))
    | st.builds(StepRef, TEXT)
    | st.builds(ClassRef, TEXT)
    | st.builds(TypedArray, st.just(85), st.binary(min_size=4, max_size=4))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT, inner, max_size=4)
        | st.dictionaries(st.integers(), inner, min_size=1, max_size=3)
        | st.sets(st.integers() | TEXT, max_size=4)
        | st.builds(Instance, TEXT, inner)
        | st.builds(StepRef, TEXT, st.none() | st.lists(inner, max_size=2).map(tuple), inner)
    ),
    max_leaves=12,
)


def _same(left: Any, right: Any) -> bool:
    kind = cast(object, type(left))
    if kind is not type(right):
        return False
    if kind is list:
        return len(left) == len(right) and all(map(_same, left, right))
    if kind is dict:
        return list(left) == list(right) and all(_same(left[k], right[k]) for k in left)
    return bool(left == right)


@given(VALUES)
def test_values_come_back_as_they_went(value: Any) -> None:
    assert _same(decode(encode(value, where="value")), value)


AT_ONCE: list[Any] = [
    0,
    -1,
    2**53 - 1,
    1 - 2**53,
    True,
    None,
    1.5,
    -0.0,
    float("nan"),
    float("inf"),
    "",
    "a",
]
NOT_AT_ONCE: list[Any] = [2**53, -(2**53), 2**80, "ä", "\ud800", "a" * 5000, b"", [], {}]


@pytest.mark.parametrize("value", AT_ONCE, ids=repr)
def test_a_scalar_is_encoded_at_once_in_the_same_bytes(value: object) -> None:
    assert encode_scalar(value) == encode(value, where="value")


@pytest.mark.parametrize("value", NOT_AT_ONCE, ids=lambda value: repr(value)[:20])
def test_what_takes_a_closer_look_is_no_scalar(value: object) -> None:
    assert encode_scalar(value) is None


@given(st.lists(st.sampled_from([*AT_ONCE, *NOT_AT_ONCE]), max_size=18))
def test_so_are_a_few_of_them(values: list[Any]) -> None:
    payload = encode_scalars(values)
    if payload is None:
        assert len(values) > 16 or any(encode_scalar(value) is None for value in values)
    else:
        assert payload == encode(values, where="arguments")


@given(VALUES)
def test_a_scalar_or_not_its_bytes_are_the_same(value: Any) -> None:
    assert encode_scalar(value) in (None, encode(value, where="value"))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_protocol_error(data: Any) -> None:
    with contextlib.suppress(ProtocolError):
        decode(data)


class Colour(Enum):
    RED = "red"
    ONE = 1


@dataclass
class Point:
    x: float
    name: str = "p"


@dataclass(frozen=True)
class Key:
    name: str = "k"


class Listed:
    def model_dump(self) -> list[object]:
        return []


class Model:
    def model_dump(self) -> dict[str, object]:
        return {"id": uuid.UUID(int=1), "at": [1]}


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ((1, (2,)), [1, [2]]),
        (timedelta(seconds=1.5), 1500),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (Colour.RED, "red"),
        (Colour.ONE, 1),
        (Point(1.5), {"x": 1.5, "name": "p"}),
        (Model(), {"id": str(uuid.UUID(int=1)), "at": [1]}),
        (date(2026, 1, 2), "2026-01-02"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (array("B", [1, 2]), b"\1\2"),
        (array("d", [1.0]), TypedArray(86, array("d", [1.0]).tobytes())),
        (array("i", [-1]), TypedArray(78, b"\xff\xff\xff\xff")),
        (frozenset({1}), {1}),
        (
            datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(2025, 12, 31, 22, tzinfo=UTC),
        ),
        (cbor2.CBORTag(1347571205, {"name": "w"}), cbor2.CBORTag(1347571205, {"name": "w"})),
    ],
    ids=repr,
)
def test_python_values_cross_in_their_nearest_form(value: Any, back: object) -> None:
    assert decode(encode(value, where="value")) == back


def test_subclasses_that_mark_their_kind_keep_it() -> None:
    for value in (Url("http://a/"), ArrayBuffer(b"1"), DataView(b"2")):
        assert type(decode(encode([value], where="v"))[0]) is type(value)


@pytest.mark.parametrize("number", [math.inf, -math.inf, 0.1, 2**53, -(2**64), 2**64])
def test_numbers_keep_their_value(number: float) -> None:
    back = decode(encode(number, where="v"))
    assert back == number
    assert type(back) is type(number)


def test_nan_and_negative_zero_survive() -> None:
    assert math.isnan(decode(encode(math.nan, where="v")))
    assert math.copysign(1, decode(encode(-0.0, where="v"))) == -1


def test_shared_values_stay_shared() -> None:
    shared: dict[str, object] = {"n": [1]}
    back = decode(encode({"a": shared, "b": [shared, shared["n"]]}, where="v"))
    assert back["a"] is back["b"][0]
    assert back["a"]["n"] is back["b"][1]


def test_equal_values_that_are_not_shared_carry_no_tags() -> None:
    value: list[object] = [[1], [1], (), (), {}, {}]
    assert b"\xd8\x1c" not in encode(value, where="v")


def test_cycles_through_every_container_come_back() -> None:
    value: dict[object, Any] = {"list": []}
    value["list"].append(value)
    value["map"] = {1: value}
    value["error"] = GuestError(name="E", message="m", props={"owner": value})
    back = decode(encode(value, where="v"))
    assert back["list"][0] is back
    assert back["map"][1] is back
    assert back["error"].props["owner"] is back


def test_a_set_with_unhashable_items_is_a_list() -> None:
    data = cbor2.dumps(cbor2.CBORTag(258, [1, [2]]))
    assert decode(data) == [1, [2]]


def test_an_invalid_date_is_nan() -> None:
    assert math.isnan(decode(cbor2.dumps(cbor2.CBORTag(1, math.nan))))
    assert math.isnan(decode(cbor2.dumps(cbor2.CBORTag(1, 1e14))))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([{"user": {"socket": object()}}], "arguments[0].user.socket"),
        ({"at": datetime(2026, 1, 1)}, "arguments.at"),
        ({(1, 2): [lambda: 1]}, "arguments[(1, 2)][0]"),
        (["ok", "\ud800"], "arguments[1]"),
        ({"\ud800": 1}, "arguments.\ud800"),
        ({1, "a", object()}, "arguments["),
        ([int], "arguments[0]"),
        ([LETTERS], "arguments[0]"),
        ({Key(): 1}, "arguments[Key"),
        ([{"m": Listed()}], "arguments[0].m"),
    ],
)
def test_what_cannot_cross_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(ValueNotCarriableError) as caught:
        encode(value, where="arguments")
    assert caught.value.path.startswith(path)


def test_too_deep_values_are_refused() -> None:
    value: list[object] = []
    for _ in range(1000):
        value = [value]
    with pytest.raises(ValueNotCarriableError, match="deeper"):
        encode(value, where="v")


def _fail() -> None:
    raise KeyError("inner")


class Sku(str):
    __slots__ = ()


class Cents(int):
    pass


class Rate(float):
    pass


class Blob(bytes):
    pass


@pytest.mark.parametrize(
    ("value", "plain"),
    [(Sku("a"), "a"), (Cents(2**60), 2**60), (Rate(0.5), 0.5), (Blob(b"a"), b"a"), (True, True)],
)
def test_subclasses_of_plain_kinds_cross_as_those(value: Any, plain: object) -> None:
    back = decode(encode([value], where="v"))[0]
    assert (back, type(back)) == (plain, type(plain))


def test_a_model_is_dumped_once_though_it_is_met_twice() -> None:
    dumps: list[int] = []

    class Counted:
        def model_dump(self) -> dict[str, object]:
            dumps.append(1)
            return {"a": [1]}

    model = Counted()
    back = decode(encode([model, model, ()], where="v"))
    assert back[0] is back[1]
    assert back[2] == []
    assert len(dumps) == 1


def test_a_value_too_deep_for_the_callers_stack_is_refused_by_name() -> None:
    value: list[object] = [object]
    plain: list[object] = []
    for _ in range(180):
        value, plain = [value], [plain]

    def below(frames: int, made: object) -> bytes:
        return below(frames - 1, made) if frames else encode(made, where="v")

    used = len(inspect.stack(0))
    for made in (value, plain):
        with pytest.raises(ValueNotCarriableError, match="deeper"):
            below(sys.getrecursionlimit() - used - 60, made)


def test_arrays_cross_little_endian_from_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = array("H", [1, 2])  # stored as this machine does, which is little-endian
    monkeypatch.setattr(sys, "byteorder", "big")
    assert decode(encode(here, where="v")).data == b"\0\1\0\2"


def test_undefined_inside_an_error_arrives_as_ours() -> None:
    props: dict[str, object] = {"a": {"b": UNDEFINED}}
    error = GuestError(name="E", message="m", cause=[UNDEFINED], errors=(UNDEFINED, 1), props=props)
    back = decode(encode([error, UNDEFINED], where="v"))[0]
    assert back.cause == [UNDEFINED]
    assert back.errors == (UNDEFINED, 1)
    assert back.props == {"a": {"b": UNDEFINED}}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("d90103a1d90102810103", frozenset({1})),
        ("d90103a1d90103a1010203", cbor2.frozendict({1: 2})),
        ("d90103a18201d9010281d90102810203", (1, frozenset({frozenset({2})}))),
    ],
)
def test_maps_and_sets_that_are_keys_arrive_as_what_python_can_have(data: Any, key: object) -> None:
    assert decode(bytes.fromhex(data)) == {key: 3}


@pytest.mark.parametrize(
    "data",
    [
        "82d81ca10102d90103a1d81d0003",  # [x, Map{x: 3}]
        "d90103a1d81ca1616dd81d0003",  # Map{x: 3}, and x has itself as its m
    ],
)
def test_a_key_python_cannot_have_is_refused_by_name(data: str) -> None:
    with pytest.raises(ValueNotCarriableError, match="list of pairs"):
        decode(bytes.fromhex(data))


def test_a_reference_to_what_is_not_there_is_a_protocol_error() -> None:
    for data in ("d81cd81d00", "d81d00"):
        with pytest.raises(ProtocolError):
            decode(bytes.fromhex(data))


@pytest.mark.parametrize("errors", [5, "text", {"field": "is empty"}, None])
def test_what_is_no_list_of_errors_is_none_of_them(errors: object) -> None:
    data = cbor2.dumps(cbor2.CBORTag(1347571201, {"name": "E", "errors": errors}))
    assert decode(data).errors == ()


def test_exceptions_cross_with_cause_traceback_and_members() -> None:
    def fail_together() -> None:
        try:
            _fail()
        except KeyError as exc:
            raise ExceptionGroup("many", [ValueError("a"), FatalError("b")]) from exc

    with pytest.raises(ExceptionGroup) as caught:
        fail_together()
    back = decode_error(encode_error(caught.value))
    assert (back.name, back.text) == ("ExceptionGroup", "many (2 sub-exceptions)")
    members = [error for error in back.errors if isinstance(error, GuestError)]
    assert [(e.name, e.fatal) for e in members] == [("ValueError", False), ("FatalError", True)]
    assert isinstance(back.cause, GuestError)
    assert back.cause.name == "KeyError"
    assert "_fail" in back.cause.stack
    assert "test_codec.py" in back.stack


def test_an_exception_that_causes_itself_crosses() -> None:
    error = ValueError("x")
    error.__cause__ = error
    back = decode_error(encode_error(error))
    assert back.cause is back


def test_an_error_with_details_that_cannot_cross_still_crosses() -> None:
    back = decode_error(encode_error(GuestError(name="E", message="m", props={"f": object()})))
    assert back.name == "GuestError"
    assert "E: m" in back.text
    assert decode_error(encode_error(ValueError("\ud800"))).name == "ValueError"


def test_a_thrown_value_that_is_no_error_becomes_one() -> None:
    assert decode_error(encode("plain", where="error")).text == "plain"
    assert decode_error(encode({"a": 1}, where="error")).props == {"thrown": {"a": 1}}


def test_what_is_revived_only_as_a_whole_must_not_hold_itself() -> None:
    data: list[object] = []
    for whole in (Instance("class//./a//P", data), StepRef("step//./a//s", (data,))):
        data[:] = [1, whole]
        with pytest.raises(ValueNotCarriableError, match=r"value(\[1\])?.*: it holds itself"):
            encode(whole, where="value")
        data.clear()
    assert decode(encode([whole, whole], where="value")) == [StepRef("step//./a//s", ([],))] * 2


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (1347571203, []),
        (1347571203, "a"),
        (1347571203, [1]),
        (1347571203, ["a", 1, 2]),
        (1347571204, {}),
        (1347571204, ["a"]),
        (1347571204, {"id": "a", "other": 1}),
        (1347571204, {"id": "a", "closure": 1}),
    ],
)
def test_a_class_or_a_step_reference_that_is_none_is_refused(tag: int, value: object) -> None:
    with pytest.raises(ProtocolError, match=r"class|step reference"):
        decode(cbor2.dumps(cbor2.CBORTag(tag, value)))


def test_an_error_keeps_its_instance() -> None:
    error = GuestError(name="E", message="m", instance=Instance("class//./a//E", [UNDEFINED]))
    same = decode(encode(error, where="error"))
    assert same.instance == error.instance
    assert pickle.loads(pickle.dumps(same)).instance == error.instance
