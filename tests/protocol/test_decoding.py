"""Decoding: any bytes are a value, or refused by name, in bounded time and memory."""

from __future__ import annotations

import contextlib
import random
import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from hypothesis import given, strategies as st

from perdure._protocol import decoding
from perdure._protocol.codec import decode, decode_error, encode
from perdure._protocol.decoding import decode_frame
from perdure._protocol.survey import MAX_BIG_KEYS, MAX_ITEMS, MAX_KEY_PARTS, survey
from perdure._protocol.tags import TYPED_ARRAYS, Tag
from perdure.errors import GuestError, ProtocolError, ValueNotCarriableError
from perdure.values import UNDEFINED, TypedArray, Url
from tests.fuzz.mutations import HEALTHY, inputs

REFUSED = (ProtocolError, ValueNotCarriableError)
NAMED = {value for name, value in vars(Tag).items() if name.isupper()} | set(TYPED_ARRAYS)
MERSENNE = 2**61 - 1  # Python's hash of an integer is the rest of its division by this


def head(major: int, number: int) -> bytes:
    """The shortest head."""
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << 8 * size:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise AssertionError(number)


def tagged(tag: int, content: bytes) -> bytes:
    return head(6, tag) + content


def a_map(*pairs: bytes) -> bytes:
    """A Map, as the guest writes it: keys and values in turn."""
    return tagged(Tag.MAP, head(5, len(pairs) // 2) + b"".join(pairs))


CONTENTS = {
    "an integer": head(0, 10**9),
    "a negative integer": head(1, 10**9),
    "bytes": head(2, 3) + b"abc",
    "text": head(3, 3) + b"abc",
    "an array": b"\x83\1\2\3",
    "an array of arrays": b"\x81\x81\1",
    "pairs": b"\x81\x82\1\2",
    "a map": b"\xa1\x61a\1",
    "a map of a number": b"\xa1\1\1",
    "an empty map": b"\xa0",
    "a float": b"\xfb\x7f\xef" + b"\xff" * 6,
    "null": b"\xf6",
    "undefined": b"\xf7",
    "a Map": tagged(Tag.MAP, b"\xa1\1\2"),
    "a Set": tagged(Tag.SET, b"\x81\1"),
    "a tag": tagged(Tag.URI, head(3, 1) + b"u"),
}


def outcome(data: bytes) -> object:
    """The value, or the error that refuses it; any other error is raised."""
    try:
        return decode(data)
    except REFUSED as exc:
        return exc


# --- tags -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", CONTENTS)
def test_a_tag_that_the_protocol_does_not_name_is_refused(content: str) -> None:
    known_to_cbor2 = {0, 4, 5, 25, 30, 35, 36, 37, 52, 54, 100, 256, 260, 261, 1004, 43000, 55799}
    others = {*range(400), 2**16, 2**32, 2**63, 2**64 - 1, 1347571200, 1347571210}
    for tag in (known_to_cbor2 | others) - NAMED:
        with pytest.raises(ProtocolError, match=f"tag {tag},"):
            decode(tagged(tag, CONTENTS[content]))


@pytest.mark.slow
def test_no_other_tag_of_two_bytes_means_anything() -> None:
    accepted = {tag for tag in range(2**16) if not _is_refused(tagged(tag, b"\1"))}
    assert accepted <= NAMED


def _is_refused(data: bytes) -> bool:
    return isinstance(outcome(data), ProtocolError)


ACCEPTED: dict[int, set[str]] = {
    Tag.EPOCH: {"an integer", "a negative integer", "a float"},
    Tag.BIGINT: {"bytes"},
    Tag.NEGATIVE_BIGINT: {"bytes"},
    Tag.SHAREABLE: set(CONTENTS),
    Tag.REFERENCE: set(),
    Tag.URI: {"text"},
    Tag.SET: {"an array", "an array of arrays", "pairs"},
    Tag.MAP: {"a map", "a map of a number", "an empty map"},
    Tag.REGEXP: set(),
    Tag.ERROR: set(),
    Tag.BUFFER: {"bytes"},
    Tag.STEP: set(),
    Tag.STREAM: set(),
    Tag.RUN: set(),
    Tag.VIEW: {"bytes"},
    Tag.INSTANT: set(),
    Tag.HEADERS: set(),
    Tag.REQUEST: set(),
    Tag.RESPONSE: set(),
    Tag.ABORT: set(),
    Tag.CLASS: set(),
    **{tag: set(CONTENTS) for tag in (Tag.WORKFLOW, Tag.HOOK)},
    **{tag: {"bytes"} if tag in (64, 68, 72) else set() for tag in TYPED_ARRAYS},
}


@pytest.mark.parametrize("tag", sorted(NAMED))
@pytest.mark.parametrize("content", CONTENTS)
def test_a_tag_over_what_it_is_not_for_is_refused_before_memory_is_used(
    tag: int, content: str
) -> None:
    data = tagged(tag, CONTENTS[content])
    tracemalloc.start()
    result = outcome(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    if content in ("a Map", "a Set") and tag in (Tag.MAP, Tag.SET):
        return  # a tag over the same tag: its content is what the inner one made
    assert isinstance(result, ProtocolError) is (content not in ACCEPTED[tag]), result


@pytest.mark.parametrize(
    ("tag", "content"),
    [
        (Tag.REGEXP, b"\x81\x61a"),
        (Tag.REGEXP, b"\x82\x61a\1"),
        (Tag.REGEXP, b"\x82\1\x61a"),
        (Tag.REGEXP, b"\x83\x61a\x61g\x61i"),
        (Tag.STEP, b"\xa1\x62id\1"),
        (Tag.STEP, b"\xa2\x62id\x61a\x61a\1"),
        (Tag.STREAM, b"\x81\x61r"),
        (Tag.RUN, b"\x81\1"),
        (Tag.RUN, b"\x82\x61r\x61n"),
        (Tag.STREAM, b"\x82\x61r\1"),
        (Tag.STREAM, b"\x82\1\x61n"),
        (Tag.ERROR, b"\xa1\x64name\1"),
        (Tag.EPOCH, b"\xf5"),
        (85, head(2, 3) + b"abc"),
        (71, head(2, 12) + bytes(12)),
    ],
)
def test_a_content_of_another_shape_is_refused(tag: int, content: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        decode(tagged(tag, content))


def test_what_is_only_passed_on_is_kept_as_it_is() -> None:
    for tag in (Tag.WORKFLOW, Tag.HOOK):
        assert decode(tagged(tag, b"\x81\1")) == cbor2.CBORTag(tag, [1])
        back = decode(tagged(tag, b"\x81\xf7"))
        assert back.value == [UNDEFINED]


@pytest.mark.parametrize("seconds", [2**70, -(2**70), 10**400])
def test_a_date_outside_of_the_calendar_is_nan(seconds: int) -> None:
    fine = tagged(Tag.INSTANT, cbor2.dumps([seconds * 1000, 1]))
    for back in (decode(tagged(Tag.EPOCH, cbor2.dumps(seconds))), decode(fine)):
        assert back != back


@pytest.mark.parametrize(
    "parts",
    [
        *(b"\x81\0", b"\x83\0\1\1", b"\x82\xf5\1", b"\x82\0\xf5"),
        *(b"\x82\0\x20", b"\x82\0\x19\3\xe8", b"\x82\xfb" + bytes(8) + b"\1"),
    ],
    ids=bytes.hex,
)
def test_an_instant_that_is_none_is_refused(parts: bytes) -> None:
    for data in (tagged(Tag.INSTANT, parts), a_map(tagged(Tag.INSTANT, parts), b"\1")):
        with pytest.raises(ProtocolError):
            decode(data)


# --- lengths, nesting, form ---------------------------------------------------------------------


@pytest.mark.parametrize("major", [2, 3, 4, 5])
@pytest.mark.parametrize("length", [3, 24, 2**16, 2**31, 2**32, 2**62, 2**63 + 1, 2**64 - 1])
@pytest.mark.parametrize("before", [b"", tagged(28, b""), a_map()[:-1], tagged(Tag.SET, b"")])
def test_a_length_beyond_the_end_is_refused_without_memory(
    major: int, length: int, before: bytes
) -> None:
    tracemalloc.start()
    with pytest.raises(ProtocolError):
        decode(before + head(major, length) + b"\1")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "level",
    [
        b"\x81",
        b"\xa1\1",
        b"\xa1",
        tagged(Tag.MAP, b"\xa1\1"),
        tagged(Tag.MAP, b"\xa1"),
        tagged(Tag.SET, b"\x81"),
        tagged(Tag.SHAREABLE, b""),
        tagged(Tag.SHAREABLE, b"\x81"),
        tagged(Tag.SHAREABLE, b"\xa1\1"),
        tagged(Tag.ERROR, b"\xa2\x64name\x61E\x65cause"),
        tagged(Tag.BIGINT, b""),
        tagged(Tag.WORKFLOW, b""),
    ],
    ids=bytes.hex,
)
def test_nesting_without_end_is_refused(level: bytes) -> None:
    for depth in (1001, 100_000):
        with pytest.raises(REFUSED):
            decode(level * depth + b"\1" * depth)


def test_what_the_guest_can_nest_comes_back() -> None:
    value: Any = UNDEFINED
    for _ in range(490):
        value = [value]
    data = b"\x81" * 490 + b"\xf7"
    back = decode(data)
    for _ in range(490):
        (back,) = back
    assert back is UNDEFINED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1\2",
        b"\x81\1\x00",
        b"\x9f\1\xff",
        b"\x7f\x61a\xff",
        b"\xbf\xff",
        b"\xff",
        b"\x1c",
        b"\x61\xff",
        b"\xe0",
        b"\x81\xf8\x20",
        b"\xa1\xe0\1",
        a_map(b"\x81\xe0", b"\1"),
        b"\xf8\x14",
        b"\xa2\x61a\1\x61a\2",
        b"\x82" + a_map() + b"\x81",
        b"\xa1\xf4\xe0",
        tagged(29, b"\0"),
        tagged(28, b"\x81" + tagged(29, b"\x01")),
        tagged(28, b"\x81" + tagged(29, b"\x61a")),
        tagged(28, b"\x81" + tagged(29, b"\x20")),
        tagged(28, b"\x9f\xff"),
        tagged(28, b"\1\2"),
        tagged(28, b"\x62a"),
        tagged(28, b"\x19\1"),
    ],
    ids=bytes.hex,
)
def test_what_is_no_value_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def test_a_large_payload_is_one_value_too() -> None:
    value = [{"id": n, "name": "ñ" * (n % 50)} for n in range(5000)]
    data = encode(value, where="v")
    assert decode(data) == value
    assert decode(tagged(28, data)) == value
    for broken in (data + b"\0", data[:-1], tagged(28, data + b"\0")):
        with pytest.raises(ProtocolError):
            decode(broken)


def test_an_interrupt_in_the_middle_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perdure._protocol.decoding._Feed.read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode(encode(["a"] * 20_000, where="v"))


# --- items --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        head(4, MAX_ITEMS) + b"\xf7" * MAX_ITEMS,
        head(4, 8_000_000) + b"\xf7" * 8_000_000,
        head(5, MAX_ITEMS) + b"\1\2" * MAX_ITEMS,
        head(4, MAX_ITEMS - 1) + b"\x80" * (MAX_ITEMS - 2) + b"\x81\x80",
        tagged(28, head(4, MAX_ITEMS) + tagged(29, b"\0") * MAX_ITEMS),
    ],
    ids=["array", "long array", "map", "nested", "references"],
)
def test_more_items_than_can_cross_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(ValueNotCarriableError, match="1,000,000 items"):
        decode(data)


