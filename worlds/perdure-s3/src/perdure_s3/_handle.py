"""Handle: one open world: its client, its clock, its bells and its counters."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import cast, final

import anyio
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]  # no annotations

from perdure.errors import WorldClosedError, WorldContractError, WorldUnavailableError
from perdure.worldkit.clock import Clock, SystemClock
from perdure.worldkit.waiting import Bells, Home, Look, run_to_end

from ._cas import Cas, Client, Found, Refusal
from ._client import Place, connect
from ._due import Due
from ._heads import Heads
from ._hooks import Hooks
from ._schema import FORMAT, Layout, dumps, loads, readable

__all__ = ("Handle",)

_log = logging.getLogger("perdure")
_SKEW_MS = 2_000
_CLOSING = 30.0  # seconds that closing waits for what is under way
_FIRST_POLL = 0.1  # seconds between looks at what somebody else may change; doubled up to the last
_LAST_POLL = 2.0


@dataclass(frozen=True, slots=True)
class _Open:
    cas: Cas
    due: Due
    runs: Heads
    tokens: Hooks
    closing: AbstractAsyncContextManager[object]


@final
class Handle:
    """One open world in one bucket."""

    def __init__(self, url: str, place: Place, *, clock: Clock) -> None:
        self.url = url
        self.place = place
        self.clock = clock
        self.counters = {"commits": 0, "appends": 0, "claims": 0}
        self.bells = Bells(clock)
        self.wrap: Callable[[Client], Client] = lambda client: client  # for tests, before ``open``
        self._home = Home(url)
        self._open: _Open | None = None
        self._requests: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Handle {self.url} {'open' if self._open else 'closed'}>"

    @property
    def _opened(self) -> _Open:
        if self._open is None:
            raise WorldClosedError(self.url)
        self._home.check()
        return self._open

    @property
    def cas(self) -> Cas:
        """The objects. Raises ``WorldClosedError`` unless open, like those below."""
        return self._opened.cas

    @property
    def due(self) -> Due:
        """The due index."""
        return self._opened.due

    @property
    def runs(self) -> Heads:
        """The heads."""
        return self._opened.runs

    @property
    def tokens(self) -> Hooks:
        """The hook tokens."""
        return self._opened.tokens

    def check_open(self) -> None:
        """Pass only while the world is open.

        Raises:
            WorldClosedError: it is not.
        """
        self._opened  # noqa: B018  # raises what is to be raised

    def now_ms(self) -> int:
        """The world's clock."""
        return self.clock.now_ms()

    async def open(self) -> None:
        """Connect, check that the server keeps conditions, and make the world's object."""
        if self._open is not None:
            self._home.check()
            return
        self._home.enter()
        place = self.place
        try:
            closing = connect(place)
            client = cast(Client, await closing.__aenter__())
        except (BotoCoreError, ValueError) as exc:
            raise WorldContractError(f"world {self.url}: {exc}") from exc
        cas = Cas(self.wrap(client), bucket=place.bucket, prefix=place.prefix, url=self.url)
        try:
            shards = await _settled_shards(cas, place.shards, self.url)
            if isinstance(self.clock, SystemClock):
                _compare_clocks(cas.date, self.now_ms(), self.url)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await closing.__aexit__(None, None, None)
            raise
        self._requests = cas.requests
        due = Due(cas, shards=shards, slowest=place.poll, now_ms=self.now_ms)
        runs = Heads(cas, due, self.bells, now_ms=self.now_ms)
        self._open = _Open(cas, due, runs, Hooks(cas, runs), closing)

    async def aclose(self) -> None:
        """Finish writes that are under way, and disconnect. Idempotent."""
        if self._open is not None and not self._home.is_gone:
            self._home.check()
        opened, self._open = self._open, None
        if opened is None or self._home.is_gone:  # with the client's connections
            return
        self.bells.ring_all()  # whoever waits hears that it is closed
        await run_to_end(_close(opened))

    def statistics(self) -> dict[str, int]:
        """The counters, and the requests sent since it was opened last."""
        return {**self.counters, **self._requests}

    async def settle(self) -> None:
        """Wait until all that follows from returned calls is durable."""
        await self.runs.settle()
        await self.due.settle()

    def looks(
        self, bell: str, wait_ms: int, *, poll_s: Callable[[], float] | None = None
    ) -> AsyncIterator[Look]:
        """Look once, then when *bell* rang or some time has passed, until *wait_ms* have passed."""
        pause = _FIRST_POLL / 2

        def longer() -> float:
            nonlocal pause
            pause = min(_LAST_POLL, pause * 2)
            return pause

        return self.bells.looks(bell, wait_ms, check=self.check_open, poll_s=poll_s or longer)


