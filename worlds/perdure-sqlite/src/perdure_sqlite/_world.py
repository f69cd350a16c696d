"""World: one SQLite file, opened."""

from __future__ import annotations

import re
from pathlib import Path, PurePath, PureWindowsPath
from typing import TypeVar, final

from perdure.abc import (
    Blobs,
    Capability,
    Catalogue,
    Queue,
    Snapshots,
    Storage,
    Streams,
    Transfer,
    World,
)
from perdure.display import shown_url
from perdure.errors import UsageError
from perdure.worldkit.clock import Clock, SystemClock
from perdure.worldkit.files import is_windows_name
from perdure.worldkit.pure import parse_url

from ._blobs import SqliteBlobs
from ._catalogue import SqliteCatalogue
from ._handle import Handle
from ._queue import SqliteQueue
from ._snapshots import SqliteSnapshots
from ._storage import SqliteStorage
from ._streams import SqliteStreams
from ._transfer import SqliteTransfer
from ._waits import DEFAULT, Waits
from ._writer import Transaction

__all__ = ("SqliteWorld",)

P = TypeVar("P", bound=PurePath)
_DRIVE = re.compile(r"(?:\\\\\?\\)?[A-Za-z]:")  # with or without the mark of long paths
_SYNCHRONOUS = ("full", "normal")
_EXAMPLE = "sqlite:///relative/path.db or sqlite:////absolute/path.db"
_WINDOWS_EXAMPLE = "sqlite:///relative/path.db or sqlite:///C:/absolute/path.db"


@final
class SqliteWorld(World):
    """A world in one SQLite file, for any number of processes on one machine."""

    def __init__(self, url: str, *, clock: Clock | None = None, waits: Waits = DEFAULT) -> None:
        """Name the world; nothing is touched before ``open``.

        Args:
            url: ``sqlite:///relative/path`` or ``sqlite:////absolute/path``, on Windows
                ``sqlite:///C:/absolute/path``;
                ``?synchronous=normal`` gives up the last commits at a power cut for speed. In a
                name ``?`` is written ``%3F``, ``#`` is ``%23`` and ``%`` is ``%25``.
            waits: shorter ones, for tests.

        Raises:
            UsageError: the URL is not one of those.
        """
        path, synchronous = _parse(url)
        self._address = url  # as it may not be shown
        self._handle = Handle(
            shown_url(url), path, synchronous=synchronous, clock=clock or SystemClock(), waits=waits
        )
        self.storage: Storage = SqliteStorage(self._handle)
        self.catalogue: Catalogue = SqliteCatalogue(self._handle)
        self.queue: Queue = SqliteQueue(self._handle)
        self.snapshots: Snapshots = SqliteSnapshots(self._handle)
        self.streams: Streams = SqliteStreams(self._handle)
        self.blobs: Blobs = SqliteBlobs(self._handle)
        self.transfer: Transfer = SqliteTransfer(self._handle)

    @property
    def url(self) -> str:
        """Where this world is."""
        return self._handle.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything there is."""
        return frozenset(Capability)

    async def open(self) -> None:
        await self._handle.open()

    async def aclose(self) -> None:
        await self._handle.aclose()

    def now_ms(self) -> int:
        return self._handle.now_ms()

    async def settle(self) -> None:
        await self._handle.write(_nothing)

    def statistics(self) -> dict[str, int]:
        return dict(self._handle.counters)

    def twin(self) -> SqliteWorld:
        return SqliteWorld(self._address, clock=self._handle.clock)

    def __repr__(self) -> str:
        return f"SqliteWorld({self.url!r})"


def _nothing(transaction: Transaction) -> None:
    """Every earlier transaction has landed once this one has."""


def _parse(url: str) -> tuple[Path, str]:
    example = _WINDOWS_EXAMPLE if issubclass(Path, PureWindowsPath) else _EXAMPLE
    parts = parse_url(url, scheme="sqlite", options=("synchronous",), example=example)
    synchronous = dict(parts.options).get("synchronous", "full")
    if parts.authority or not parts.path or parts.path.endswith("/") or parts.path == ":memory:":
        raise UsageError(f"{shown_url(url)!r} names no file; write {example}")
    try:
        path = file_of(parts.path, Path)
    except ValueError as exc:
        raise UsageError(f"{shown_url(url)!r} {exc}; write {example}") from None
    if synchronous not in _SYNCHRONOUS:
        raise UsageError(f"{shown_url(url)!r}: write ?synchronous=full or ?synchronous=normal")
    return path, synchronous


def file_of(path: str, kind: type[P]) -> P:
    """The file that a URL's path names, on a system with this *kind* of paths.

    Raises:
        ValueError: a database cannot be there; says why.
    """
    file = kind(path)
    if not isinstance(file, PureWindowsPath):
        return file
    if path[0] in "/\\" and PureWindowsPath(path[1:]).drive.endswith(":"):
        file = kind(path[1:])  # /C:/folder, as file URLs have it
    if file.drive and not _DRIVE.fullmatch(file.drive):
        raise ValueError("is on a network share, where SQLite's write-ahead log does not work")
    if file.name in ("", "..") or path[-1] in "/\\":
        raise ValueError("names no file")
    wrong = [name for name in file.parts if name != file.anchor and not _is_fit(name)]
    if wrong:
        raise ValueError(f"has a name that means something else to Windows, {wrong[0]!r}")
    return file


def _is_fit(name: str) -> bool:
    return name == ".." or is_windows_name(name)
