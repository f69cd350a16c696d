"""Finding a world by its URL, through the entry-point group ``perdure.worlds``.

An entry point's name is the URL scheme; its object is called with the URL and gives a ``World``
that is not open yet. Keyword options are handed through (a clock for tests, say).
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, cast

from ._opened import note_url
from .abc import World
from .display import shown_url
from .errors import UsageError, WorldNotFoundError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ("DEFAULT_URL", "default_url", "entered_world", "make_world", "open_world")

DEFAULT_URL = "sqlite:///.perdure/perdure.db"
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*")

# What calls without ``world=`` use, such as ``start``: that of the innermost block around them.
entered_world: ContextVar[World] = ContextVar("perdure_world")
_found: dict[str, EntryPoint] = {}  # by scheme: looking through what is installed takes 3 ms


def default_url() -> str:
    """``PERDURE_WORLD`` if it is set, else an SQLite file under the current folder."""
    return os.environ.get("PERDURE_WORLD") or DEFAULT_URL


def make_world(url: str | None = None, **options: object) -> World:
    """The world for *url*, not opened.

    Raises:
        WorldNotFoundError: no installed package serves the scheme; names those that are.
        UsageError: *url* is no text, or has no scheme.
    """
    if url is not None and not isinstance(cast(object, url), str):
        raise UsageError(
            f"a world's URL is a text, not a value of type {type(url).__name__}; write for example"
            f" {DEFAULT_URL}"
        )
    where = default_url() if url is None else url
    scheme, mark, _ = where.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        shown = shown_url(where)
        raise UsageError(f"{shown!r} is not a world's URL; write for example {DEFAULT_URL}")
    if scheme not in _found:
        from importlib.metadata import entry_points  # a tenth of this package's import time

        _found.update({point.name: point for point in entry_points(group="perdure.worlds")})
    if scheme not in _found:
        raise WorldNotFoundError(scheme, installed=tuple(_found))
    world = cast(World, _found[scheme].load()(where, **options))
    note_url(world, where)
    return world


@asynccontextmanager
async def open_world(url: str | None = None, **options: object) -> AsyncGenerator[World, None]:
    """The world at *url* (default: ``default_url()``), open within the block.

    Calls within the block that take a world use this one by default. So do calls elsewhere in the
    same event loop, such as a web framework's handlers, if it is the only one that is open there.
    """
    async with make_world(url, **options) as world:
        entered = entered_world.set(world)
        try:
            yield world
        finally:
            with suppress(ValueError):  # left in another context than it was entered in
                entered_world.reset(entered)