async def _close(opened: _Open) -> None:
    with anyio.move_on_after(_CLOSING):
        await opened.runs.settle()
        await opened.due.settle()
    opened.due.close()
    opened.cas.close()
    await opened.closing.__aexit__(None, None, None)


async def _probe(cas: Cas, url: str) -> None:
    """Pass only a server that keeps conditions.

    Raises:
        WorldContractError: it ignores them, or refuses a write that it should take.
        WorldUnavailableError: it does not answer.
    """
    key = f"probe/{secrets.token_hex(8)}"
    first = await cas.create(key, b"1")
    if first is Refusal.DOUBTFUL and not await cas.has(key):
        raise WorldUnavailableError(f"world {url}: the server does not take writes")
    if first is Refusal.REFUSED:
        raise WorldContractError(f"world {url}: the server refuses to make a new object")
    again = await cas.create(key, b"2")
    stale = await cas.replace(key, b"3", '"00000000000000000000000000000000"')
    await cas.remove(key)
    if not (isinstance(again, Refusal) and isinstance(stale, Refusal)):
        ignored = "If-Match" if isinstance(again, Refusal) else "If-None-Match"
        raise WorldContractError(
            f"world {url}: the server ignores {ignored} on PUT, so two writers would overwrite "
            f"each other; use AWS S3 or another server with conditional writes"
        )


def _compare_clocks(date: str, now_ms: int, url: str) -> None:
    """Warn of a clock by which leases would run out early or late."""
    try:
        ahead_ms = now_ms - int(parsedate_to_datetime(date).timestamp() * 1000)
    except ValueError:
        return  # a server that does not say
    if not -_SKEW_MS < ahead_ms < _SKEW_MS + 1000:  # the header has whole seconds
        _log.warning(
            "world %s: this machine's clock and the store's differ by %.1f s; leases of workers "
            "whose clocks disagree run out early or late",
            url,
            ahead_ms / 1000,
        )


async def _settled_shards(cas: Cas, wanted: int, url: str) -> int:
    """How many shelves the due index of this world has, which the first ``open`` decides.

    Raises:
        WorldContractError: the server keeps no conditions, or the world is of another version.
        WorldUnavailableError: the server does not answer.
    """
    await _probe(cas, url)  # first: a server that has just come up takes writes before it reads
    body = await _described(cas)
    if body is None:
        body = dumps([FORMAT, wanted])
        if isinstance(await cas.create(Layout.WORLD, body), Refusal):
            body = await _described(cas)  # another has made it, just now
    if body is None:
        raise WorldContractError(f"world {url}: what was just written is not there")
    with readable(f"what world {url} says of itself"):
        version, shards, *_ = loads(body)
    if version != FORMAT:
        raise WorldContractError(
            f"world {url} was made by a later version (format {version}); upgrade perdure-s3"
            if version > FORMAT
            else f"world {url} was made by an earlier version (format {version}, not {FORMAT}); "
            f"let its runs end with the perdure-s3 that made it, and use another prefix from now on"
        )
    return int(shards)


async def _described(cas: Cas) -> bytes | None:
    reply = await cas.get(Layout.WORLD)
    return reply.body if isinstance(reply, Found) else None
