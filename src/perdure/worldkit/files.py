"""Files: for worlds on a file system: a lock, a file replaced whole, values as plain data.

Everything here blocks, and holds on Linux, macOS and Windows alike.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from .._names import is_windows_name
from .._platform import (
    has_full_sync,
    replace,
    set_mode,
    sync_file,
    sync_folder,
    try_lock,
    wait_lock,
)
from .._protocol.forms import dump_form, load_form

__all__ = (
    "dump_values",
    "file_lock",
    "has_full_sync",
    "is_windows_name",
    "load_values",
    "make_folder",
    "replace_file",
    "set_mode",
    "try_lock",
)

T = TypeVar("T")


def make_folder(path: Path) -> None:
    """Make the folder *path* and those above it where they are missing, for this user alone.

    Raises:
        OSError: that cannot be done, or a file is in its place.
    """
    for folder in (*reversed(path.parents), path):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file is in the place of a folder", str(path))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextlib.contextmanager
def file_lock(path: Path) -> Generator[None, None, None]:
    """Lock the file *path*, for one holder of all threads and processes; goes with its holder."""
    with open(path, "ab", opener=_private) as file:
        wait_lock(file.fileno())
        yield


def replace_file(path: Path, data: bytes, *, part: Path, sync: bool = True) -> None:
    """Let *path* hold all of *data*, or still its old content: write elsewhere, sync, rename.

    The file is this user's alone to read and write.

    Args:
        part: a new file on the same file system.
        sync: False gives up the last writes at a power cut, for tests.
    """
    with open(part, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        if sync:
            sync_file(file.fileno())
    replace(part, path)
    if sync:
        sync_folder(path.parent)


def dump_values(value: object) -> bytes:
    """A dataclass, *value*, and all in it as CBOR that holds no code and names no class.

    Its fields, and theirs, are declared as texts, bytes, numbers, truths, None, enumerations, other
    dataclasses, lists, tuples and mappings of these; a union has at most one that is no scalar.

    Raises:
        UsageError: a field holds something else than is declared, or is declared as something else.
    """
    return dump_form(value, type(value))


def load_values(data: bytes, kind: type[T]) -> T:
    """The value of the dataclass *kind* that ``dump_values`` wrote; *data* becomes nothing else.

    Raises:
        WorldContractError: *data* is damaged, or of a version with other fields.
    """
    return load_form(data, kind)
