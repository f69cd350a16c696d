"""Sources: the files that a workflow may be made of, those of its root and of its kind.

A workflow's file may come from somebody who is not trusted, and an error shows a line of its text.
So nothing is read that lies outside the root, also through a link, that is no source by its name,
no plain file, too large or no text; and of a refused file no word is told.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath, PureWindowsPath
from typing import TypeVar, final

from .._compiler import SOURCE_SUFFIXES, Refusal
from .._names import is_windows_name

__all__ = ("MAX_SOURCE_BYTES", "Sources", "file_of", "find_root", "raised")

P = TypeVar("P", bound=PurePath)

MAX_SOURCE_BYTES = 4 << 20
ROOT_MARKS = ("package.json", "tsconfig.json", "pyproject.toml", ".git")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# A pipe must not be waited for, a terminal not become ours, a link that has just come not followed.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0)
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
)


def find_root(folder: Path) -> Path:
    """The nearest folder upwards that marks a project, else *folder* itself."""
    for candidate in (folder, *folder.parents):
        if any(os.path.lexists(candidate / mark) for mark in ROOT_MARKS):
            return candidate
    return folder


def file_of(folder: P, module: str) -> P | None:
    """The file of a module; None where there can be none of that very name.

    A module's id has slashes and no drive, wherever it was compiled. Of one with a backslash, a
    colon or a device's name Windows would read some other file.
    """
    names = module.split("/")
    if isinstance(folder, PureWindowsPath) and not all(map(is_windows_name, names)):
        return None
    return folder.joinpath(*names)


def raised(folder: P, module: str, levels: int) -> tuple[P, str]:
    """The folder so many *levels* above, and the id of the same module from there."""
    return folder.parents[levels - 1], "/".join((*folder.parts[-levels:], module))


@final
class Sources:
    """Reads the sources below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stamps: dict[Path, tuple[int, int]] = {}  # of the files that were read

    def __repr__(self) -> str:
        return f"<Sources below {self.root}>"

    @property
    def are_fresh(self) -> bool:
        """Whether no file has changed since it was read."""
        return all(_stamp(path) == stamp for path, stamp in self._stamps.items())

    def read(self, path: Path) -> str | Refusal | None:
        """A file's text; None if there is no such file, a refusal if it must not be read."""
        try:
            real = Path(os.path.realpath(path))
            if not real.is_relative_to(os.path.realpath(self.root)):
                return self.outside()
            info = real.lstat()
        except (OSError, ValueError):  # not there, a name too long, a NUL in it
            return None
        refusal = _refusal(real, info)
        if refusal is not None:
            return refusal
        text = _read_plain(real, info)
        if isinstance(text, str):
            self._stamps[path] = info.st_mtime_ns, info.st_size
        return text

    def outside(self) -> Refusal:
        """The refusal of all that lies outside, be it there or not."""
        return Refusal(
            reason="it leads out of the workflow's root",
            hint=f"the root is {self.root}; root= (--root) chooses another",
        )


def _refusal(path: Path, info: os.stat_result) -> Refusal | None:
    kind = _KINDS.get(stat.S_IFMT(info.st_mode))
    if kind is not None:
        return Refusal(reason=f"it is {kind}", hint="a workflow is made of plain files")
    if path.suffix not in SOURCE_SUFFIXES:
        named = ", ".join(SOURCE_SUFFIXES)
        return Refusal(reason="it is no source file", hint=f"those end with {named}")
    if info.st_size > MAX_SOURCE_BYTES:
        return _too_large()
    return None


def _read_plain(path: Path, info: os.stat_result) -> str | Refusal | None:
    try:
        descriptor = os.open(path, _FLAGS)
        with open(descriptor, "rb") as file:
            opened = os.fstat(descriptor)
            if (opened.st_dev, opened.st_ino) != (info.st_dev, info.st_ino):
                return Refusal(reason="it was replaced while it was read", hint="try again")
            data = file.read(MAX_SOURCE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        return Refusal(reason=f"it cannot be read: {exc.strerror}")
    if len(data) > MAX_SOURCE_BYTES:
        return _too_large()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Refusal(reason="it is not UTF-8 text", hint="save it as UTF-8")


def _too_large() -> Refusal:
    return Refusal(reason=f"it is larger than {MAX_SOURCE_BYTES >> 20} MiB")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_size
