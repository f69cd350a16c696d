"""Writer: the one connection that writes, and the commits that its transactions share.

Whatever was handed over while the last commit was at work shares the next one, answers only after
the COMMIT; should one transaction fail, all are run again, each in a savepoint of its own. Work
from the event loop is landed by aiosqlite's connection thread, a whole batch in one hop; a thread
that may block lands its own, and what came meanwhile, without a hop. One thread at a time has the
connection. This module alone knows how to get there without a loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, cast, final

import aiosqlite

from perdure.errors import WorldClosedError, WorldReplacedError
from perdure.posting import post, posted_together

from ._place import Identity, Place, loss_since

__all__ = ("Transaction", "Writer", "join", "make_daemon", "read")

T = TypeVar("T")


@dataclass(slots=True)
class Transaction:
    """What a transaction's function gets."""

    db: sqlite3.Connection
    now_ms: int
    rings: set[str] = field(default_factory=set[str])  # bells to ring once it has landed
    is_promise: bool = False  # it creates a run, which nobody will look for elsewhere


@dataclass(slots=True)
class _Work:
    run: Callable[[Transaction], Any]  # may run twice; only the database keeps what it did
    done: Callable[[Any], None]  # its answer, or the error


async def read(
    connection: aiosqlite.Connection, place: Place, work: Callable[[sqlite3.Connection], T]
) -> T:
    """Run a whole reading function in one hop to the connection's thread."""
    with place.mapped_errors():
        try:
            answer: T = await connection._execute(lambda: work(connection._conn))  # type: ignore[no-untyped-call]
        except ValueError as exc:  # what aiosqlite says of a closed connection
            raise WorldClosedError(place.url) from exc
        return answer


class _Inside(Protocol):
    """What of aiosqlite's connection is private and needed here, and here alone.

    ``tests/test_world.py`` fails when a release of aiosqlite moves it.
    """

    _conn: sqlite3.Connection
    _tx: SimpleQueue[tuple[None, Callable[[], Any]]]
    _thread: threading.Thread


def make_daemon(connection: aiosqlite.Connection) -> None:
    """Let the process end though nobody closed this connection, which is not started yet."""
    cast(_Inside, connection)._thread.daemon = True  # pyright: ignore[reportPrivateUsage]


def join(connection: aiosqlite.Connection) -> None:
    """Block until the thread of a connection that did not open has ended."""
    cast(_Inside, connection)._thread.join()  # pyright: ignore[reportPrivateUsage]


