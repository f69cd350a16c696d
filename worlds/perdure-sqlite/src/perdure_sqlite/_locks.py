"""Locks: which process has SQLite's write lock, so far as the system tells.

Linux lists locks in ``/proc/locks``. Only for messages: nothing is decided by it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from perdure.worldkit.values import value_class

__all__ = ("Holder", "holder_of")

_LOCKS = Path("/proc/locks")
_WRITE_BYTE = 120  # of the -shm file: SQLite's WAL_WRITE_LOCK


@value_class(kw_only=False)
class Holder:
    """A process that has the lock."""

    pid: int
    is_stopped: bool

    def __str__(self) -> str:
        return f"process {self.pid}{', which is stopped,' if self.is_stopped else ''}"

    @property
    def remedy(self) -> str:
        """Advice for its operator."""
        if self.is_stopped:
            return f"let it go on (kill -CONT {self.pid}) or end it (kill -KILL {self.pid})"
        return f"if it hangs, end it (kill {self.pid})"


def holder_of(database: Path) -> Holder | None:
    """The holder of the database's write lock, if that can be told."""
    with contextlib.suppress(OSError, ValueError):
        whole, shared = os.stat(database).st_ino, 0
        with contextlib.suppress(FileNotFoundError):
            shared = os.stat(f"{database}-shm").st_ino
        for line in _LOCKS.read_text(encoding="ascii").splitlines():
            pid = _writer(line, shared=shared, whole=whole)
            if pid is not None and pid != os.getpid():
                return Holder(pid, _is_stopped(pid))
    return None


def _writer(line: str, *, shared: int, whole: int) -> int | None:
    """The process that a line of the list is about, if it has that lock."""
    fields = line.split()
    if len(fields) != 8 or fields[1] != "POSIX" or fields[3] != "WRITE":
        return None
    inode, first, last = int(fields[5].rpartition(":")[2]), int(fields[6]), fields[7]
    if inode == whole:
        return int(fields[4])
    end = first if last == "EOF" else int(last)
    return int(fields[4]) if inode == shared and first <= _WRITE_BYTE <= end else None


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        return after_name.split()[0] in ("T", "t")
    return False
