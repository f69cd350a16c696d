"""Policy: which URLs the steps in JavaScript of a worker may fetch. Nothing, unless it is told.

Pure. A name may be allowed and still lead to an address that is not: that is looked at where a
connection is made, with the address that it is made to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast, final

from ..errors import UsageError

__all__ = ("Fetch", "Origin")

_PORTS = {"https": 443, "http": 80}
_PATTERN = (  # compiled at first use
    r"(?i)(?:(?P<scheme>https?)://)?(?P<host>\*|(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)


@final
class Origin:
    """Some hosts by scheme and port."""

    __slots__ = ("host", "port", "scheme")

    def __init__(self, pattern: str) -> None:
        """Read one of ``Fetch.allow``.

        Raises:
            UsageError: it is none.
        """
        match = re.fullmatch(_PATTERN, pattern)
        if match is None:
            raise UsageError(
                f"Fetch(allow=[{pattern!r}]): it is a host as in 'api.example.com', "
                "'*.example.com', 'https://api.example.com:8443' or, for all, '*'"
            )
        self.scheme = (match["scheme"] or "https").lower()
        self.host = match["host"].lower()
        self.port = int(match["port"] or _PORTS[self.scheme])

    def __repr__(self) -> str:
        return f"<Origin {self.scheme}://{self.host}:{self.port}>"

    def has(self, scheme: str, host: str, port: int) -> bool:
        """Whether a URL of these parts is of this origin."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        if self.host[:2] == "*.":
            return host.endswith(self.host[1:]) and len(host) >= len(self.host)
        return self.host in ("*", host)


@final
class Fetch:
    """The requests that the steps in JavaScript of a worker may make, and their limits.

    Private, loopback and link-local addresses are refused whatever a host's name is, also after a
    redirect, but for those in *private*.

    Args:
        allow: hosts: ``"api.example.com"`` (https, its usual port), ``"*.example.com"`` (any below
            it), ``"https://api.example.com:8443"``, ``"http://intern.example.com"``, ``"*"``.
        private: networks that would be refused, such as ``"10.1.0.0/16"``, and are not.
        timeout: seconds that a request may take, its body included.
        max_redirects: of one request.
        max_request_bytes: of a request's body.
        max_response_bytes: of a response's body, once it is decompressed.

    Raises:
        UsageError: one of them is none.
    """

    __slots__ = (
        *("allow", "max_redirects", "max_request_bytes", "max_response_bytes"),
        *("origins", "private", "timeout"),
    )

    def __init__(
        self,
        allow: Iterable[str],
        *,
        private: Iterable[str] = (),
        timeout: float = 300.0,
        max_redirects: int = 20,
        max_request_bytes: int = 8 << 20,
        max_response_bytes: int = 64 << 20,
    ) -> None:
        self.allow: tuple[str, ...] = _texts("allow", allow)
        self.origins: tuple[Origin, ...] = tuple(map(Origin, self.allow))
        self.private: tuple[str, ...] = _texts("private", private)
        self.timeout = timeout
        self.max_redirects = max_redirects
        self.max_request_bytes = max_request_bytes
        self.max_response_bytes = max_response_bytes
        for name in ("timeout", "max_request_bytes", "max_response_bytes"):
            _check_number(name, getattr(self, name), least=1e-3)
        _check_number("max_redirects", max_redirects, least=0)
        _check_networks(self.private)

    def __repr__(self) -> str:
        return f"<Fetch of {', '.join(self.allow) or 'nothing'}>"

    def allows(self, scheme: str, host: str, port: int) -> bool:
        """Whether a URL with this *scheme*, *host* (in lower case) and *port* may be fetched."""
        return any(origin.has(scheme, host, port) for origin in self.origins)


def _texts(name: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"Fetch({name}={values!r}): it is a list of texts")
    texts = tuple(cast("Iterable[object]", values))
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"Fetch({name}=…): {text!r} is no text")
    return cast("tuple[str, ...]", texts)


def _check_number(name: str, value: object, *, least: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= least:
        raise UsageError(f"Fetch({name}={value!r}): it is a number and at least {least:g}")


def _check_networks(texts: Iterable[str]) -> None:
    for text in texts:
        import ipaddress  # most policies have none, and it takes milliseconds

        try:
            ipaddress.ip_network(text)
        except ValueError as exc:
            raise UsageError(f"Fetch(private=[{text!r}]): it is no network: {exc}") from None
