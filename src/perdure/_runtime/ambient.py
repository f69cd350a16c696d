"""The world that calls without ``world=`` use; never another than the one that is meant.

That of the block around the call; else the one world that is open in this event loop; else, where
nothing is open, the default one. Where several are open, or where the default is another database
than one that is open, a call has to say which.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Protocol
from weakref import WeakKeyDictionary

from .._model.ids import RunId
from .._model.runs import NewRun
from .._opened import (
    Block,
    check_here,
    note_open,
    opened_elsewhere,
    opened_here,
    running_loop,
    url_of,
)
from .._value_class import record_class
from ..abc import Capability, World
from ..display import HIDDEN, shown_url
from ..errors import UsageError
from ..worlds import default_url, make_world_aside
from .arguments import checked_world
from .listener import Listener, Patience

__all__ = ("LocalWorker", "current_world", "meant_world", "workers")


_log = logging.getLogger("perdure")


class LocalWorker(Protocol):
    """A worker, as calls beside it in its process may ask it."""

    async def begin(self, new: NewRun) -> bool:
        """Create a run with its first turn; False: it was not, and nothing was lost."""
        ...

    @property
    def patience(self) -> Patience:
        """That of its event loop's listeners."""
        ...

    def watch(self, run_id: RunId, listener: Listener) -> bool:
        """Tell *listener* how the run ends, until ``unwatch``; whether it is carried there."""
        ...

    def unwatch(self, run_id: RunId, listener: Listener) -> None:
        """Tell it nothing more. Idempotent."""
        ...

    def expect_events(self, run_id: RunId) -> None:
        """A call here has written to the run's log."""
        ...


workers: WeakKeyDictionary[World, LocalWorker] = WeakKeyDictionary()


@record_class
class _Default:
    """The default world of one event loop, once it was used; closed with the process."""

    world: World | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)


# A service that never opens a world gets the default one: SQLite needs no farewell.
_defaults: WeakKeyDictionary[asyncio.AbstractEventLoop, _Default] = WeakKeyDictionary()


async def meant_world(world: World | None) -> World:
    """The world that a call with ``world=`` names, or means without it.

    Raises:
        UsageError: no event loop runs here, *world* is open in others only, or there is none and
            it cannot be told which one is meant.
    """
    if world is None:
        return await current_world()
    check_here(checked_world("world", world))
    return world


async def current_world() -> World:
    """The world that a call without ``world=`` means.

    Raises:
        UsageError: several are open in this event loop and the call is in no block of theirs, or
            the default world is another than one that this process has open.
    """
    loop = running_loop()
    world = Block.world_here()
    if world is not None:
        check_here(world)
        return world
    default = _defaults.setdefault(loop, _Default())
    here = opened_here()
    if any(world is not default.world for world in here):
        return _only(here)
    async with default.opening:
        return await _open_default(default)


def _only(worlds: Sequence[World]) -> World:
    """The one store that is open, by the handle that has a worker, else by the last one."""
    if len(_distinct(worlds)) > 1:
        raise UsageError(
            f"several worlds are open here, and this call is in the block of none: "
            f"{_named(worlds)}. Say which one is meant: world=…"
        )
    return next((world for world in worlds if world in workers), worlds[-1])


async def _open_default(default: _Default) -> World:
    url = default_url()
    if default.world is not None and url_of(default.world) == url:
        return default.world
    world = await make_world_aside(url)
    used = [] if default.world is None else [default.world]
    others = [other for other in (*used, *opened_elsewhere()) if not _is_same(other, world)]
    if others:
        where = "was used by calls before" if used else "is open in another event loop"
        raise UsageError(
            f"the default world is {shown_url(url)}, but {_named(others)} {where}: they would be "
            f"two databases. Give the world that is meant as world=…, opened in this event loop, "
            f"or call from the loop that has it open (anyio.from_thread.run), or set PERDURE_WORLD"
        )
    if default.world is None:
        await world.open()
        _log.info("no world is open here, so the default one is used: %s", shown_url(world.url))
        note_open(world)
        default.world = world
    return default.world


def _distinct(worlds: Iterable[World]) -> list[World]:
    """One handle of each store."""
    handles: list[World] = []
    for world in worlds:
        if not any(_is_same(world, other) for other in handles):
            handles.append(world)
    return handles


def _is_same(one: World, other: World) -> bool:
    """Whether both are known to be handles of one store."""
    if one is other:
        return True
    if Capability.SHARED not in one.capabilities & other.capabilities:
        return False  # each handle is a store of its own
    if url_of(one) is not None and url_of(one) == url_of(other):
        return True
    return one.url == other.url and HIDDEN not in one.url


def _named(worlds: Iterable[World]) -> str:
    return ", ".join(shown_url(world.url) for world in _distinct(worlds))
