"""Handle: one open world: its connections, its clock, its bells and its counters.

``write`` is a transaction in the writer thread, ``read`` one hop to the reader; ``looks`` is how
every method that waits for something waits. Other processes' writes are noticed by asking the
writer connection for its ``data_version``, which only they change; the same look tells whether the
file is still the one that was opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar, final

import anyio
import anyio.to_thread

from perdure.errors import WorldClosedError, WorldReplacedError, WorldUnavailableError
from perdure.worldkit.clock import Clock
from perdure.worldkit.waiting import Bells, Home, Look, run_to_end

from ._connection import WAL_BYTES, connect
from ._owners import Owner
from ._place import Identity, Place, change_since, is_locked
from ._reader import Reader, ReadingConnection
from ._schema import create_tables, is_current
from ._waits import DEFAULT, Waits
from ._writer import Transaction, Writer

__all__ = ("Handle",)

T = TypeVar("T")
C = TypeVar("C", bound=sqlite3.Connection)
GROW_AFTER = 8  # transactions; then the log is given its size: what writes less needs none
OWNERS_EVERY = 24  # looks between looks for dead owners


@final
class Handle:
    """One open world on one file."""

    def __init__(
        self, url: str, path: Path, *, synchronous: str, clock: Clock, waits: Waits = DEFAULT
    ) -> None:
        self.url = url
        self.waits = waits
        self.place = Place(url, path.absolute())
        self.clock = clock
        self.now_ms = clock.now_ms
        self.counters = {"commits": 0, "appends": 0, "claims": 0}
        self.owner = Owner(self.place)
        self.bells = Bells(clock)
        self._home = Home(url)
        self._synchronous = synchronous
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._look: asyncio.TimerHandle | None = None
        self._looks = 0
        self._is_large = False
        self._version: int | None = None
        self._identity: Identity = {}

    def __repr__(self) -> str:
        return f"<Handle {self.url} {'open' if self._writer else 'closed'}>"

    @property
    def writer(self) -> Writer:
        """The writer.

        Raises:
            WorldClosedError: the world is not open.
            WorldReplacedError: its file is not there any more.
        """
        if self._writer is None:
            raise WorldClosedError(self.url)
        if self._writer.loss:
            raise WorldReplacedError(self.url, reason=self._writer.loss)
        return self._writer

    def check_open(self) -> None:
        """Pass only while the world is open.

        Raises:
            WorldClosedError: it is not.
            WorldReplacedError: its file is not there any more.
        """
        self.writer  # noqa: B018  # raises what is to be raised

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a transaction; durable once this returns."""
        self._home.check()
        return await self.writer.run(work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that only reads; it sees every write that has returned."""
        self._home.check()
        self.check_open()
        assert self._reader is not None
        return await self._reader.read(work)

    async def open(self) -> None:
        """Connect, and make the tables where they are missing.

        A file that has all its tables is opened without the write lock; making them waits for it,
        as often as a worker would ask again, and no longer than ``open_within``.
        """
        if self._writer is not None:
            return
        self._home.enter()
        self._version, self._is_large = None, False
        self.place = Place(self.url, self.place.name).resolved()
        async with contextlib.AsyncExitStack() as undo:
            with self.place.mapped_errors():
                await anyio.to_thread.run_sync(self.place.prepare)
                owner = Owner(self.place)
                undo.callback(owner.resign)
                await anyio.to_thread.run_sync(owner.register)
            writer, reader = await self._connect(undo)
            if not await reader.read(is_current):
                await patiently(self.waits, lambda: writer.run(lambda t: create_tables(t.db)))
            with self.place.mapped_errors():
                self._identity = await anyio.to_thread.run_sync(self.place.identity)
            writer.watch(self._identity)
            writer.submit(owner.free_dead, self._buried)
            undo.pop_all()  # all went well
        self.owner, self._writer, self._reader = owner, writer, reader
        self._look = asyncio.get_running_loop().call_later(self.waits.look_every, self._look_around)

    async def aclose(self) -> None:
        """Land the writes that wait, and let go of the file. Idempotent."""
        writer, self._writer = self._writer, None
        reader, self._reader = self._reader, None
        if writer is None or reader is None:
            return
        if self._look is not None:
            self._look.cancel()
        await run_to_end(self._close(writer, reader))

    async def _close(self, writer: Writer, reader: Reader) -> None:
        await writer.aclose()
        await reader.aclose()
        self.owner.resign()
        self.bells.ring_all()  # whoever waits hears that it is closed

    def looks(self, bell: str, wait_ms: int) -> AsyncIterator[Look]:
        """Look once, then again whenever *bell* rang, until *wait_ms* have passed."""
        return self.bells.looks(bell, wait_ms, check=self.check_open)

    def _grow_wal(self, db: sqlite3.Connection) -> None:
        """Give the write-ahead log its full size at once.

        Syncing a write inside a file takes half the time of one that also makes the file longer
        (measured on ext4: 0.1 to 0.25 ms). A transaction too large for the page cache
        leaves its pages in the log's file, and is rolled back.
        """
        wal = self.place.path.with_name(self.place.path.name + "-wal")
        if wal.exists() and wal.stat().st_size >= WAL_BYTES:
            return
        db.execute("PRAGMA cache_size = 16")
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute("CREATE TABLE padding (data BLOB)")
            db.execute(f"INSERT INTO padding VALUES (zeroblob({WAL_BYTES}))")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            db.execute("PRAGMA cache_size = -8000")

    async def _connect(self, undo: contextlib.AsyncExitStack) -> tuple[Writer, Reader]:
        """Begin a writer and a reader, which *undo* closes."""
        with self.place.mapped_errors():
            db = await self._opened(undo, sqlite3.Connection)
            readable = await self._opened(undo, ReadingConnection)
        writer = Writer(
            db,
            place=self.place,
            now_ms=self.now_ms,
            landed=lambda rings: self.bells.ring(*rings),
        )
        undo.push_async_callback(lambda: run_to_end(writer.aclose()))
        reader = await Reader.begin(readable, self.place)
        undo.push_async_callback(reader.aclose)
        return writer, reader

    async def _opened(self, undo: contextlib.AsyncExitStack, kind: type[C]) -> C:
        """A connection of this kind, opened as soon as nobody else has the lock that it takes."""
        path, synchronous, busy_ms = self.place.path, self._synchronous, self.waits.busy_ms
        connection = await patiently(
            self.waits,
            lambda: anyio.to_thread.run_sync(
                lambda: connect(path, synchronous=synchronous, kind=kind, busy_ms=busy_ms)
            ),
        )
        undo.callback(connection.close)
        return connection

    def _look_around(self) -> None:
        """Ask the writer thread whether others wrote, or died. Re-arms itself until closed."""
        if self._writer is None:
            return
        self._looks += 1
        if not self._is_large and self._writer.transactions >= GROW_AFTER:
            self._is_large = True
            self._writer.look(self._grow_wal)
        for_owners = self._looks % OWNERS_EVERY == 0
        self._writer.look(lambda db: self._seen(db, for_owners=for_owners))
        self._look = asyncio.get_running_loop().call_later(self.waits.look_every, self._look_around)

    def _seen(self, db: sqlite3.Connection, *, for_owners: bool) -> None:
        """In the writer thread."""
        loss = change_since(self._identity)
        if loss is not None and self._writer is not None:
            self._writer.refuse(loss)
            self.bells.ring_all()  # whoever waits hears of it
            return
        version = db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:  # at the first look, too: others wrote since it was opened
            self.bells.ring_all()
        self._version = version
        if for_owners and self.owner.has_dead() and self._writer is not None:
            self._writer.submit(self.owner.free_dead, self._buried)

    def _buried(self, dead: list[Path] | Exception) -> None:
        if isinstance(dead, list):
            self.owner.bury(dead)


async def patiently(waits: Waits, work: Callable[[], Awaitable[T]]) -> T:
    """The answer of *work* once nobody else has the lock that it needs, or its last error.

    SQLite itself does not wait where others make the same file just now.
    """
    until = anyio.current_time() + waits.open_within
    while True:
        try:
            return await work()
        except (sqlite3.OperationalError, WorldUnavailableError) as exc:
            if not is_locked(exc) or anyio.current_time() >= until:
                raise
            await anyio.sleep(waits.open_again)
