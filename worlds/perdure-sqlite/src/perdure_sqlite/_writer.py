"""Writer: the one thread that writes, and the commits that its transactions share.

Whatever was handed over while the last commit was at work shares the next one: each transaction in
a savepoint of its own, answers only after the COMMIT. aiosqlite's connection thread is the writer
thread; a whole batch is one hop to it. This module alone knows how to get there without a loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, cast, final

import aiosqlite

from perdure.errors import WorldClosedError, WorldContractError, WorldUnavailableError

__all__ = ("Transaction", "Writer", "join", "make_daemon", "mapped_errors", "read")

T = TypeVar("T")


@dataclass(slots=True)
class Transaction:
    """What a transaction's function gets."""

    db: sqlite3.Connection
    now_ms: int
    rings: set[str] = field(default_factory=set[str])  # bells to ring once it has landed


@dataclass(frozen=True, slots=True)
class _Work:
    run: Callable[[Transaction], Any]
    done: Callable[[Any], None]  # its answer, or the error


@contextlib.contextmanager
def mapped_errors(url: str) -> Generator[None, None, None]:
    """Turn SQLite's errors into the world's."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        raise WorldUnavailableError(f"world {url}: {exc}") from exc
    except sqlite3.DatabaseError as exc:
        raise WorldContractError(f"world {url}: {exc}") from exc


async def read(
    connection: aiosqlite.Connection, url: str, work: Callable[[sqlite3.Connection], T]
) -> T:
    """Run a whole reading function in one hop to the connection's thread."""
    with mapped_errors(url):
        try:
            answer: T = await connection._execute(lambda: work(connection._conn))  # type: ignore[no-untyped-call]
        except ValueError as exc:  # what aiosqlite says of a closed connection
            raise WorldClosedError(url) from exc
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
        url: str,
        now_ms: Callable[[], int],
        landed: Callable[[set[str]], None],
    ) -> None:
        """Take the connection over.

        Args:
            landed: called in the writer thread with the bells that a commit rings.
        """
        self._connection = connection
        self._inside = cast(_Inside, connection)
        self._url = url
        self._now_ms = now_ms
        self._landed = landed
        self._lock = threading.Lock()
        self._waiting: list[_Work] = []
        self._scheduled = False
        self._closed = False
        self.commits = 0
        self.transactions = 0

    def __repr__(self) -> str:
        return f"<Writer {self._url} waiting={len(self._waiting)} commits={self.commits}>"

    def submit(
        self, run: Callable[[Transaction], T], done: Callable[[T | Exception], None]
    ) -> None:
        """Run a transaction; *done* gets its answer or error in the writer thread. Never blocks."""
        with self._lock:
            if not self._closed:
                self._waiting.append(_Work(run, done))
                if not self._scheduled:
                    self._scheduled = True
                    self._inside._tx.put_nowait((None, self._drain))  # pyright: ignore[reportPrivateUsage]
                return
        done(WorldClosedError(self._url))

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

        def done(answer: T | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone, and whoever waited
                loop.call_soon_threadsafe(settle, answer)

        self.submit(run, done)
        return await waiter

    def look(self, look: Callable[[sqlite3.Connection], None]) -> None:
        """Run a quick reading function in the writer thread, outside transactions."""

        def run() -> None:
            with contextlib.suppress(sqlite3.Error, ValueError):  # the next look will tell
                look(self._inside._conn)  # pyright: ignore[reportPrivateUsage]

        with self._lock:
            if not self._closed:
                self._inside._tx.put_nowait((None, run))  # pyright: ignore[reportPrivateUsage]

    async def aclose(self) -> None:
        """Land what was handed over; refuse what follows."""
        with self._lock:
            self._closed = True
        await self._connection.close()

    def _drain(self) -> None:
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
            with mapped_errors(self._url):
                db = self._inside._conn  # pyright: ignore[reportPrivateUsage]
                db.execute("BEGIN IMMEDIATE")
                try:
                    if len(batch) == 1:  # needs no savepoint: it fails alone in any case
                        answers = [self._alone(db, batch[0], rings)]
                    else:
                        answers = [self._attempt(db, work, rings) for work in batch]
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
        except Exception as exc:  # handed on, to everyone in the batch
            answers, rings = [exc] * len(batch), set()
        else:
            self.commits += 1
            self.transactions += len(batch)
        self._landed(rings)
        for work, answer in zip(batch, answers, strict=True):
            work.done(answer)

    def _alone(self, db: sqlite3.Connection, work: _Work, rings: set[str]) -> Any:
        transaction = Transaction(db, self._now_ms())
        answer = work.run(transaction)
        rings |= transaction.rings
        return answer

    def _attempt(self, db: sqlite3.Connection, work: _Work, rings: set[str]) -> Any:
        transaction = Transaction(db, self._now_ms())
        db.execute("SAVEPOINT one")
        try:
            with mapped_errors(self._url):
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
