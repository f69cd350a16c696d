"""Finding a world by its URL, through the entry-point group ``perdure.worlds``.

An entry point's name is the URL scheme; its object is called with the URL and returns a ``World``
that is not open yet. Keyword options are handed through (a clock for tests, say).
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, cast, final

import anyio.to_thread

from ._opened import Block, note_url, running_loop
from .abc import World
from .display import shown_url
from .errors import UsageError, WorldNotFoundError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ("DEFAULT_URL", "default_url", "make_world", "open_world")

DEFAULT_URL = "sqlite:///.perdure/perdure.db"
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*")

_entry_points: dict[str, EntryPoint] = {}  # by scheme; to look through all packages takes 3 ms
_openers: dict[str, Callable[..., World]] = {}  # of those that are imported


def default_url() -> str:
    """``PERDURE_WORLD`` if it is set, else an SQLite file under the current folder."""
    return os.environ.get("PERDURE_WORLD") or DEFAULT_URL


def make_world(url: str | None = None, **options: object) -> World:
    """The world for *url*, not opened.

    Args:
        url: default: ``default_url()``.
        options: for the world's own constructor, such as ``clock=`` in tests.

    Raises:
        WorldNotFoundError: no installed package serves the scheme; names those that are.
        UsageError: *url* is no text, or has no scheme.
    """
    where, scheme = _checked(url)
    world = _opener(scheme)(where, **options)
    note_url(world, where)
    return world


def _checked(url: str | None) -> tuple[str, str]:
    """The URL that is meant, and its scheme."""
    if url is not None and not isinstance(cast(object, url), str):
        raise UsageError(
            f"a world's URL is a text, not a value of type {type(url).__name__}; write for example"
            f" {DEFAULT_URL}"
        )
    where = default_url() if url is None else url
    scheme, mark, _ = where.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        text = shown_url(where)
        raise UsageError(f"{text!r} is not a world's URL; write for example {DEFAULT_URL}")
    return where, scheme


def _opener(scheme: str) -> Callable[..., World]:
    """The constructor of a scheme's worlds; its package is imported, once."""
    if scheme in _openers:
        return _openers[scheme]
    is_listed = scheme in _entry_points
    opener = (None if is_listed else _named_opener(scheme)) or _installed_opener(scheme)
    _openers[scheme] = opener
    return opener


def _installed_opener(scheme: str) -> Callable[..., World]:
    if scheme not in _entry_points:
        from importlib.metadata import entry_points  # a tenth of this package's import time

        _entry_points.update({point.name: point for point in entry_points(group="perdure.worlds")})
    if scheme not in _entry_points:
        raise WorldNotFoundError(scheme, installed=tuple(_entry_points))
    opener: Callable[..., World] = _entry_points[scheme].load()
    return opener


def _named_opener(scheme: str) -> Callable[..., World] | None:
    """The one that ``_installed_opener`` returns, without the 6 ms of importing what reads mail.

    None: no file of a package's names it, several do, or differently than build tools write it.
    """
    line = re.compile(rf"^{re.escape(scheme)} *= *([\w.]+):(\w+)$", re.MULTILINE)
    references = {names for text in _entry_point_texts() for names in line.findall(text)}
    if len(references) != 1:
        return None
    module, name = references.pop()
    opener: Callable[..., World] = getattr(importlib.import_module(module), name)
    return opener


def _entry_point_texts() -> Iterator[str]:
    """The part on worlds of each installed package that has one."""
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # or a zip file
        for name in names:
            if not name.endswith(".dist-info"):
                continue
            try:
                with open(os.path.join(folder, name, "entry_points.txt"), "rb", 0) as file:
                    text = b"\n" + file.read()
            except OSError:
                continue
            _, mark, part = text.partition(b"\n[perdure.worlds]\n")
            if mark:
                yield part.partition(b"\n[")[0].decode("ascii", "replace")


async def make_world_aside(url: str | None = None, **options: object) -> World:
    """``make_world``, without the event loop waiting for an import of 10 to 50 ms."""
    _, scheme = _checked(url)
    if scheme not in _openers:
        await anyio.to_thread.run_sync(_opener, scheme)
    return make_world(url, **options)


def open_world(url: str | None = None, **options: object) -> AbstractAsyncContextManager[World]:
    """The world at *url* (default: ``default_url()``), open within the block.

    Calls within the block that take a world use this one by default. So do calls elsewhere in the
    same event loop, such as a web framework's handlers, if it is the only one that is open there.

    The block may be entered in one task and left in another, as fixtures and hooks are, but in one
    event loop. One call opens one world, once.

    Args:
        options: for the world's own constructor, such as ``clock=`` in tests.

    Raises:
        UsageError: on entering: the URL is none, it was entered before, or no asyncio event loop
            runs here.
        WorldNotFoundError: on entering: no installed package serves the scheme.
    """
    return _Opening(url, options)


@final
class _Opening(AbstractAsyncContextManager[World]):
    """One opening of one world."""

    def __init__(self, url: str | None, options: Mapping[str, object]) -> None:
        self._url = url
        self._options = options
        self._is_entered = False
        self._world: World | None = None
        self._block: Block | None = None

    def __repr__(self) -> str:
        return f"<open_world({shown_url(self._url or default_url())!r})>"

    async def __aenter__(self) -> World:
        running_loop()
        if self._is_entered:
            raise UsageError(
                f"{self!r} was entered before, and opens one world once; call open_world() for "
                f"each block"
            )
        self._is_entered = True
        try:
            world = self._world = await make_world_aside(self._url, **self._options)
        except BaseException:
            self._is_entered = False  # there is none
            raise
        await world.__aenter__()
        self._block = Block(world)
        return world

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._world is not None
        try:
            await self._world.__aexit__(exc_type, exc, traceback)
        finally:
            if self._block is not None:
                self._block.leave()
