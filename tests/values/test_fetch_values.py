"""Headers, Request and Response in Python: made as the fetch standard has them, or refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any, cast

import pytest

from perdure.errors import UsageError
from perdure.values import Headers, Request, Response

ODD: Any = 1
POST = Request("post", "http://a/b", headers={"X-One": " 1\t"}, body="é")


def test_headers_are_found_in_any_case_and_in_the_order_of_names() -> None:
    headers = Headers(
        [("B", "1"), ("a", "2"), ("b", " 3 "), ("Set-Cookie", "x"), ("set-cookie", "y")]
    )
    values = (("a", "2"), ("b", "1"), ("b", "3"), ("set-cookie", "x"), ("set-cookie", "y"))
    assert headers.pairs == values
    assert list(headers) == ["a", "b", "set-cookie"]
    assert len(headers) == 3
    assert headers["B"] == headers.get("b") == "1, 3"
    assert headers["Set-Cookie"] == "y"
    assert headers.get_all("SET-COOKIE") == ["x", "y"]
    assert headers.get_all("c") == []
    assert "A" in headers
    assert not headers.__contains__(1)
    with pytest.raises(KeyError):
        headers["c"]
    assert Headers(headers) == headers == Headers(headers.pairs)
    assert headers != Headers()
    assert headers != dict(headers)


def test_a_text_names_its_type_unless_the_headers_do() -> None:
    assert POST.headers["content-type"] == "text/plain;charset=UTF-8"
    assert POST.body == b"\xc3\xa9"
    assert Response("a", headers={"Content-Type": "b"}).headers["content-type"] == "b"
    assert "content-type" not in Response(b"a").headers
    assert Response(bytearray(b"a")).body == b"a"


@pytest.mark.parametrize(
    ("body", "text"),
    [(None, ""), (b"a", "a"), (b"\xef\xbb\xbfa", "a"), (b"a\xff", "a\ufffd"), ("\ud800", "?")],
)
def test_a_body_is_read_as_text(body: Any, text: str) -> None:
    assert Response(body).text() == text


def test_a_body_is_read_as_json() -> None:
    assert Request("POST", "http://a/", body='{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(json.JSONDecodeError):
        Response("{").json()


def test_a_response_is_made_of_json() -> None:
    response = Response.from_json({"é": 1}, status=201, headers={"A": "b"})
    assert response.body == '{"é":1}'.encode()
    assert dict(response.headers) == {"a": "b", "content-type": "application/json"}
    assert response.status == 201
    own = Response.from_json(1, headers={"Content-Type": "a/b"})
    assert own.headers["content-type"] == "a/b"
    with pytest.raises(TypeError):
        Response.from_json(object())


@pytest.mark.parametrize(
    ("method", "kept"), [("get", "GET"), ("Post", "POST"), ("patch", "patch"), ("x", "x")]
)
def test_usual_methods_are_in_upper_case(method: str, kept: str) -> None:
    assert Request(method, "http://a/").method == kept


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a name with a blank": (lambda: Headers({"a b": "1"}), "no header name"),
    "an empty name": (lambda: Headers({"": "1"}), "no header name"),
    "a name that is no text": (lambda: Headers([(ODD, "a")]), "no header name"),
    "a line end in a value": (lambda: Headers({"a": "b\r\nc"}), "line end"),
    "a NUL in a value": (lambda: Headers({"a": "\0"}), "NUL"),
    "a letter of no byte": (lambda: Headers({"a": "Ā"}), "U\\+00FF"),
    "a value that is no text": (lambda: Headers({"a": ODD}), "pass a str"),
    "a relative URL": (lambda: Request("GET", "/a"), "absolute"),
    "a URL without a UTF-8 form": (lambda: Request("GET", "a:\ud800"), "absolute"),
    "a forbidden method": (
        lambda: Request("Trace", "http://a/"),
        "no request with the method TRACE",
    ),
    "no method": (lambda: Request("a b", "http://a/"), "no method"),
    "a body of GET": (lambda: Request("get", "http://a/", body=b""), "GET has no body"),
    "a body of HEAD": (lambda: Request("HEAD", "http://a/", body="a"), "HEAD has no body"),
    "an odd body": (lambda: Response(ODD), "type int"),
    "an odd reply": (lambda: Request("GET", "http://a/", reply=ODD), "name of a stream"),
    "a low status": (lambda: Response(status=199), "200 to 599"),
    "a high status": (lambda: Response(status=600), "200 to 599"),
    "a status that is a text": (lambda: Response(status=cast(Any, "200")), "200 to 599"),
    "a body of 204": (lambda: Response(b"", status=204), "204 has no body"),
    "an error with a body": (lambda: Response(b"", status=0), "status 0"),
    "an error with headers": (lambda: Response(status=0, headers={"a": "b"}), "status 0"),
    "a line end in a status text": (lambda: Response(status_text="a\n"), "no status text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_standard_does_not_allow_is_refused(case: str) -> None:
    make, text = REFUSED[case]
    with pytest.raises(UsageError, match=text):
        make()


@pytest.mark.parametrize("value", [POST, POST.headers, Response(status=0), Response("a")], ids=repr)
def test_values_are_frozen_compared_and_pickled(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value  # ours
    assert len({value, pickle.loads(pickle.dumps(value))}) == 1
    name = "pairs" if isinstance(value, Headers) else "body"
    with pytest.raises(AttributeError, match="frozen"):
        setattr(value, name, None)
    with pytest.raises(AttributeError, match="frozen"):
        delattr(value, name)


def test_a_long_body_is_shown_cut() -> None:
    shown = repr(Response(bytes(10_000)))
    assert "of 10000 bytes" in shown
    assert len(shown) < 1500
    assert repr(POST) == (
        "Request('POST', 'http://a/b', headers=[('content-type', 'text/plain;charset=UTF-8'),"
        " ('x-one', '1')], body=b'\\xc3\\xa9', reply=None)"
    )
