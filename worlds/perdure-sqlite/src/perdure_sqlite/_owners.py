"""Owners: whose process is dead, told by the operating system.

Each open world holds a lock on a file of its own beside the database. The lock goes with the
process, however that ends; a world that then can lock the file frees the claims under its name.
Every lease token begins with its owner's name.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import final

from perdure.worldkit.files import set_mode, try_lock

from ._messages import spill
from ._place import Place
from ._schema import KNOWN
from ._writer import Transaction

__all__ = ("Owner",)

_NAMES = 100  # a name is lost if somebody looks at its file in the microseconds before it is locked


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
        """Lock a file under our name, and have that name until ``resign``."""
        file_mode, folder_mode = self._place.modes()
        with contextlib.suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
            self._folder.chmod(folder_mode)
        for _ in range(_NAMES):
            self._fd = _locked_file(self._folder / self.name, file_mode)
            if self._fd is not None:
                return
            self.name = secrets.token_hex(6)
        raise OSError(errno.EBUSY, f"no file stays in {self._folder}")

    def resign(self) -> None:
        """Release the lock; others free the claims that we still hold. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def new_token(self) -> str:
        """A token for a claim of ours."""
        return f"{self.name}-{next(self._claims)}"

    def free_dead(self, transaction: Transaction) -> list[Path]:
        """Let the claims of dead owners run out now. Returns files to ``bury`` once it landed."""
        files: list[Path] = []
        for path in self._candidates():
            with _looked_at(path) as is_dead:
                if is_dead:
                    _free(transaction, path.name)
                    files.append(path)
        return files

    def bury(self, dead: list[Path]) -> None:
        """Forget owners whose claims are free."""
        for path in dead:
            with contextlib.suppress(OSError):  # gone, or another's to forget
                _remove(path)

    def has_dead(self) -> bool:
        """Whether ``free_dead`` would find somebody; reads files only."""
        for path in self._candidates():
            with _looked_at(path) as is_dead:
                if is_dead:
                    return True
        return False

    def _candidates(self) -> list[Path]:
        try:
            names = os.listdir(self._folder)
        except OSError:  # gone, or not ours to read: its leases run out by themselves
            return []
        return [self._folder / n for n in names if n != self.name and not n.startswith(".")]


def _locked_file(path: Path, mode: int) -> int | None:
    """A new file that is ours, locked; None: others looked at it in between, and took it for dead.

    Windows renames no file that is open, so it cannot be locked first and get its name then.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        set_mode(descriptor, mode)
        if try_lock(descriptor) and os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except FileNotFoundError:  # they have removed it already
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextlib.contextmanager
def _looked_at(path: Path) -> Generator[bool, None, None]:
    """Whether this owner is dead; nobody else finds that out within the block."""
    try:
        file = open(path, "rb")  # noqa: SIM115  # closed below
    except OSError:  # gone: somebody was faster
        yield False
        return
    with file:
        yield _is_free(file.fileno())


def _is_free(descriptor: int) -> bool:
    try:
        return try_lock(descriptor)
    except OSError:  # not to be locked here
        return False


def _remove(path: Path) -> None:
    """Remove a dead owner's file; it may have become that of one who was just about to lock it."""
    with open(path, "rb") as file:
        if not try_lock(file.fileno()):
            return
        with contextlib.suppress(PermissionError):  # Windows removes no file that is open
            path.unlink()
            return
    path.unlink()  # so neither would it this one if its owner had it open


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
        f" WHERE wake_claimable_ms > ? AND wake_token LIKE ? AND {KNOWN})",
        (now_ms, now_ms, prefix),
    ).rowcount
    if freed:
        transaction.rings |= {"wakes", "messages"}
