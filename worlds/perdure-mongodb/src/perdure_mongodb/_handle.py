"""Handle: one open world: its connection, its clock, its bells and its counters.

A write runs in a task of its own that ends as the server decides, also if the caller is cancelled:
a cancelled await says nothing about the write, and never breaks into a transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar, final

import anyio

from perdure.errors import PerdureError, UsageError, WorldClosedError
from perdure.worldkit.clock import Clock
from perdure.worldkit.waiting import Bells, Home, Look, run_to_end

from ._connection import Connection, MakeDriver
from ._driver import DRIVERS, Driver, mapped_errors
from ._greeting import greet
from ._recent import Recent
from ._schema import Collections, create_collections
from ._transaction import Command
from ._uri import words_of

__all__ = ("Handle",)

T = TypeVar("T")
POLL_LIVE = 1.0  # seconds between looks while the change stream gives hints
POLL_BLIND = 0.2  # and while it does not
SLOW_WRITE = 1.0  # seconds
_log = logging.getLogger("perdure")


@final
class Handle:
    """One open world on one database."""

    def __init__(self, url: str, uri: str, name: str, *, driver: str, clock: Clock) -> None:
        self.url = url  # without secrets
        self.clock = clock
        self.counters = {"commits": 0, "appends": 0, "claims": 0, "retries": 0}
        self.bells = Bells(clock)
        self.recent = Recent()
        self._home = Home(url)
        self._uri = uri
        self._name = name
        self._make: MakeDriver = DRIVERS[driver]
        self._connection: Connection | None = None
        self._collections: Collections | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._term: object = None
        self._closing = False

    def __repr__(self) -> str:
        return f"<Handle {self.url} {'open' if self._collections else 'closed'}>"

    @property
    def connection(self) -> Connection:
        """The connection that it shares with other worlds of this process.

        Raises:
            WorldClosedError: the world is not open.
        """
        if self._connection is None:
            raise WorldClosedError(self.url)
        return self._connection

    @property
    def driver(self) -> Driver:
        """The client.

        Raises:
            WorldClosedError: the world is not open.
        """
        return self.connection.driver

    @property
    def db(self) -> Collections:
        """The collections.

        Raises:
            WorldClosedError: the world is not open.
        """
        if self._collections is None:
            raise WorldClosedError(self.url)
        return self._collections

    def check_open(self) -> None:
        """Pass only while the world is open.

        Raises:
            WorldClosedError: it is not, or is being closed.
            UsageError: it is open in another event loop.
        """
        if self._collections is None or self._closing:
            raise WorldClosedError(self.url)
        self._home.check()

    def now_ms(self) -> int:
        """The world's clock."""
        return self.clock.now_ms()

    def ring(self, *names: str) -> None:
        """Wake who listens to these in any world of this process: this one has written."""
        if self._connection is not None:  # a caller may hear of its write after the world's end
            self._connection.ring(*names)

    async def write(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """Run a write to its end, cancelled or not; durable once this returns."""
        return await self.outcome(self.spawn(work))

    async def outcome(self, write: asyncio.Future[T]) -> T:
        """The outcome of a write; it goes on if the caller is cancelled."""
        with mapped_errors(self.url):
            while not (await asyncio.wait({write}, timeout=SLOW_WRITE))[0]:
                self.look_for_the_dead()  # it may wait for a lock of theirs
            return await write

    def spawn(self, work: Callable[[], Coroutine[object, object, T]]) -> asyncio.Task[T]:
        """Run in a task that ``aclose`` waits for."""
        self.check_open()
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def read(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await something that only reads; it sees every write that has been acknowledged."""
        cancellations = _cancelling()
        with mapped_errors(self.url):
            while True:
                term = await self.settled_term()
                try:
                    answer = await work()
                except PerdureError:
                    if self.driver.term() == term:
                        raise
                else:
                    if (
                        _cancelling() > cancellations
                    ):  # Python 3.11's wait_for, below PyMongo, forgets it
                        raise asyncio.CancelledError
                    if self.driver.term() == term:
                        return answer

    async def transact(self, commands: Sequence[Command]) -> None:
        """Write all of this, or nothing.

        Raises:
            MovedError: a command found too little; nothing was written.
            PyMongoError: labelled ``UnknownTransactionCommitResult`` if it may have landed.
        """
        await self.driver.transact(self.connection.database, commands)

    async def settled_term(self) -> object:
        """The primary's term, once it is sure that it shows the acknowledged writes before it.

        A server that was just elected has every acknowledged write, and does not know yet that
        they are the majority's: for a moment its majority reads may be older. One majority write
        makes it find out. (A linearizable read would, too, but waits for the journal's next
        regular flush: 45 ms where this takes one.)
        """
        self.check_open()
        term = self.driver.term()
        while term is None or term != self._term:
            meta = self.connection.database["meta"]
            await meta.update_one({"_id": "schema"}, {"$inc": {"terms": 1}})
            before, term = term, self.driver.term()
            if before == term:
                self._term = term
        return term

    async def settle(self) -> None:
        """Wait for the writes that are on their way, their callers cancelled or not."""
        self.check_open()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def open(self) -> None:
        """Connect, and make the missing collections."""
        if self._collections is not None:
            self._home.check()
            return
        self._home.enter()
        with mapped_errors(self.url):
            connection = self._join()
            try:
                await greet(connection.driver, self._make, self._uri, self.url, self.clock)
                await create_collections(connection.database)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await connection.leave(self.bells)
                raise
        self._connection = connection
        self._collections = Collections.of(connection.database)

    def _join(self) -> Connection:
        try:
            return Connection.join(self._make, self._uri, self._name, self.bells)
        except (ValueError, TypeError, OSError) as exc:  # of certificates, above all
            raise UsageError(f"{self.url}: {words_of(str(exc), self._uri)}") from None

    async def aclose(self) -> None:
        """Wait for the writes that were begun, and disconnect. Idempotent."""
        connection = self._connection
        if connection is None or self._closing:
            return
        if self._home.is_gone:  # and the client's tasks with it
            self._connection = self._collections = None
            return
        self._home.check()
        self._closing = True
        self.bells.ring_all()  # whoever waits hears that it is closed
        await run_to_end(self._close(connection))

    async def _close(self, connection: Connection) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        self._connection = self._collections = None
        await connection.leave(self.bells)
        self._closing = False

    def looks(self, bell: str, wait_ms: int) -> AsyncIterator[Look]:
        """Look once, then again whenever *bell* rang or it is time to, until it is over."""
        connection = self.connection
        self._home.check()  # before anything begins in this loop
        if wait_ms > 0:
            connection.watcher.begin()
            connection.reaper.begin()
        return self.bells.looks(
            bell,
            wait_ms,
            check=self.check_open,
            poll_s=lambda: POLL_LIVE if connection.watcher.is_live else POLL_BLIND,
        )

    def look_for_the_dead(self) -> None:
        """From now on end transactions that were left open: somebody waits for their locks."""
        if self._connection is not None:
            self._connection.reaper.begin()

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("%s: a write ended with %r", self.url, error)


def _cancelling() -> int:
    """How many have asked for the end of the present task."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
