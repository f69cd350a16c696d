"""Server: an ASGI app under uvicorn, in a service that heeds signals itself. Needs uvicorn.

A connection has a time to send the head of each request: uvicorn itself waits for ever, and so
would a thousand connections that send a byte a minute.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar, Final, final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import UsageError

__all__ = ("Server", "listen")

_MAX_PORT: Final = 65_535
_GRACE: Final = 5  # seconds for requests that are being answered when the server stops


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Args:
        host: an address or name; one with a colon is of IPv6.
        port: 0 is any that is free.

    Raises:
        UsageError: nobody can listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port <= _MAX_PORT:
        raise UsageError(f"cannot listen at port {port}: there are ports 0 to {_MAX_PORT}")
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        raise UsageError(f"cannot listen at {host} port {port}: {exc}; choose another") from exc


@final
class Server(uvicorn.Server):
    """Serves an app beside whatever else runs in the event loop: ``await server.serve([socket])``.

    It serves until ``stop``; then it accepts nothing more, and answers what it has begun, for five
    seconds at most. It heeds no signals, and starts and stops nothing of the app's.

    Args:
        app: an ASGI app, such as that of ``perdure.web.app``.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PatientProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The program heeds them."""
        yield

    def stop(self) -> None:
        """Let ``serve`` return soon."""
        self.should_exit = True


class PatientProtocol(H11Protocol):
    """A connection whose requests' heads must be there in time."""

    head_seconds: ClassVar[float] = 10.0
    _timer: asyncio.TimerHandle | None = None

    # uvicorn narrows the parameter as well.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._watch(is_begun=True)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request have come."""
        super().data_received(data)
        self._watch(is_begun=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        super().connection_lost(exc)
        self._watch(is_begun=False)

    def _watch(self, *, is_begun: bool) -> None:
        """Time the head while it is awaited: not bodies, answers, nor what lies idle between."""
        is_due = is_begun and self.conn.their_state is h11.IDLE
        if is_due and self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self.transport.close)
        elif not is_due and self._timer is not None:
            self._timer.cancel()
            self._timer = None
