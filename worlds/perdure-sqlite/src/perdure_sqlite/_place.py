"""Place: the database's file: made for its owner alone, watched, and its errors made ours.

SQLite makes ``-wal`` and ``-shm`` with the mode of the file. A process that has the file open does
not see that it was deleted or replaced, and would write on into nothing; so its
number in the file system is compared where a run is created, and every now and then. Nothing here
keeps a file open: closing it would let go of SQLite's own locks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Generator
from dataclasses import field
from pathlib import Path
from typing import TypeAlias

from perdure.errors import WorldContractError, WorldError, WorldUnavailableError
from perdure.worldkit.files import make_folder
from perdure.worldkit.values import value_class

from ._inode import Inode, inode_of
from ._locks import holder_of

__all__ = ("Identity", "Place", "change_since", "is_locked", "loss_since")

Identity: TypeAlias = "dict[str, Inode]"  # by file name
_BESIDE = ("-wal", "-shm")
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_READ_ONLY = (
    "is not to be written to: its file system is mounted read-only, or this user may not write to"
    " the file or its folder; change that, or choose another path"
)
_FULL = "has no room left on its disk; nothing of this call was written. Make room: it goes on then"
_NO_FILE = (
    "cannot be opened: it has to be a file, or room for one, in a folder that this user may write"
    " to; choose another path"
)
_CODES = {
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CANTOPEN: _NO_FILE,
    sqlite3.SQLITE_IOERR: "could not be read or written: the disk refused",
}
_NUMBERS = {
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EEXIST: _NO_FILE,
    errno.ENOTDIR: _NO_FILE,
    errno.EISDIR: _NO_FILE,
    errno.ENOENT: _NO_FILE,
}


@value_class(kw_only=False)
class Place:
    """Where a world's file is."""

    url: str
    path: Path = field(repr=False)  # absolute: a process may change its folder
    _name: Path | None = field(default=None, repr=False)

    @property
    def name(self) -> Path:
        """The path as it was given, which may come to name another file."""
        return self._name or self.path

    def resolved(self) -> Place:
        """The same without symbolic links: SQLite puts its own files beside the real one."""
        return Place(self.url, Path(os.path.realpath(self.path)), self.name)

    def prepare(self) -> None:
        """Make the file and its folders where they are missing, for this user alone.

        Raises:
            OSError: that cannot be done, or the file is not to be written to.
        """
        make_folder(self.path.parent)
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except (FileExistsError, PermissionError) as exc:  # the latter of a folder, on Windows
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder is in its place") from None
            if isinstance(exc, PermissionError):
                raise
            if not os.access(self.path, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, "no permission to write") from None

    def modes(self) -> tuple[int, int]:
        """The modes of a file and of a folder beside the database: its users may use them, too."""
        mode = stat.S_IMODE(self.path.stat().st_mode) & 0o666
        return mode, mode | (mode & 0o444) >> 2

    def identity(self) -> Identity:
        """Which files these are, those with the data first."""
        names = (str(self.name), *[f"{self.path}{part}" for part in _BESIDE])
        stats = {name: os.stat(name) for name in names}
        return {name: (now.st_dev, now.st_ino) for name, now in stats.items()}

    @contextlib.contextmanager
    def mapped_errors(self) -> Generator[None, None, None]:
        """Turn SQLite's and the system's errors into the world's."""
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as exc:
            raise self.error_of(exc) from exc

    def error_of(self, exc: sqlite3.DatabaseError | OSError) -> WorldError:
        """The world's error for one of SQLite's, or of the system's."""
        if isinstance(exc, OSError):
            advice = _NUMBERS.get(exc.errno or 0, "could not be used")
            reason = exc.strerror or str(exc)
            return WorldUnavailableError(f"world {self.url}: {self.path} {advice} ({reason})")
        if not isinstance(exc, sqlite3.OperationalError):
            return WorldContractError(f"world {self.url}: {exc}")
        if is_locked(exc):
            return WorldUnavailableError(f"world {self.url}: {self._held()} ({exc})")
        advice = _CODES.get(_code(exc), "could not be used")
        return WorldUnavailableError(f"world {self.url}: {self.path} {advice} ({exc})")

    def _held(self) -> str:
        holder = holder_of(self.path)
        who = "another process" if holder is None else str(holder)
        remedy = "" if holder is None else f": {holder.remedy}"
        return (
            f"{who} has held the write lock of {self.path} for too long; all who write wait for"
            f" it{remedy}"
        )


def change_since(identity: Identity) -> str | None:
    """The fate of the files, if they are not those of then any more."""
    for name, number in identity.items():
        try:
            now = os.stat(name)
        except OSError as exc:
            return f"{name}: {exc.strerror or exc}"
        if (now.st_dev, now.st_ino) != number:
            return f"{name}: another file is in its place"
    return None


def loss_since(identity: Identity) -> str | None:
    """The same in a few microseconds, for each commit that is a promise.

    Nothing of the index, which is made again from the log.
    """
    main, log, _ = identity
    try:
        if inode_of(log) == identity[log] and inode_of(main) == identity[main]:
            return None
    except OSError:
        pass  # the slow way says what became of it
    return change_since(identity)


def is_locked(exc: BaseException | None) -> bool:
    """Whether SQLite says, or the world's error for it, that somebody else has the lock."""
    if isinstance(exc, WorldUnavailableError):
        exc = exc.__cause__
    return isinstance(exc, sqlite3.OperationalError) and _code(exc) in _LOCKED


def _code(exc: sqlite3.DatabaseError) -> int:
    return getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