@pytest.mark.slow
def test_as_many_items_as_can_cross_do_both_ways() -> None:
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    for value in ([7] * (MAX_ITEMS - 3), [{n: n} for n in range(MAX_ITEMS // 3 - 9)]):
        last: list[object] = [value, instant]
        assert decode(encode(last, where="v")) == last


# --- keys and items of sets -----------------------------------------------------------------------


ONE: dict[str, bytes] = {
    "true": b"\xf5",
    "1": b"\1",
    "1n": tagged(Tag.BIGINT, head(2, 1) + b"\1"),
    "1.0": b"\xf9\x3c\x00",
}
TEXTS: dict[str, bytes] = {
    "text": head(3, 1) + b"a",
    "URL": tagged(Tag.URI, head(3, 1) + b"a"),
}
SPANS: dict[str, bytes] = {
    "Uint8Array": head(2, 1) + b"a",
    "ArrayBuffer": tagged(Tag.BUFFER, head(2, 1) + b"a"),
    "DataView": tagged(Tag.VIEW, head(2, 1) + b"a"),
}
ALIKE = {
    "arrays": [b"\x81\1", b"\x81\1"],
    "arrays of what merges": [b"\x81\1", b"\x81\xf5"],
    "dates": [tagged(1, b"\1"), tagged(1, b"\1")],
    "Sets": [tagged(Tag.SET, b"\x81\1"), tagged(Tag.SET, b"\x81\xf5")],
    "regular expressions": [tagged(Tag.REGEXP, b"\x82\x61a\x61g")] * 2,
    **{
        f"{first} and {second}": [kind[first], kind[second]]
        for kind in (ONE, TEXTS, SPANS)
        for first in kind
        for second in kind
        if first < second
    },
}


@pytest.mark.parametrize("keys", ALIKE)
def test_keys_that_are_one_in_python_are_refused_by_name(keys: str) -> None:
    first, second = ALIKE[keys]
    for data in (
        a_map(first, b"\1", second, b"\2"),
        tagged(28, a_map(first, b"\1", second, b"\2")),
    ):
        with pytest.raises(ValueNotCarriableError, match="list of pairs"):
            decode(data)


@pytest.mark.parametrize("items", ALIKE)
def test_a_set_whose_items_are_one_in_python_keeps_them_in_a_list(items: str) -> None:
    both = b"".join(ALIKE[items])
    back = decode(tagged(Tag.SET, b"\x82" + both))
    assert type(back) is list
    assert back == decode(b"\x82" + both)
    shared = tagged(28, tagged(Tag.SET, b"\x82" + both))
    assert len(decode(shared)) == 2


def test_a_set_that_is_met_twice_is_the_same_list_where_it_must_be_one() -> None:
    # s = new Set(); s.add({owner: s}); s.add(1) and another Set of numbers
    inner = b"\xa1\x65owner" + tagged(29, b"\0")
    data = (
        b"\x82" + tagged(28, tagged(Tag.SET, b"\x82" + inner + b"\1")) + tagged(Tag.SET, b"\x81\1")
    )
    back = decode(data)
    assert back[0][0]["owner"] is back[0]
    assert back[1] == [1]


def test_a_set_that_is_no_list_is_refused_where_it_must_be_one() -> None:
    unfit = tagged(28, tagged(Tag.SET, b"\x81\x80"))
    for wrong in (tagged(Tag.SET, b"\1"), a_map(tagged(Tag.SET, b"\1"), b"\1")):
        with pytest.raises(ProtocolError, match="malformed Set"):
            decode(b"\x82" + unfit + wrong)


def test_a_set_in_a_key_whose_items_merge_keeps_them() -> None:
    items = tagged(Tag.SET, b"\x82\1\xf5")
    assert decode(a_map(items, b"\1")) == {(1, True): 1}


def test_keys_that_differ_stay_apart() -> None:
    keys = [b"\1", b"\x611", b"\xf4", b"\xf6", b"\xf7", b"\x41\x31", b"\x81\1", b"\xf9\x7e\0"]
    data = a_map(*[part for key in keys for part in (key, b"\1")])
    back = decode(data)
    assert len(back) == len(keys)
    assert UNDEFINED in back


def test_undefined_and_simple_values_are_met_in_every_container() -> None:
    undefined = b"\xf7"
    forms = {
        "set": tagged(Tag.SET, b"\x82\1" + undefined),
        "key": a_map(b"\x81" + undefined, b"\1"),
        "key set": a_map(tagged(Tag.SET, b"\x81" + undefined), b"\1"),
        "key map": a_map(a_map(undefined, undefined), b"\1"),
    }
    assert decode(forms["set"]) == {1, UNDEFINED}
    assert decode(forms["key"]) == {(UNDEFINED,): 1}
    assert decode(forms["key set"]) == {frozenset({UNDEFINED}): 1}
    (key,) = decode(forms["key map"])
    assert dict(key) == {UNDEFINED: UNDEFINED}
    for data in forms.values():
        with pytest.raises(ProtocolError, match="simple value"):
            decode(data.replace(undefined, b"\xe0"))


def numbers(count: int) -> list[bytes]:
    """BigInts with one hash in Python."""
    return [cbor2.dumps(MERSENNE * (n + 9)) for n in range(count)]


@pytest.mark.slow
def test_keys_made_to_collide_are_refused_in_time() -> None:
    keys = [part for key in numbers(40_000) for part in (key, b"\1")]
    nested = [b"\x81" + key if n % 2 == 0 else key for n, key in enumerate(keys)]
    before = time.process_time()
    for parts in (keys, nested):
        with pytest.raises(ValueNotCarriableError, match="BigInts"):
            decode(a_map(*parts))
    assert time.process_time() - before < 5  # hashing them takes minutes


def alike(count: int) -> list[bytes]:
    """Arrays of numbers that JavaScript has, with one hash in Python as tuples."""
    digits = [[n >> 4 * place & 15 for place in range(4)] for n in range(count)]
    return [b"\x84" + b"".join(cbor2.dumps(2.0 ** (61 * d)) for d in row) for row in digits]


@pytest.mark.slow
def test_arrays_as_keys_made_to_collide_are_refused_in_time() -> None:
    keys = [part for key in alike(60_000) for part in (key, b"\1")]
    before = time.process_time()
    for data in (a_map(*keys), head(5, 60_000) + b"".join(keys), tagged(28, a_map(*keys))):
        with pytest.raises(ValueNotCarriableError, match="list of pairs"):
            decode(data)
    assert time.process_time() - before < 5  # hashing them takes minutes


@pytest.mark.slow
def test_as_many_arrays_as_may_be_keys_are() -> None:
    keys = [part for key in alike(MAX_KEY_PARTS) for part in (key, b"\1")]
    assert len(decode(a_map(*keys))) == MAX_KEY_PARTS


@pytest.mark.slow
def test_items_of_a_set_made_to_collide_are_a_list_in_time() -> None:
    items = numbers(40_000)
    before = time.process_time()
    back = decode(tagged(Tag.SET, head(4, len(items)) + b"".join(items)))
    assert len(back) == len(items)
    assert type(back) is list
    assert time.process_time() - before < 5


def test_a_few_large_keys_are_keys() -> None:
    keys = [part for key in numbers(MAX_BIG_KEYS) for part in (key, b"\1")]
    assert len(decode(a_map(*keys))) == MAX_BIG_KEYS
    assert decode(a_map(cbor2.dumps(-(2**70)), b"\1")) == {-(2**70): 1}


def test_a_key_that_unfolds_without_end_is_refused_by_name() -> None:
    levels = [tagged(28, b"\x81\1")]
    levels += [tagged(28, b"\x82" + tagged(29, head(0, n)) * 2) for n in range(60)]
    key = head(4, len(levels)) + b"".join(levels)
    with pytest.raises(ValueNotCarriableError, match="list of pairs"):
        decode(a_map(key, b"\1"))


def test_a_date_that_is_a_key_twice_is_one() -> None:
    data = b"\x82" + a_map(tagged(28, tagged(1, b"\1")), b"\1") + a_map(tagged(29, b"\0"), b"\2")
    first, second = decode(data)
    assert list(first) == list(second)


def test_a_shared_array_that_is_a_key_is_refused_by_name() -> None:
    data = b"\x82" + a_map(tagged(28, b"\x81\1"), b"\1") + a_map(tagged(29, b"\0"), b"\2")
    with pytest.raises(ValueNotCarriableError, match="list of pairs"):
        decode(data)


def test_an_undefined_that_is_met_twice_is_ours() -> None:
    data = b"\x82" + tagged(28, b"\x82\xf7\xf7") + tagged(29, b"\0")
    first, second = decode(data)
    assert first is second
    assert first == [UNDEFINED, UNDEFINED]


def test_an_error_may_be_a_key_or_part_of_one() -> None:
    error = tagged(Tag.ERROR, b"\xa2\x64name\x61E\x65props" + b"\xa1\x61a\xf7")
    (key,) = decode(a_map(error, b"\1"))
    (part,) = next(iter(decode(a_map(b"\x81" + error, b"\1"))))
    (item,) = decode(tagged(Tag.SET, b"\x81" + error))
    (value,) = next(iter(decode(a_map(a_map(b"\1", error), b"\1")))).values()
    for found in (key, part, item, value):
        assert isinstance(found, GuestError)
        assert found.props == {"a": UNDEFINED}


# --- anything -------------------------------------------------------------------------------------


HEADS = st.builds(
    head,
    st.integers(0, 7),
    st.integers(0, 40) | st.sampled_from([*sorted(NAMED), 2**31, 2**32, 2**53, 2**63, 2**64 - 1]),
)
BYTES = st.lists(HEADS | st.binary(max_size=3), max_size=40).map(b"".join)
LEVELS = [tagged(tag, b"") for tag in sorted(NAMED)] + [b"\x81", b"\x82", b"\xa1", b"\xa2"]
NESTED = st.tuples(st.lists(st.sampled_from(LEVELS), max_size=12).map(b"".join), BYTES).map(
    b"".join
)


@given(BYTES | NESTED | st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused_by_name(data: bytes) -> None:
    with contextlib.suppress(*REFUSED):
        decode(data)


@given(BYTES | NESTED | st.binary(max_size=200))
def test_what_decodes_passes_the_survey(data: bytes) -> None:
    if not isinstance(outcome(data), REFUSED):
        survey(data)


@pytest.mark.slow
@given(st.randoms(use_true_random=False))
def test_a_payload_that_was_damaged_is_a_value_or_refused_by_name(rng: random.Random) -> None:
    source = inputs(rng)
    for _ in range(20):
        data = next(source)
        tracemalloc.start()
        outcome(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000 + 2000 * len(data)
        with contextlib.suppress(*REFUSED):
            decode_error(data)


@pytest.mark.parametrize("value", HEALTHY, ids=lambda value: type(value).__name__)
def test_the_survey_passes_what_is_healthy(value: object) -> None:
    survey(encode(value, where="v"))


def test_typed_arrays_and_urls_keep_their_kind() -> None:
    assert decode(tagged(64, head(2, 1) + b"a")) == TypedArray(64, b"a")
    assert type(decode(tagged(Tag.URI, head(3, 1) + b"a"))) is Url


def test_a_frame_shares_no_objects() -> None:
    with pytest.raises(ProtocolError, match="a frame has shared objects"):
        decode_frame(tagged(28, b"\x80"))


SMALL_HEADS = st.sampled_from(
    [
        *[bytes([head]) for head in (0x00, 0x17, 0x20, 0x37, 0x80, 0x82, 0xF4, 0xF5, 0xF6, 0xF7)],
        *[b"\x18\x18", b"\x18\x01", b"\x19\x01\x00", b"\x1a\x00\x01\x00\x00", b"\x38\xff"],
        *[b"\x61a", b"\x62\xc3\xa9", b"\x61\xff", b"\x41\xff", b"\x60", b"\xa0", b"\xc2\x41\x01"],
        *[b"\xfb" + bytes(8), b"\xfb\x80" + bytes(7), b"\xfb\x7f\xf8" + bytes(6), b"\xf9\x3c\x00"],
    ]
)


@given(st.lists(SMALL_HEADS, max_size=8).map(b"".join) | st.binary(max_size=64))
def test_a_short_payload_is_what_the_long_way_makes_of_it(data: bytes) -> None:
    """The same value of the same types, or the same error."""
    answers = list[str]()
    for way in (decode, decoding._decode_all):
        try:
            answers.append(repr(way(data)))
        except (ProtocolError, ValueNotCarriableError) as exc:
            answers.append(f"{type(exc).__name__}: {exc}")
    assert answers[0] == answers[1]
