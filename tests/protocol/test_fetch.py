"""Headers, requests and responses on the wire: one form each, and no other is read."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given, strategies as st

from perdure._protocol.codec import decode, encode
from perdure._protocol.equality import same_value
from perdure._protocol.json_values import as_json
from perdure._protocol.tags import Tag
from perdure._protocol.weight import is_small
from perdure.errors import ProtocolError
from perdure.values import Headers, Request, Response

NAMES = st.text("abC-9!", min_size=1, max_size=4) | st.sampled_from(["Set-Cookie", "set-cookie"])
TEXTS = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\0\r\n"), max_size=5)
PAIRS = st.lists(st.tuples(NAMES, TEXTS), max_size=5)
HEADERS = st.builds(Headers, PAIRS)
BODIES = st.none() | st.binary(max_size=5) | st.text(max_size=5)
URLS = st.sampled_from(["http://a/", "https://b/c?d=%C3%A9#e", "data:,x"])
# With the id of its run, which a guest adds where it is not there yet.
REPLIES = st.none() | st.text("$/a", max_size=3).map("a_run {}".format)
METHODS = st.sampled_from(["POST", "put", "PATCH", "patch", "x-own"])
REQUESTS = st.builds(Request, METHODS, URLS, headers=PAIRS, body=BODIES, reply=REPLIES)
RESPONSES = st.builds(
    Response, BODIES, status=st.integers(206, 303), status_text=st.just("Fine é"), headers=PAIRS
)
VALUES = (
    HEADERS | REQUESTS | RESPONSES | st.just(Response(status=0)) | st.just(Response(status=204))
)


@given(VALUES)
def test_a_value_comes_back_as_it_went(value: Any) -> None:
    for sent in (value, [value, {"a": value}], {value: 1}):
        assert decode(encode(sent, where="value")) == sent
    assert encode(decode(encode(value, where="v")), where="v") == encode(value, where="v")


def test_a_value_met_twice_is_one() -> None:
    value = Request("POST", "http://a/", body=b"a")
    one, other = decode(encode([value, value], where="value"))
    assert one is other


GOOD: dict[int, list[Any]] = {
    Tag.HEADERS: [["a", "1"], ["b", "2"]],
    Tag.REQUEST: ["POST", "http://a/", [["a", "1"]], b"b", None],
    Tag.RESPONSE: [200, "OK", [["a", "1"]], b"b"],
}


def changed(tag: int, place: int, part: Any) -> tuple[int, list[Any]]:
    content = list(GOOD[tag])
    content[place] = part
    return tag, content


ODD: list[Any] = [1, {}]
MALFORMED: list[tuple[int, Any]] = [
    *[(tag, content[:-1]) for tag, content in GOOD.items() if tag != Tag.HEADERS],
    *[(tag, [*content, None]) for tag, content in GOOD.items()],
    *[(tag, {"a": 1}) for tag in GOOD],
    *[
        changed(Tag.HEADERS, 0, pair)
        for pair in (
            "ab", ["a"], ["A", "1"], ["c", "1"], ["a", " 1"], ["a", 1], [1, "a"],
            ["a", "\n1"], ["a", "x\ny"], ["a", "Ā"], ["", "1"], ["a b", "1"], ["é", "1"],
        )
    ],
    *[changed(Tag.REQUEST, 0, part) for part in (1, "", "a b", "get", "trace", "CONNECT", "GET")],
    *[changed(Tag.REQUEST, 1, part) for part in (1, None, "", "/a")],
    *[changed(Tag.REQUEST, 2, part) for part in (None, "a", [["B", "1"]], {"a": "1"})],
    *[changed(Tag.REQUEST, 3, part) for part in ("a", *ODD)],
    *[changed(Tag.REQUEST, 4, part) for part in (b"a", *ODD)],
    *[changed(Tag.RESPONSE, 0, part) for part in ("200", 1, 199, 600, -1, 200.0, True, 204, 0)],
    *[changed(Tag.RESPONSE, 1, part) for part in (None, 1, "a\nb", "Ā")],
    *[changed(Tag.RESPONSE, 2, part) for part in (None, [["B", "1"]])],
    *[changed(Tag.RESPONSE, 3, part) for part in ("a", 1)],
]  # fmt: skip


@pytest.mark.parametrize(("tag", "content"), MALFORMED, ids=repr)
def test_another_content_is_refused(tag: int, content: Any) -> None:
    with pytest.raises(ProtocolError, match=r"malformed (Headers|Request|Response)"):
        decode(cbor2.dumps(cbor2.CBORTag(tag, content)))


@pytest.mark.parametrize("tag", GOOD)
def test_the_contents_that_were_changed_are_good(tag: int) -> None:
    decode(cbor2.dumps(cbor2.CBORTag(tag, GOOD[tag])))


def test_equal_values_are_equal_in_starts_with_one_key() -> None:
    one, same, other = (
        encode(Request("POST", "http://a/", headers={name: "1"}), where="v") for name in "aAb"
    )
    assert same_value(one, same)
    assert not same_value(one, other)


def test_json_shows_the_parts() -> None:
    request = Request("POST", "http://a/", headers={"A": "1"}, body="hi")
    assert as_json([request, Response(status=204)]) == [
        {
            "method": "POST",
            "url": "http://a/",
            "headers": {"a": "1", "content-type": "text/plain;charset=UTF-8"},
            "body": "aGk=",
        },
        {"status": 204, "status_text": "", "headers": {}, "body": None},
    ]


@pytest.mark.parametrize("length", [1, 2 << 20])
def test_a_body_weighs_what_it_has(length: int) -> None:
    assert is_small([Response(bytes(length))]) is (length == 1)
