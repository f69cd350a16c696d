"""The world that calls without ``world=`` use: the innermost open one of this context."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from .._model.runs import NewRun
from ..abc import World
from ..worlds import default_url, entered_world, make_world

__all__ = ("beginners", "current_world", "entered_world")

# How a worker of this process creates a run with its first turn, by the world it is on.
beginners: WeakKeyDictionary[World, Callable[[NewRun], Awaitable[bool]]] = WeakKeyDictionary()

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
