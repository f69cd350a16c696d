"""Files: for worlds on a file system: a lock, a file replaced whole, values read without code.

Everything here blocks. ``fcntl`` is asked for at the first lock, so that the module can be read
where it is not there.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import pickle
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any, final

__all__ = ("file_lock", "load_values", "make_folder", "replace_file")


def make_folder(path: Path) -> None:
    """Make the folder and those above it where they are missing, for this user alone.

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
    """One holder at a time, of all threads and processes; the lock goes with its holder."""
    fcntl = importlib.import_module("fcntl")
    with open(path, "wb", opener=_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def replace_file(path: Path, data: bytes, *, part: Path, sync: bool = True) -> None:
    """Let *path* hold *data*, all of it or what it held before: write elsewhere, sync, rename.

    The file is this user's alone to read and write.

    Args:
        part: a new file on the same file system.
        sync: False gives up the last writes at a power cut, for tests.
    """
    with open(part, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    part.rename(path)
    if not sync:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name
    finally:
        os.close(folder)


def load_values(file: IO[bytes], *, module: str) -> Any:
    """What ``pickle`` wrote: values of the contracts, and classes of one module; never code.

    Raises:
        pickle.UnpicklingError: anything else is in it.
    """
    return _Values(file, module).load()


@final
class _Values(pickle.Unpickler):
    def __init__(self, file: IO[bytes], module: str) -> None:
        super().__init__(file)
        self._module = module

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        ours = module_name.startswith(("perdure._model.", "perdure._core.", self._module))
        if ours and "." not in global_name:
            return super().find_class(module_name, global_name)
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is not a value")
