"""Writer: the one connection that writes, and the commits that its transactions share.

All that is handed over while a commit is at work shares the next one, with answers only after the
COMMIT; should one transaction fail, all are run again, each in a savepoint of its own. Work
from the event loop is landed by the writer's thread, a whole batch in one hop; a thread that may
block lands its own, and all that came meanwhile, without a hop. One thread at a time has the
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar, final

from perdure.errors import WorldClosedError, WorldReplacedError
from perdure.worldkit.posting import post, posted_together

from ._place import Identity, Place, loss_since

__all__ = ("Transaction", "Writer")

T = TypeVar("T")
_log = logging.getLogger("perdure")


@final
class Transaction:
    """The transaction that a function is run in, which may be one of several in it.

    Attributes:
        db: the connection.
        cursor: for statements that have no rows: a cursor for each takes as long as a short one.
        now_ms: the time of all of it.
        rings: the bells to ring once it has landed.
        is_promise: whether it creates a run, which nobody will look for elsewhere.
    """

    __slots__ = ("cursor", "db", "is_promise", "now_ms", "rings")

    def __init__(self, cursor: sqlite3.Cursor, now_ms: int) -> None:
        self.db = cursor.connection
        self.cursor = cursor
        self.now_ms = now_ms
        self.rings: set[str] = set()
        self.is_promise = False


_Run: TypeAlias = Callable[
    [Transaction], object
]  # may run twice; only the database keeps what it did
_Callback: TypeAlias = Callable[[Any], None]  # takes the answer, or the error


@final
class Writer:
    """Transactions on one connection, in the order they were handed over."""

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        place: Place,
        now_ms: Callable[[], int],
        landed: Callable[[set[str]], None],
    ) -> None:
        """Take the connection over; the writer's thread begins, and ends with the process.

        Args:
            landed: called, in any thread, with the bells that a commit rings, if there are any.
        """
        self._db = db
        self._cursor = db.cursor()
        self._place = place
        self._now_ms = now_ms
        self._landed = landed
        self._lock = threading.Lock()
        self._landing = threading.Lock()  # held by the thread that has the connection
        self._waiting: list[tuple[_Run, _Callback]] = []
        self._scheduled = False
        self._closed = False
        self._data: Identity = {}  # of the files that a commit has to be in
        self.loss = ""  # what became of the file, once that is known
        self.commits = 0
        self.transactions = 0
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="perdure-sqlite", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Writer {self._place.url} waiting={len(self._waiting)} commits={self.commits}>"

    def submit(
        self, run: Callable[[Transaction], T], callback: Callable[[T | Exception], None]
    ) -> None:
        """Run a transaction; *callback* gets its answer in another thread. Never blocks."""
        if self._add(run, callback):
            self._calls.put(self._drain)

    def land(
        self, run: Callable[[Transaction], T], callback: Callable[[T | Exception], None]
    ) -> None:
        """Run a transaction in this thread, unless another is at work, which then runs it.

        *callback* gets its answer or error. Blocks for about as long as a commit takes.
        """
        if self._add(run, callback):
            self._drain()

    def _add(self, run: _Run, callback: _Callback) -> bool:
        """Whether the caller has to see to it that the waiting work is landed."""
        with self._lock:
            if not self._closed:
                self._waiting.append((run, callback))
                first, self._scheduled = not self._scheduled, True
                return first
        callback(WorldClosedError(self._place.url))
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
                look(self._db)

        with self._lock:
            if not self._closed:
                self._calls.put(run)

    def watch(self, files: Identity) -> None:
        """Begin only while these are the files of these names."""
        self._data = files

    def refuse(self, loss: str) -> None:
        """Land nothing from now on: the file is not there any more."""
        self.loss = loss

    async def aclose(self) -> None:
        """Land the work that waits, refuse any more, close the connection. Once only."""
        loop = asyncio.get_running_loop()
        closed: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not closed.done():
                closed.set_result(None)

        def close() -> None:
            try:
                self._drain()
                with self._landing:
                    self._db.close()
            finally:
                post(loop, tell)

        with self._lock:
            self._closed = True
            self._calls.put(close)
            self._calls.put(None)
        await closed
        self._thread.join()

    def _serve(self) -> None:
        """Make the calls, in the writer's thread, until there are no more."""
        for call in iter(self._calls.get, None):
            try:
                call()
            except Exception:  # as any loop does: the calls that follow are others'
                _log.exception("the writer of %s failed in a call", self._place.url)

    def _drain(self) -> None:
        with self._landing:
            while True:
                with self._lock:
                    batch, self._waiting = self._waiting, []
                    if not batch:
                        self._scheduled = False
                        return
                self._land(batch)

    def _land(self, batch: list[tuple[_Run, _Callback]]) -> None:
        rings: set[str] = set()
        try:
            answers, rings = self._transact(batch)
        except Exception as exc:  # handed on, to everyone in the batch
            error = exc
            if isinstance(exc, sqlite3.DatabaseError | OSError):
                error = self._place.error_of(exc)
                error.__cause__ = exc
            answers = [error] * len(batch)
        else:
            self.commits += 1
            self.transactions += len(batch)
        if len(batch) == 1:
            _tell(batch[0][1], answers[0])  # who wakes its loop by itself
        else:
            with posted_together():
                for (_, callback), answer in zip(batch, answers, strict=True):
                    _tell(callback, answer)
        if rings:
            self._landed(rings)  # after the answers: who made a change hears of it first

    def _transact(self, batch: list[tuple[_Run, _Callback]]) -> tuple[list[object], set[str]]:
        """The answers of a batch, and the bells to ring."""
        if self.loss:
            raise WorldReplacedError(self._place.url, reason=self.loss)
        cursor = self._cursor
        answers: list[object] = []
        cursor.execute("BEGIN IMMEDIATE")
        try:
            transaction = Transaction(cursor, self._now_ms())
            try:
                for run, _ in batch:
                    answers.append(run(transaction))  # no frame of its own
            except Exception:
                if len(batch) == 1:
                    raise
                # Rare; then each again in a savepoint, so that it fails alone.
                cursor.execute("ROLLBACK")
                cursor.execute("BEGIN IMMEDIATE")
                transaction = Transaction(cursor, self._now_ms())
                answers = [self._attempt(transaction, run) for run, _ in batch]
            if transaction.is_promise:
                self._check_place()
            cursor.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        return answers, transaction.rings

    def _check_place(self) -> None:
        """Go on only where the file is the one that its name means.

        A run that is created in a file which was removed would be gone though it was acknowledged.
        Of one that was there before everything is gone, and the next look tells.
        """
        self.loss = loss_since(self._data) or ""
        if self.loss:
            raise WorldReplacedError(self._place.url, reason=self.loss)

    def _attempt(self, whole: Transaction, run: _Run) -> object:
        """The answer of one of several, or its error; then nothing of it is in the *whole*."""
        cursor = whole.cursor
        transaction = Transaction(cursor, whole.now_ms)
        cursor.execute("SAVEPOINT one")
        try:
            with self._place.mapped_errors():
                answer = run(transaction)
        except Exception as exc:  # handed on, to the one it belongs to
            if not self._db.in_transaction:
                raise  # SQLite gave the whole batch up
            cursor.execute("ROLLBACK TO one")
            cursor.execute("RELEASE one")
            return exc
        cursor.execute("RELEASE one")
        whole.rings |= transaction.rings
        whole.is_promise |= transaction.is_promise
        return answer


def _tell(callback: _Callback, answer: object) -> None:
    """Hand the answer over; where that fails, the others get theirs all the same."""
    try:
        callback(answer)
    except Exception:
        _log.exception("a transaction's answer could not be handed over")
