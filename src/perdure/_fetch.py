"""Fetch: ``Headers``, ``Request`` and ``Response`` as the fetch standard has them, whole in memory.

They are values, frozen and compared by their parts. Their constructors check all parts, so
JavaScript could have made each of them as well. A body is bytes; it can be read again and again.
Nothing here does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final, TypeAlias, cast, final

from ._value_class import AsItIs
from .errors import UsageError

__all__ = ("Headers", "Request", "Response")

_Body: TypeAlias = "str | bytes | bytearray | memoryview | None"
HeadersInit: TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # compiled at first use, as the next
_IN_VALUE: Final = "[^\0\r\n]*"
_BLANKS: Final = "\t\n\r "
_SET_COOKIE: Final = "set-cookie"  # the one name whose values are never joined
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
_FORBIDDEN_METHODS: Final = frozenset({"CONNECT", "TRACE", "TRACK"})
_NULL_BODY: Final = frozenset({204, 205, 304})
_TEXT_TYPE: Final = "text/plain;charset=UTF-8"
_JSON_TYPE: Final = "application/json"
_SHOWN_BYTES: Final = 200


class _Frozen(AsItIs):
    """A value that is compared, hashed and pickled by the slots of its class; they never change."""

    __slots__ = ()

    def _set(self, **parts: object) -> None:
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    def __getstate__(self) -> tuple[object, ...]:
        names: tuple[str, ...] = type(self).__slots__
        return tuple([getattr(self, name) for name in names])

    def __setstate__(self, parts: tuple[object, ...]) -> None:
        names: tuple[str, ...] = type(self).__slots__
        self._set(**dict(zip(names, parts, strict=True)))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__getstate__() == self.__getstate__()

    def __hash__(self) -> int:
        return hash(self.__getstate__())

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: {name} stays as it is")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: {name} stays as it is")


@final
class Headers(_Frozen, Mapping[str, str]):
    """Names and values of a request or response; names are compared without case.

    A mapping of lower-case names to values, in the order of names; several values of one name are
    joined by ``", "``, but those of ``Set-Cookie``, of which it is the last.

    Args:
        init: a mapping, or pairs of names and values; names in any case.

    Raises:
        UsageError: a name is no token of HTTP, or a value has a character that none may have.
    """

    __slots__ = ("pairs",)
    pairs: tuple[tuple[str, str], ...]  # of each value, in the order of lower-case names

    def __init__(self, init: HeadersInit = ()) -> None:
        if isinstance(init, Headers):
            self._set(pairs=init.pairs)
            return
        items = cast("Mapping[Any, Any]", init).items() if isinstance(init, Mapping) else init
        pairs = [(_checked_name(name), _checked_value(name, value)) for name, value in items]
        self._set(pairs=tuple(sorted(pairs, key=lambda pair: pair[0])))

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return values[-1] if name.lower() == _SET_COOKIE else ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([name for name, _ in self.pairs]))

    def __len__(self) -> int:
        return len({name for name, _ in self.pairs})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __eq__(self, other: object) -> bool:
        return _Frozen.__eq__(self, other)

    def __hash__(self) -> int:
        return _Frozen.__hash__(self)

    def __repr__(self) -> str:
        return f"Headers({list(self.pairs)!r})"

    def get_all(self, name: str) -> list[str]:
        """Each value of a name, in the order in which they came.

        Args:
            name: in any case.
        """
        key = name.lower()
        return [value for other, value in self.pairs if other == key]


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(_TOKEN, name):
        raise UsageError(
            f"{name!r} is no header name: letters, digits and !#$%&'*+-.^_`|~ make one"
        )
    return name.lower()


def _checked_value(name: object, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"the header {name} has a {type(value).__name__} for a value; pass a str")
    text = value.strip(_BLANKS)
    if not re.fullmatch(_IN_VALUE, text) or max(text, default="") > "\xff":
        raise UsageError(
            f"the header {name} has the value {text[:_SHOWN_BYTES]!r}: a line end, NUL or a "
            "character above U+00FF cannot be in one; encode it first"
        )
    return text


class _Message(_Frozen):
    """A request or response: its body, read as text or JSON."""

    __slots__ = ()
    headers: Headers
    body: bytes | None

    def text(self) -> str:
        """The body as UTF-8; "" if there is none. A byte that is not UTF-8 becomes U+FFFD."""
        return (self.body or b"").removeprefix(b"\xef\xbb\xbf").decode(errors="replace")

    def json(self) -> Any:
        """The body read as JSON.

        Raises:
            ValueError: it is none (``json.JSONDecodeError``).
        """
        return _json().loads(self.text())

    def _take(self, headers: HeadersInit, body: _Body) -> None:
        """Keep both; a text is encoded, and names its type where the headers do not."""
        own = Headers(headers)
        if isinstance(body, str):
            if "content-type" not in own:
                own = Headers([*own.pairs, ("content-type", _TEXT_TYPE)])
            body = body.encode(errors="replace")
        self._set(headers=own, body=_checked_body(body))


def _checked_body(body: object) -> bytes | None:
    if body is None or type(body) is bytes:
        return body
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(cast("bytes", body))
    raise UsageError(f"a body of type {type(body).__name__}; it is bytes, a str or None")


def _json() -> Any:
    return import_module("json")  # which takes milliseconds of each process's start


def _shown_body(body: bytes | None) -> str:
    if body is None or len(body) <= _SHOWN_BYTES:
        return repr(body)
    return f"{body[:_SHOWN_BYTES]!r}… of {len(body)} bytes"


@final
class Request(_Message):
    """A JavaScript ``Request``: a webhook's caller sent it, or a workflow passed it.

    Args:
        method: any token but CONNECT, TRACE and TRACK; the usual ones become upper-case.
        url: absolute.
        headers: a mapping, or pairs of names and values.
        body: None if there is none, as always of GET and HEAD. A text is sent as UTF-8.
        reply: the stream that the answer to a webhook's caller goes to, after the id of its run and
            a blank where that is another one; None if nobody waits for an answer.

    Raises:
        UsageError: the fetch standard allows no such request.
    """

    __slots__ = ("body", "headers", "method", "reply", "url")
    method: str
    url: str
    reply: str | None

    def __init__(
        self,
        method: str,
        url: str,
        *,
        headers: HeadersInit = (),
        body: _Body = None,
        reply: str | None = None,
    ) -> None:
        if not _is_text(url) or ":" not in url:
            raise UsageError(f"a request's URL is absolute, as http://host/path is, not {url!r}")
        if reply is not None and not _is_text(reply):
            raise UsageError(f"a request's reply is the name of a stream or None, not {reply!r}")
        verb = _checked_method(method)
        self._take(headers, body)
        if self.body is not None and verb in ("GET", "HEAD"):
            raise UsageError(f"a request with the method {verb} has no body")
        self._set(method=verb, url=url, reply=reply)

    async def respond_with(self, response: Response) -> Response | None:
        """Answer the caller of a webhook that has ``respondWith: "manual"``. In a step alone.

        Durable once this returns. The first answer counts: a later one, of this step run again or
        of another, changes nothing. The request may have been passed on, to a child or in a hook's
        payload: it can be answered there as long as the run that it came to goes on.

        Args:
            response: with a status and, with its headers, up to 1 MiB.

        Returns:
            The response that the caller has: this one, or the one that came first. None if the
            caller waited too long, or went away, or the run that it came to has ended.

        Raises:
            UsageError: no step is running here, nobody waits for a response to this request, or
                *response* is none that can be sent.
            RunNotFoundError: the run that it came to is in another world, or was deleted.
        """
        replies = import_module("perdure._runtime.replies")
        answer: Response | None = await replies.respond(self, response)
        return answer

    def __repr__(self) -> str:
        parts = f"headers={list(self.headers.pairs)!r}, body={_shown_body(self.body)}"
        return f"Request({self.method!r}, {self.url!r}, {parts}, reply={self.reply!r})"


def _is_text(text: object) -> bool:
    """Whether it is a text that has a UTF-8 form."""
    return isinstance(text, str) and text.encode(errors="replace").decode() == text


def _checked_method(method: object) -> str:
    if not isinstance(method, str) or not re.fullmatch(_TOKEN, method):
        raise UsageError(f"{method!r} is no method of HTTP")
    upper = method.upper()
    if upper in _FORBIDDEN_METHODS:
        raise UsageError(f"the fetch standard allows no request with the method {upper}")
    return upper if upper in _METHODS else method


@final
class Response(_Message):
    """A JavaScript ``Response``: the answer of a webhook, or a value that a workflow passed.

    Args:
        body: None if there is none, as always with the statuses 204, 205 and 304. A text is sent
            as UTF-8.
        status: 200 to 599; 0 with nothing else is JavaScript's ``Response.error()``.
        status_text: of Latin-1, in one line.
        headers: a mapping, or pairs of names and values.

    Raises:
        UsageError: the fetch standard allows no such response.
    """

    __slots__ = ("body", "headers", "status", "status_text")
    status: int
    status_text: str

    def __init__(
        self,
        body: _Body = None,
        *,
        status: int = 200,
        status_text: str = "",
        headers: HeadersInit = (),
    ) -> None:
        self._take(headers, body)
        self._set(status=_checked_status(status), status_text=_checked_reason(status_text))
        if status in _NULL_BODY and self.body is not None:
            raise UsageError(f"a response with the status {status} has no body")
        if not status and (self.headers or self.status_text or self.body is not None):
            raise UsageError("a response with the status 0 stands for an error, and holds nothing")

    @classmethod
    def from_json(cls, value: object, *, status: int = 200, headers: HeadersInit = ()) -> Response:
        """A response that has *value* as JSON for its body.

        Args:
            value: of types that ``json.dumps`` knows.
            status: 200 to 599.
            headers: without a content type among them, that of JSON is added.

        Raises:
            UsageError: as the class.
            TypeError: JSON has no such value.
            ValueError: it contains itself.
        """
        own = Headers(headers)
        if "content-type" not in own:
            own = Headers([*own.pairs, ("content-type", _JSON_TYPE)])
        text = _json().dumps(value, ensure_ascii=False, separators=(",", ":"))
        return cls(text.encode(), status=status, headers=own)

    def __repr__(self) -> str:
        parts = f"status={self.status}, status_text={self.status_text!r}"
        return f"Response({_shown_body(self.body)}, {parts}, headers={list(self.headers.pairs)!r})"


def _checked_status(status: object) -> int:
    if type(status) is not int or (status and not 200 <= status <= 599):
        raise UsageError(f"a response's status is a number from 200 to 599, not {status!r}")
    return status


def _checked_reason(text: object) -> str:
    if not isinstance(text, str) or not re.fullmatch("[\t -~\x80-\xff]*", text):
        raise UsageError(f"{text!r} is no status text: letters of Latin-1 in one line make one")
    return text
