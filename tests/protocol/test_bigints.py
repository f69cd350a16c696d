"""BigInts: what is a bigint in JavaScript, and when a plain int may be one."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic
import pytest
from hypothesis import given, strategies as st

from perdure._protocol.annotations import converter
from perdure._protocol.codec import decode, encode, encode_noting
from perdure._protocol.equality import same_value
from perdure.errors import ValueNotCarriableError
from perdure.values import BigInt

SAFE = 2**53 - 1


class Level(enum.IntEnum):
    HUGE = 2**60


class Other(enum.Enum):
    HUGE = 2**60
    LOW = -(2**60)
    ONE = 1


class Wide(enum.IntFlag):
    LAST = 2**60


class Cents(int):
    pass


@dataclass
class Row:
    id: BigInt
    count: int


class Account(pydantic.BaseModel):
    id: BigInt


@given(st.integers(-(2**130), 2**130))
def test_a_bigint_is_tagged_whatever_its_size(number: int) -> None:
    payload = encode(BigInt(number), where="value")
    assert payload[0] in (0xC2, 0xC3)
    assert decode(payload) == number
    assert encode_noting(BigInt(number), where="value") == (payload, False)


AROUND: list[Callable[[int], Any]] = [
    lambda n: n,
    lambda n: [0, (n,)],
    lambda n: {"a": [1, {"b": n}]},
    lambda n: [{"id": 27, "text": "à;"}, n, 0.5],
    lambda n: {n: 1},
    lambda n: Row(BigInt(n), n),
    lambda n: [Cents(n)],
    lambda n: {(n, "a")},
]


@given(st.sampled_from(AROUND), st.integers(-(2**66), 2**66) | st.sampled_from([SAFE, -SAFE - 1]))
def test_an_int_that_is_no_number_is_noted(around: Callable[[int], Any], number: int) -> None:
    value = around(number)
    payload, has_bigint = encode_noting(value, where="value")
    assert payload == encode(value, where="value")
    assert has_bigint is (abs(number) > SAFE)
    if has_bigint:
        with pytest.raises(ValueNotCarriableError, match=r"value.*BigInt"):
            encode(value, where="value", only_numbers=True)
    else:
        assert encode(value, where="value", only_numbers=True) == payload


def test_a_text_with_like_bytes_is_no_integer() -> None:
    assert encode_noting("à;", where="value") == (encode("à;", where="value"), False)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, -(2**53)]}, r"value\.a\[1\]"),
        ({2**53: 1}, rf"value\[{2**53}\]"),
        ([{SAFE, SAFE + 1}], r"value\[0\]\[1\]"),
        (Cents(2**60), "value"),
        (Row(BigInt(1), 2**60), r"value\.count"),
        (Account.model_construct(id=2**60), r"value\.id"),
    ],
    ids=repr,
)
def test_a_plain_int_past_the_numbers_is_refused_with_its_path(value: object, path: str) -> None:
    with pytest.raises(ValueNotCarriableError, match=f"at {path}: .* is past 2\\*\\*53 - 1"):
        encode(value, where="value", only_numbers=True)


@pytest.mark.parametrize(
    "value",
    [[Level.HUGE, Wide.LAST], [BigInt(2**60), SAFE, True, 1e300], Row(BigInt(2**60), SAFE)],
    ids=repr,
)
def test_what_its_type_tells_is_a_bigint_passes(value: object) -> None:
    expected = encode(value, where="value")
    assert encode(value, where="value", only_numbers=True) == expected


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (BigInt, 5, BigInt(5)),
        (BigInt, 2**60, BigInt(2**60)),
        (BigInt, 2.0**60, BigInt(2**60)),
        (BigInt | None, 5, BigInt(5)),
        (BigInt | int, 5, 5),
        (int, 2**60, 2**60),
        (list[BigInt], [1, 2**60], [BigInt(1), BigInt(2**60)]),
        (Row, {"id": 1, "count": 2}, Row(BigInt(1), 2)),
        (dict[BigInt, str], {1: "a"}, {BigInt(1): "a"}),
    ],
    ids=repr,
)
def test_an_annotation_says_whether_it_is_a_bigint(
    annotation: Any, value: object, expected: object
) -> None:
    back = converter(annotation)(value, "value")
    assert (back, type(back)) == (expected, type(expected))
    assert back == expected
    if isinstance(back, Row):
        assert type(back.id) is BigInt


@pytest.mark.parametrize("value", ["5", 1.5, True, None], ids=repr)
def test_what_is_no_whole_number_is_no_bigint(value: object) -> None:
    for annotation in (BigInt, list[BigInt]):
        with pytest.raises(ValueNotCarriableError):
            converter(annotation)(value if annotation is BigInt else [value], "value")


def test_a_model_of_the_application_takes_a_bigint_from_json() -> None:
    account = Account.model_validate_json(f'{{"id": {2**60}}}')
    assert (account.id, type(account.id)) == (2**60, BigInt)
    assert account.model_dump_json() == f'{{"id":{2**60}}}'
    assert Account.model_json_schema()["properties"]["id"]["type"] == "integer"


def test_bigints_are_keys_of_their_own_and_equal_the_same_numbers() -> None:
    both: list[dict[Any, int]] = [
        {BigInt(2**60): 1, Other.HUGE: 2},
        {BigInt(-(2**60)): 1, Other.LOW: 2},
    ]
    for value in both:
        with pytest.raises(ValueNotCarriableError, match="two keys"):
            encode(value, where="value")
    assert encode({BigInt(1): 1, Other.ONE: 2}, where="value")  # 1n is not 1
    assert same_value(encode([BigInt(5)], where="value"), encode([5], where="value"))


FLOATS: list[tuple[Any, Callable[[Any], Any]]] = [
    (float, lambda value: value),
    (float | None, lambda value: value),
    (list[float], lambda value: [value]),
    (dict[str, Annotated[float, pydantic.Field(lt=1e400)]], lambda value: {"a": value}),
]


@pytest.mark.parametrize(("annotation", "around"), FLOATS, ids=[str(kind) for kind, _ in FLOATS])
def test_an_integer_is_the_float_that_is_equal_to_it_or_none(annotation: Any, around: Any) -> None:
    for number in (5, 2**53, 2**60, -(2**1023)):
        back = converter(annotation)(around(number), "value")
        assert back == around(float(number))
        assert repr(back) == repr(around(float(number)))
    for number in (2**53 + 1, -(2**60) - 1, 2**1024, 10**5000):
        with pytest.raises(ValueNotCarriableError, match=r"value.*no float is equal to"):
            converter(annotation)(around(number), "value")
