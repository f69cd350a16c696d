"""Fetching: the requests of steps in JavaScript, by an HTTP client behind a policy.

The client connects to the very address that was looked at. Redirects are followed here, and each is
looked at as the first URL was. Nothing of the process is added: no cookies, proxies or credentials.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast, final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..errors import ProtocolError
from .addresses import Addresses
from .operation_error import OperationError
from .policy import Fetch

__all__ = ("Fetching", "Web")

CHUNK = 256 << 10
_SMALL = 64 << 10  # bytes of a body that come with the head
_CONNECT_S = 30.0
_MAX_URL = 32_000
_MAX_HEADERS = 64 << 10
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NO_VALUE = re.compile(r"[\0\r\n]")
_PRINTABLE = re.compile(r"[!-~]+")
_NO_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
# Of the connection, which is not the step's.
_OF_CONNECTION = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
_OF_BODY = frozenset({"content-encoding", "content-language", "content-location", "content-type"})
_OF_ORIGIN = frozenset({"authorization", "cookie", "proxy-authorization"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"https": 443, "http": 80}


@final
class _Resolver(AbstractResolver):
    """Looks names up, and refuses those that lead where nobody may go."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results: list[ResolveResult] = []
        for kind, _, protocol, _, where in found:
            address = str(where[0])
            if not self._addresses.have(address):
                raise _refused(f"the name {host} leads to {address}, which is no public address")
            results.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        return


@final
class Web:
    """The client of one worker. ``aclose`` it. Used in its event loop."""

    def __init__(self, policy: Fetch) -> None:
        self.policy = policy
        self.addresses = Addresses(policy.private)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<Web by {self.policy!r}>"

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client, with its connections."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_Resolver(self.addresses), use_dns_cache=False, limit=0
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "perdure", "Accept": "*/*"},
                trust_env=False,
                max_line_size=_MAX_HEADERS,
                max_field_size=_MAX_HEADERS,
            )
        return self._session

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


@final
class Fetching:
    """The requests of one execution. ``aclose`` it."""

    def __init__(self, web: Web, *, most: int) -> None:
        """Request nothing yet.

        Args:
            most: responses that are not read to their end, at a time.
        """
        self._web = web
        self._most = most
        self._responses: dict[int, aiohttp.ClientResponse] = {}
        self._read_bytes: dict[int, int] = {}
        self._count = 0

    def __repr__(self) -> str:
        return f"<Fetching, {len(self._responses)} responses>"

    @property
    def performers(self) -> Mapping[str, Callable[..., Awaitable[object]]]:
        """The operations that it performs, by kind."""
        return {"fetch": self.fetch, "read": self.read}

    async def fetch(self, request: object) -> dict[str, object]:
        """The head of a response, whose body ``read`` reads under its number.

        Raises:
            OperationError: the policy refuses it, or no response came.
            ProtocolError: the guest asks for something that is no request.
        """
        method, url, headers, body, mode = _checked(request)
        if len(self._responses) >= self._most:
            raise _failure(f"{self._most} responses are open; read them, or cancel their bodies")
        if body is not None and len(body) > self._web.policy.max_request_bytes:
            raise _refused(f"the body has {len(body):,} bytes, more than max_request_bytes")
        try:
            response, hops = await self._follow(method, url, headers, body, mode)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as exc:
            raise _failed(exc) from exc
        head = self._opened(response, is_redirected=hops > 0)
        length = response.content_length
        if length is not None and length <= _SMALL and "Content-Encoding" not in response.headers:
            head["body"] = await self._whole(self._count)  # nobody has to ask for it
        return head

    async def _whole(self, number: int) -> bytes:
        """The body of a response.

        Raises:
            OperationError: it broke off, or is too long.
        """
        chunks: list[bytes] = []
        while (chunk := await self.read(number)) is not None:
            chunks.append(chunk)
        return b"".join(chunks)

    async def read(self, number: object) -> bytes | None:
        """The next piece of a response's body; None at its end.

        Raises:
            OperationError: it broke off, or is too long.
        """
        response = self._responses.get(number) if type(number) is int else None
        if response is None or type(number) is not int:
            return None
        try:
            chunk = await response.content.read(CHUNK)
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            self.close(number)
            raise _failed(exc) from exc
        self._read_bytes[number] += len(chunk)
        if self._read_bytes[number] > self._web.policy.max_response_bytes:
            self.close(number)
            raise _refused("the response has more bytes than max_response_bytes")
        if not chunk:
            response.release()
            self._responses.pop(number, None)
            return None
        return chunk

    def close(self, number: int) -> None:
        """Close a response. Idempotent."""
        response = self._responses.pop(number, None)
        if response is not None:
            response.close()

    def aclose(self) -> None:
        """Close all that are open. Idempotent."""
        for number in list(self._responses):
            self.close(number)

    def _opened(
        self, response: aiohttp.ClientResponse, *, is_redirected: bool
    ) -> dict[str, object]:
        self._count += 1
        self._responses[self._count] = response
        self._read_bytes[self._count] = 0
        return {
            "number": self._count,
            "status": response.status,
            "statusText": response.reason or "",
            "url": str(response.url.with_fragment(None)),
            "redirected": is_redirected,
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, value in response.raw_headers
            ],
        }

    async def _follow(
        self, method: str, url: URL, headers: list[tuple[str, str]], body: bytes | None, mode: str
    ) -> tuple[aiohttp.ClientResponse, int]:
        hops = 0
        while True:
            response = await self._send(method, url, headers, body)
            where = response.headers.get("Location")
            if response.status not in _REDIRECTS or where is None or mode == "manual":
                return response, hops
            status = response.status
            response.release()
            if mode == "error":
                raise _failure(f"{url.origin()} redirects, and the request's mode is error")
            hops += 1
            if hops > self._web.policy.max_redirects:
                raise _failure(f"more than {self._web.policy.max_redirects} redirects")
            target = url.join(URL(where)).with_fragment(None)
            if status == 303 or (status in (301, 302) and method == "POST"):
                if method != "HEAD":
                    method = "GET"
                body, headers = None, _without(headers, _OF_BODY)
            if not _is_same_origin(url, target):
                headers = _without(headers, _OF_ORIGIN)
            url = target

    async def _send(
        self, method: str, url: URL, headers: Sequence[tuple[str, str]], body: bytes | None
    ) -> aiohttp.ClientResponse:
        self._check(url)
        timeout = aiohttp.ClientTimeout(
            total=self._web.policy.timeout, sock_connect=_CONNECT_S, connect=None
        )
        return await self._web.session.request(
            method,
            url,
            headers=headers,
            data=body,
            allow_redirects=False,
            timeout=timeout,
            skip_auto_headers=("Content-Type",),
        )

    def _check(self, url: URL) -> None:
        """Go on only if the policy allows this URL.

        Raises:
            OperationError: it does not.
        """
        host = (url.raw_host or "").lower()
        if url.scheme not in _PORTS or not host:
            raise _refused(f"{url.scheme or 'no'} URLs are not fetched, only http and https")
        if url.user is not None or url.password is not None:
            raise _refused("a URL with a user or a password is not fetched")
        port = url.port or _PORTS[url.scheme]
        bare = f"[{host}]" if ":" in host else host.rstrip(".")
        if not self._web.policy.allows(url.scheme, bare, port):
            raise _refused(f"{url.scheme}://{bare}:{port} is not allowed")
        last = bare.rpartition(".")[2]
        is_address = ":" in host or last.isdigit() or last[:2] == "0x"  # in some form, or nothing
        if is_address and not self._web.addresses.have(host):
            raise _refused(f"{host} is no public address")


