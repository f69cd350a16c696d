"""The world that calls without ``world=`` use: the innermost open one of this context."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from weakref import WeakKeyDictionary

from ..abc import World
from ..worlds import default_url, make_world

__all__ = ("current_world", "entered_world")

entered_world: ContextVar[World] = ContextVar("perdure_world")

# A service that never opens a world gets the default one, opened once per loop and URL and
# closed with the process: SQLite needs no farewell.
_defaults: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, World]] = WeakKeyDictionary()


async def current_world() -> World:
    """The world of the enclosing block, else the process's default one, opened when first used."""
    try:
        return entered_world.get()
    except LookupError:
        pass
    worlds = _defaults.setdefault(asyncio.get_running_loop(), {})
    url = default_url()
    if url not in worlds:
        world = make_world(url)
        await world.open()
        worlds[url] = world
    return worlds[url]
