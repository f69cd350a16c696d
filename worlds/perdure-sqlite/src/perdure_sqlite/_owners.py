"""Owners: whose process is dead, told by the operating system.

Each open world holds a lock on a file of its own beside the database. The lock goes with the
process, however that ends; whoever then can lock the file frees the claims made under its name.
Every lease token begins with its owner's name.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
from pathlib import Path
from typing import final

from ._messages import spill
from ._place import Place
from ._writer import Transaction

__all__ = ("Owner",)


@final
class Owner:
    """This world's name, its lock, and a look at the others'."""

    def __init__(self, place: Place) -> None:
        self.name = secrets.token_hex(6)
        self._place = place
        self._folder = place.path.with_name(place.path.name + "-owners")
        self._fd: int | None = None
        self._claims = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Owner {self.name}>"

    def register(self) -> None:
        """Lock a file under our name; it is never seen unlocked while we live."""
        file_mode, folder_mode = self._place.modes()
        with contextlib.suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
            self._folder.chmod(folder_mode)
        hidden = self._folder / f".{self.name}"
        self._fd = os.open(hidden, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.fchmod(self._fd, file_mode)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        hidden.rename(self._folder / self.name)

    def resign(self) -> None:
        """Give the lock up; others free what we still hold. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def new_token(self) -> str:
        """A token for a claim of ours."""
        return f"{self.name}-{next(self._claims)}"

    def free_dead(self, transaction: Transaction) -> list[Path]:
        """Let the claims of dead owners run out now; ``bury`` what this gives once it landed."""
        found: list[Path] = []
        for path in self._candidates():
            with (
                contextlib.suppress(OSError),
                open(path, "rb") as file,
            ):  # gone: somebody was faster
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _free(transaction, path.name)
                found.append(path)
        return found

    def bury(self, dead: list[Path]) -> None:
        """Forget owners whose claims are free."""
        for path in dead:
            with contextlib.suppress(OSError):  # gone, or another's to forget
                path.unlink()

    def has_dead(self) -> bool:
        """Whether ``free_dead`` would find somebody; reads files only."""
        for path in self._candidates():
            with contextlib.suppress(OSError), open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def _candidates(self) -> list[Path]:
        try:
            names = os.listdir(self._folder)
        except OSError:  # gone, or not ours to read: its leases run out by themselves
            return []
        return [self._folder / n for n in names if n != self.name and not n.startswith(".")]


# Only of runs that have a lease: whatever else waits is not looked through.
_OURS = "n IN (SELECT n FROM runs WHERE leased_ms IS NOT NULL) AND token LIKE ?"


def _free(transaction: Transaction, name: str) -> None:
    db, now_ms, prefix = transaction.db, transaction.now_ms, f"{name}-%"
    spill(db, "leased_ms IS NOT NULL AND inline_token LIKE ?", (prefix,))
    freed = db.execute(
        f"UPDATE messages SET expires_ms = ? WHERE {_OURS} AND expires_ms > ?",
        (now_ms, prefix, now_ms),
    ).rowcount
    db.execute(
        f"UPDATE runs SET leased_ms = ? WHERE n IN (SELECT n FROM messages WHERE {_OURS})",
        (now_ms, prefix),
    )
    freed += db.execute(
        "UPDATE runs SET wake_expires_ms = ? WHERE n IN (SELECT n FROM runs"
        " WHERE wake_claimable_ms > ? AND wake_token LIKE ?)",
        (now_ms, now_ms, prefix),
    ).rowcount
    if freed:
        transaction.rings |= {"wakes", "messages"}