def _checked(
    request: object,
) -> tuple[str, URL, list[tuple[str, str]], bytes | None, str]:
    """The parts of a request, which a guest of any code made.

    Raises:
        OperationError: a part is none that may be sent.
        ProtocolError: it is none.
    """
    parts = cast("list[object]", request) if type(request) is list else []
    method, url, pairs, body, mode = parts if len(parts) == 5 else (None,) * 5
    if not (isinstance(method, str) and isinstance(url, str) and isinstance(mode, str)):
        raise ProtocolError("the step guest asks for a request that is none")
    if type(pairs) is not list or not (body is None or isinstance(body, bytes)):
        raise ProtocolError("the step guest asks for a request that is none")
    headers = cast("list[object]", pairs)
    if not _TOKEN.fullmatch(method) or method.upper() in _NO_METHODS or len(method) > 100:
        raise _refused(f"the method {method!r:.100} is not sent")
    if len(url) > _MAX_URL or not _PRINTABLE.fullmatch(url):
        raise _refused("the URL is too long, or is none")
    try:
        target = URL(url, encoded=True).with_fragment(None)
    except ValueError as exc:
        raise _refused(f"{url!r:.200} is no URL: {exc}") from None
    return method, target, [_header(pair) for pair in headers if _is_sent(pair)], body, mode


def _is_sent(pair: object) -> bool:
    """Whether a header is the step's to send; those of a body's length say nothing new."""
    return type(pair) is not list or cast("list[object]", pair)[:1] != ["content-length"]


def _header(pair: object) -> tuple[str, str]:
    match pair:
        case [str(name), str(value)]:
            pass
        case _:
            raise ProtocolError("the step guest asks for a header that is none")
    if not _TOKEN.fullmatch(name) or _NO_VALUE.search(value):
        raise _refused(f"{name!r:.100} is no header, or its value has a line end")
    lower = name.lower()
    if lower in _OF_CONNECTION or lower.startswith("proxy-"):
        raise _refused(f"the header {name} is the connection's, and cannot be set")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise _refused(f"the value of the header {name} has characters above U+00FF") from None
    return name, value


def _without(headers: Sequence[tuple[str, str]], names: frozenset[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in names]


def _is_same_origin(one: URL, other: URL) -> bool:
    return (one.scheme, one.raw_host, one.port) == (other.scheme, other.raw_host, other.port)


def _refused(reason: str) -> OperationError:
    advice = "; a worker allows it: Worker(fetch=Fetch(allow=[...]))" if "allowed" in reason else ""
    return OperationError("FetchNotAllowedError", f"fetch: {reason}{advice}", {"fatal": True})


def _failure(reason: str, **fields: object) -> OperationError:
    return OperationError("TypeError", f"fetch failed: {reason}", fields)


def _failed(error: BaseException) -> OperationError:
    """The error that the code gets where no response came."""
    cause: BaseException | None = error
    while cause is not None:  # the client wraps what the resolver raised
        if isinstance(cause, OperationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, asyncio.TimeoutError):
        return OperationError("TimeoutError", "fetch failed: it took too long", {})
    code = getattr(error, "errno", None)
    fields: Mapping[str, object] = {"errno": code} if isinstance(code, int) else {}
    return _failure(f"{type(error).__name__}: {error}"[:500], **fields)