@final
class Writer:
    """Transactions on one connection, in the order they were handed over."""

    def __init__(
        self,
        connection: aiosqlite.Connection,
        *,
        place: Place,
        now_ms: Callable[[], int],
        landed: Callable[[set[str]], None],
    ) -> None:
        """Take the connection over.

        Args:
            landed: called, in any thread, with the bells that a commit rings.
        """
        self._connection = connection
        self._inside = cast(_Inside, connection)
        self._place = place
        self._now_ms = now_ms
        self._landed = landed
        self._lock = threading.Lock()
        self._landing = threading.Lock()  # held by the thread that has the connection
        self._waiting: list[_Work] = []
        self._scheduled = False
        self._closed = False
        self._data: Identity = {}  # of the files that a commit has to be in
        self.lost = ""  # what became of the file, once that is known
        self.commits = 0
        self.transactions = 0

    def __repr__(self) -> str:
        return f"<Writer {self._place.url} waiting={len(self._waiting)} commits={self.commits}>"

    def submit(
        self, run: Callable[[Transaction], T], done: Callable[[T | Exception], None]
    ) -> None:
        """Run a transaction; *done* gets its answer or error, in another thread. Never blocks."""
        if self._add(run, done):
            self._inside._tx.put_nowait((None, self._drain))  # pyright: ignore[reportPrivateUsage]

    def land(self, run: Callable[[Transaction], T], done: Callable[[T | Exception], None]) -> None:
        """Run a transaction in this thread, unless another is at work, which then runs it.

        *done* gets its answer or error. Blocks for about as long as a commit takes.
        """
        if self._add(run, done):
            self._drain()

    def _add(self, run: Callable[[Transaction], T], done: Callable[[T | Exception], None]) -> bool:
        """Whether the caller has to see to it that the waiting work is landed."""
        with self._lock:
            if not self._closed:
                self._waiting.append(_Work(run, done))
                first, self._scheduled = not self._scheduled, True
                return first
        done(WorldClosedError(self._place.url))
        return False

    async def run(self, run: Callable[[Transaction], T]) -> T:
        """Run a transaction and wait for it. Cancelling the wait does not undo it."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()

        def settle(answer: T | Exception) -> None:
            if waiter.done():
                return
            if isinstance(answer, Exception):
                waiter.set_exception(answer)
            else:
                waiter.set_result(answer)

        self.submit(run, lambda answer: post(loop, lambda: settle(answer)))
        return await waiter

    def look(self, look: Callable[[sqlite3.Connection], None]) -> None:
        """Run a quick reading function on the connection, outside transactions."""

        def run() -> None:
            # the next look will tell
            with self._landing, contextlib.suppress(sqlite3.Error, OSError, ValueError):
                look(self._inside._conn)  # pyright: ignore[reportPrivateUsage]

        with self._lock:
            if not self._closed:
                self._inside._tx.put_nowait((None, run))  # pyright: ignore[reportPrivateUsage]

    def watch(self, files: Identity) -> None:
        """Begin only while these are the files of these names."""
        self._data = files

    def refuse(self, lost: str) -> None:
        """Land nothing from now on: the file is not there any more."""
        self.lost = lost

    async def aclose(self) -> None:
        """Land what was handed over; refuse what follows."""
        with self._lock:
            self._closed = True
        await self._connection._execute(self._drain)  # type: ignore[no-untyped-call]
        await self._connection.close()

    def _drain(self) -> None:
        with self._landing:
            while True:
                with self._lock:
                    batch, self._waiting = self._waiting, []
                    if not batch:
                        self._scheduled = False
                        return
                self._land(batch)

    def _land(self, batch: list[_Work]) -> None:
        answers: list[Any] = []
        rings: set[str] = set()
        try:
            answers = self._transact(batch, rings)
        except Exception as exc:  # handed on, to everyone in the batch
            error = exc
            if isinstance(exc, sqlite3.DatabaseError | OSError):
                error = self._place.error_of(exc)
                error.__cause__ = exc
            answers, rings = [error] * len(batch), set()
        else:
            self.commits += 1
            self.transactions += len(batch)
        with posted_together():
            for work, answer in zip(batch, answers, strict=True):
                work.done(answer)
        self._landed(rings)  # after the answers: who made a change hears of it first

    def _transact(self, batch: list[_Work], rings: set[str]) -> list[Any]:
        db = self._inside._conn  # pyright: ignore[reportPrivateUsage]
        answers: list[Any] = []
        promises: list[bool] = []
        if self.lost:
            raise WorldReplacedError(self._place.url, reason=self.lost)
        db.execute("BEGIN IMMEDIATE")
        try:
            try:
                for work in batch:
                    transaction = Transaction(db, self._now_ms())
                    answers.append(work.run(transaction))
                    promises.append(transaction.is_promise)
                    rings |= transaction.rings
            except Exception:
                if len(batch) == 1:
                    raise
                # Rare; then each again in a savepoint, so that it fails alone.
                db.execute("ROLLBACK")
                db.execute("BEGIN IMMEDIATE")
                rings.clear()
                answers = [self._attempt(db, work, rings) for work in batch]
                promises = [True]
            if True in promises:
                self._check_place()
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return answers

    def _check_place(self) -> None:
        """Go on only where the file is the one that its name means.

        A run that is created in a file which was removed would be gone though it was acknowledged.
        Of one that was there before everything is gone, and the next look tells.
        """
        self.lost = loss_since(self._data) or ""
        if self.lost:
            raise WorldReplacedError(self._place.url, reason=self.lost)

    def _attempt(self, db: sqlite3.Connection, work: _Work, rings: set[str]) -> Any:
        transaction = Transaction(db, self._now_ms())
        db.execute("SAVEPOINT one")
        try:
            with self._place.mapped_errors():
                answer = work.run(transaction)
        except Exception as exc:  # handed on, to the one it belongs to
            if not db.in_transaction:
                raise  # SQLite gave the whole batch up
            db.execute("ROLLBACK TO one")
            db.execute("RELEASE one")
            return exc
        db.execute("RELEASE one")
        rings |= transaction.rings
        return answer
