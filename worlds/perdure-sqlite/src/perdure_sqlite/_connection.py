"""Connection: a connection to the database's file, with all that is set for it.

Blocks, and belongs in a thread. Python's ``sqlite3`` is used as it is: one thread at a time has a
connection, and any thread may.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TypeVar

from perdure.worldkit.files import has_full_sync

from ._waits import DEFAULT

__all__ = ("PAGE_BYTES", "WAL_BYTES", "connect")

C = TypeVar("C", bound=sqlite3.Connection)
PAGE_BYTES = 2048  # a step changes four pages a little: less to write and to sync than 4096
WAL_BYTES = 4 << 20  # the write-ahead log's size, at which it is written back
_CACHED_STATEMENTS = 256
_SYNC = ("fullfsync = ON",) if has_full_sync() else ()


def connect(path: Path, *, synchronous: str, kind: type[C], busy_ms: int = DEFAULT.busy_ms) -> C:
    """Open the file, for any thread.

    Args:
        synchronous: ``full`` or ``normal``: whether a commit outlasts a power cut.
        kind: the class of the connection.
        busy_ms: how long SQLite waits for a lock.

    Raises:
        sqlite3.Error: that cannot be done, or cannot be done just now.
    """
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        cached_statements=_CACHED_STATEMENTS,
        check_same_thread=False,
        factory=kind,
    )
    try:
        for pragma in (
            f"busy_timeout = {busy_ms}",
            f"page_size = {PAGE_BYTES}",  # of a file that is made now
            "journal_mode = WAL",
            *_SYNC,
            f"synchronous = {synchronous}",
            f"wal_autocheckpoint = {WAL_BYTES // PAGE_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection
