"""The world that calls without ``world=`` use: the innermost open one of this context."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol
from weakref import WeakKeyDictionary

from .._model.ids import RunId
from .._model.runs import NewRun
from ..abc import World
from ..worlds import default_url, entered_world, make_world
from .listener import Listener

__all__ = ("LocalWorker", "current_world", "entered_world", "workers")


class LocalWorker(Protocol):
    """What the calls of a process may ask of a worker beside them."""

    async def begin(self, new: NewRun) -> bool:
        """Create a run with its first turn; False: it was not, and nothing was lost."""
        ...

    def watching(self, run_id: RunId, listener: Listener) -> AbstractContextManager[bool]:
        """Tell *listener* how the run ends, within the block; gives whether it is carried there."""
        ...


workers: WeakKeyDictionary[World, LocalWorker] = WeakKeyDictionary()

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
