"""Handle: one open world: its connections, its clock, its bells and its counters.

``write`` is a transaction in the writer thread, ``read`` one hop to the reader; ``attempts`` is how
every method that waits for something waits. Other processes' writes are noticed by asking the
writer connection for its ``data_version``, which only they change.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar, final

import aiosqlite
import anyio
import anyio.to_thread

from perdure.errors import WorldClosedError
from perdure.testing.clock import Clock
from perdure.waiting import Attempt, Bells

from ._owners import Owner
from ._schema import create_tables
from ._writer import Transaction, Writer, join, make_daemon, mapped_errors, read

__all__ = ("Handle",)

T = TypeVar("T")
LOOK_EVERY = 0.04  # seconds between looks for what other processes wrote
PAGE_BYTES = 2048  # a step changes four pages a little: less to write and to sync than 4096
WAL_BYTES = 4 << 20  # the write-ahead log's size, at which it is written back
GROW_AFTER = 8  # transactions; then the log is given its size: what writes less needs none
OWNERS_EVERY = 12  # looks between looks for dead owners
SET_TRIES = 200
SET_AGAIN = 0.05  # seconds


@final
class Handle:
    """One open world on one file."""

    def __init__(self, url: str, path: Path, *, synchronous: str, clock: Clock) -> None:
        self.url = url
        self.path = path
        self.clock = clock
        self.counters = {"commits": 0, "appends": 0, "claims": 0}
        self.owner = Owner(path)
        self.bells = Bells(clock)
        self._synchronous = synchronous
        self._writer: Writer | None = None
        self._reader: aiosqlite.Connection | None = None
        self._look: asyncio.TimerHandle | None = None
        self._looks = 0
        self._grown = False
        self._version: int | None = None

    def __repr__(self) -> str:
        return f"<Handle {self.url} {'open' if self._writer else 'closed'}>"

    @property
    def writer(self) -> Writer:
        """The writer.

        Raises:
            WorldClosedError: the world is not open.
        """
        if self._writer is None:
            raise WorldClosedError(self.url)
        return self._writer

    def check_open(self) -> None:
        """Pass only while the world is open.

        Raises:
            WorldClosedError: it is not.
        """
        self.writer  # noqa: B018  # raises what is to be raised

    def now_ms(self) -> int:
        """The world's clock."""
        return self.clock.now_ms()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a transaction; durable once this returns."""
        return await self.writer.run(work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that only reads; it sees every write that has returned."""
        if self._reader is None:
            raise WorldClosedError(self.url)
        return await read(self._reader, self.url, work)

    async def open(self) -> None:
        """Connect, and make what is missing."""
        if self._writer is not None:
            return
        await anyio.to_thread.run_sync(self._prepare)
        async with contextlib.AsyncExitStack() as undo:
            owner = Owner(self.path)
            undo.callback(owner.resign)
            await anyio.to_thread.run_sync(owner.register)
            with mapped_errors(self.url):
                connection = await self._connect(undo)
                reader = await self._connect(undo)
            writer = Writer(
                connection,
                url=self.url,
                now_ms=self.now_ms,
                landed=lambda rings: self.bells.ring(*rings),
            )
            await writer.run(lambda t: create_tables(t.db))
            owner.bury(await writer.run(owner.free_dead))
            undo.pop_all()  # all went well
        self.owner, self._writer, self._reader = owner, writer, reader
        self._look = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look_around)

    async def aclose(self) -> None:
        """Land what was handed over, and let go of the file. Idempotent."""
        writer, self._writer = self._writer, None
        reader, self._reader = self._reader, None
        if writer is None or reader is None:
            return
        if self._look is not None:
            self._look.cancel()
        with anyio.CancelScope(shield=True):
            await writer.aclose()
            await reader.close()
        self.owner.resign()
        self.bells.ring_all()  # whoever waits hears that it is closed

    def attempts(self, bell: str, wait_ms: int) -> AsyncIterator[Attempt]:
        """Look once, then again whenever *bell* rang, until *wait_ms* have passed."""
        return self.bells.attempts(bell, wait_ms, check=self.check_open)

    def _prepare(self) -> None:
        with mapped_errors(self.url):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise sqlite3.OperationalError(f"cannot make {self.path.parent}: {exc}") from exc

    def _grow_wal(self, db: sqlite3.Connection) -> None:
        """Give the write-ahead log its full size at once.

        Syncing a write inside a file takes half the time of one that also makes the file longer
        (measured on ext4: 0.1 to 0.25 ms). A transaction too large for the page cache
        leaves its pages in the log's file, and is rolled back.
        """
        wal = self.path.with_name(self.path.name + "-wal")
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

    async def _connect(self, undo: contextlib.AsyncExitStack) -> aiosqlite.Connection:
        making = aiosqlite.connect(
            self.path, isolation_level=None, cached_statements=256, check_same_thread=False
        )
        make_daemon(making)
        try:
            connection = await making
        except sqlite3.Error:
            # Its thread answers once more; it must not find the event loop closed by then.
            await anyio.to_thread.run_sync(join, making)
            raise
        undo.push_async_callback(_close, connection)
        for pragma in (
            "busy_timeout = 10000",
            f"page_size = {PAGE_BYTES}",  # of a file that is made now
            "journal_mode = WAL",
            f"synchronous = {self._synchronous}",
            f"wal_autocheckpoint = {WAL_BYTES // PAGE_BYTES}",
        ):
            await _set(connection, pragma)
        return connection

    def _look_around(self) -> None:
        """Ask the writer thread whether others wrote, or died. Re-arms itself until closed."""
        if self._writer is None:
            return
        self._looks += 1
        if not self._grown and self._writer.transactions >= GROW_AFTER:
            self._grown = True
            self._writer.look(self._grow_wal)
        for_owners = self._looks % OWNERS_EVERY == 0
        self._writer.look(lambda db: self._seen(db, for_owners=for_owners))
        self._look = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look_around)

    def _seen(self, db: sqlite3.Connection, *, for_owners: bool) -> None:
        """In the writer thread."""
        version = db.execute("PRAGMA data_version").fetchone()[0]
        if self._version is not None and version != self._version:
            self.bells.ring_all()
        self._version = version
        if for_owners and self.owner.has_dead() and self._writer is not None:
            self._writer.submit(self.owner.free_dead, self._buried)

    def _buried(self, dead: list[Path] | Exception) -> None:
        if isinstance(dead, list):
            self.owner.bury(dead)


async def _set(connection: aiosqlite.Connection, pragma: str) -> None:
    """Set it; where others make the same file just now, SQLite may not wait for them by itself."""
    for tried in range(SET_TRIES):
        try:
            await connection.execute_fetchall(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or tried == SET_TRIES - 1:
                raise
            await anyio.sleep(SET_AGAIN)
        else:
            return


async def _close(connection: aiosqlite.Connection) -> None:
    with anyio.CancelScope(shield=True):
        await connection.close()
