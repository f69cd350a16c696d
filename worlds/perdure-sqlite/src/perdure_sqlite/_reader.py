"""Reader: the connection that reads, in aiosqlite's thread; a reading function takes one hop.

aiosqlite takes statements to its thread, one a hop, and most reads are several. So the connection
that it is handed here is of a class of ours that knows one statement more, which calls a function
with the connection. SQLite has none of that name.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar, final

import aiosqlite
import anyio

from perdure.errors import WorldClosedError

from ._place import Place

__all__ = ("Reader", "ReadingConnection")

T = TypeVar("T")
_CALL = "CALL ?"
_CHUNK = 64  # rows a hop of aiosqlite's own cursors, of which there are none


@final
class ReadingConnection(sqlite3.Connection):
    """A connection that can also be asked to call a function with itself."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement; of ``CALL ?`` the only row is the function's result."""
        if sql != _CALL:
            return super().execute(sql, parameters)
        (function,) = parameters
        return _Answer(self, function(self))


@final
class _Answer(sqlite3.Cursor):
    """The row of a call."""

    def __init__(self, connection: sqlite3.Connection, answer: object) -> None:
        super().__init__(connection)
        self._answer = answer

    def fetchall(self) -> list[Any]:
        return [self._answer]


@final
class Reader:
    """Reading functions, one after another, in a thread that ends with the process."""

    def __init__(self, connection: aiosqlite.Connection, place: Place) -> None:
        self._connection = connection
        self._place = place
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Reader {self._place.url}>"

    @classmethod
    async def begin(cls, db: ReadingConnection, place: Place) -> Reader:
        """Take the connection over, whose thread begins now."""
        connection = _in_daemon(lambda: aiosqlite.Connection(lambda: db, _CHUNK))
        with anyio.CancelScope(shield=True):
            await connection
        return cls(connection, place)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that only reads.

        Raises:
            WorldClosedError: the reader is closed.
            WorldError: SQLite refused.
        """
        if self._is_closed:
            raise WorldClosedError(self._place.url)
        with self._place.mapped_errors():
            (answer,) = await self._connection.execute_fetchall(_CALL, (work,))
        return answer  # type: ignore[return-value]  # typed as a row

    async def aclose(self) -> None:
        """Answer the calls so far, and close the connection. Idempotent."""
        self._is_closed = True
        with anyio.CancelScope(shield=True):
            await self._connection.close()


def _in_daemon(make: Callable[[], T]) -> T:
    """The result of *make* in a thread that is a daemon, as are all that it begins."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(make()), daemon=True)
    thread.start()
    thread.join()
    return results[0]
