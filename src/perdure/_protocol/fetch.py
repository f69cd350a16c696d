"""Fetch: the forms in which Headers, Request and Response cross, with their tags.

Pure. The names of headers are in lower case and in order, so each value has one form, and another
form is refused.
"""

# Contents may be of any type:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import cbor2

from ..errors import ProtocolError, UsageError
from ..values import Headers, Request, Response
from .tags import Tag

__all__ = ("FETCH_DECODERS", "FETCH_KINDS", "fetch_form")

Decoder: TypeAlias = "Callable[[Any, bool], Headers | Request | Response]"

FETCH_KINDS: Final = (Headers, Request, Response)


def fetch_form(value: Headers | Request | Response) -> cbor2.CBORTag:
    """What *value* crosses as; all its texts have a UTF-8 form."""
    match value:
        case Headers():
            return cbor2.CBORTag(Tag.HEADERS, value.pairs)
        case Request():
            parts = value.method, value.url, value.headers.pairs, value.body, value.reply
            return cbor2.CBORTag(Tag.REQUEST, parts)
        case Response():
            answer = value.status, value.status_text, value.headers.pairs, value.body
            return cbor2.CBORTag(Tag.RESPONSE, answer)


def _headers(value: Any) -> Headers:
    pairs = tuple([tuple(_items(pair, 2)) for pair in _items(value)])
    headers = Headers(pairs)
    if headers.pairs != pairs:
        raise TypeError("headers in another form than theirs")
    return headers


def _request(value: Any) -> Request:
    method, url, headers, body, reply = _items(value, 5)
    _check_body(body)
    request = Request(method, url, headers=_headers(headers), body=body, reply=reply)
    if request.method != method:
        raise TypeError("a method in another form than its own")
    return request


def _response(value: Any) -> Response:
    status, status_text, headers, body = _items(value, 4)
    _check_body(body)
    return Response(body, status=status, status_text=status_text, headers=_headers(headers))


def _items(value: Any, count: int | None = None) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple) or count not in (None, len(value)):
        raise TypeError("another content than that of its tag")
    return value


def _check_body(body: Any) -> None:
    if body is not None and type(body) is not bytes:
        raise TypeError("a body that is no bytes")


def _strict(make: Callable[[Any], Headers | Request | Response], name: str) -> Decoder:
    def decode(value: Any, immutable: bool) -> Headers | Request | Response:
        try:
            return make(value)
        except (TypeError, UsageError) as exc:
            raise ProtocolError(f"a payload has a malformed {name}: {exc}") from exc

    return decode


FETCH_DECODERS: Final[dict[int, Decoder]] = {
    Tag.HEADERS: _strict(_headers, "Headers"),
    Tag.REQUEST: _strict(_request, "Request"),
    Tag.RESPONSE: _strict(_response, "Response"),
}
