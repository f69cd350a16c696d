"""Connection: the parts that the worlds of one process on a database share.

A client, a change stream and the looks for remains of the dead: the first world that opens makes
them, the last that closes ends them. Worlds share only where all is alike: the event loop, the URL
with every option, the driver; a fork shares nothing with its parent. A write of one of them rings
for all of them at once and bears this connection's mark, by which the server leaves it out of the
change stream.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Callable
from typing import TypeAlias, final
from weakref import WeakValueDictionary

from pymongo.uri_parser import parse_uri

from perdure.worldkit.waiting import Bells

from ._driver import Driver
from ._reaper import Reaper, app_name
from ._watch import Watcher

__all__ = ("Connection",)

MakeDriver: TypeAlias = Callable[..., Driver]
Key: TypeAlias = tuple[int, int, MakeDriver, str]


@final
class Connection:
    """One client of a database, and the worlds that are open on it."""

    def __init__(self, key: Key, name: str) -> None:
        _, _, make, uri = key
        self.driver = make(uri, appname=app_name(name), **_defaults(uri))
        self.database = self.driver.database(name)
        self._worlds: set[Bells] = set()
        self._mark = secrets.token_hex(6)
        self._count = itertools.count()
        self.watcher = Watcher(self.driver, self.database, self._worlds, self._mark)
        self.reaper = Reaper(self.driver, name)
        self._key = key
        self._loop = asyncio.get_running_loop()  # while this is there, no other loop has its id

    @classmethod
    def join(cls, make: MakeDriver, uri: str, name: str, bells: Bells) -> Connection:
        """The connection of this process, made if there is none; each call owes one ``leave``.

        Args:
            bells: the world's, by which it is known here.

        Raises:
            PyMongoError: there can be none to this URL; nobody has been asked yet.
        """
        key = os.getpid(), id(asyncio.get_running_loop()), make, uri
        connection = _connections.get(key)
        if connection is None:
            connection = _connections[key] = cls(key, name)
        connection._worlds.add(bells)
        return connection

    def __repr__(self) -> str:
        return f"<Connection {self.database.name} of {len(self._worlds)} worlds>"

    async def leave(self, bells: Bells) -> None:
        """Do without that world; disconnect if it was the last."""
        self._worlds.remove(bells)
        if self._worlds:
            return
        del _connections[self._key]  # at once: a world that opens from now on makes another
        await asyncio.gather(self.watcher.aclose(), self.reaper.aclose())
        await self.driver.aclose()

    def ring(self, *names: str) -> None:
        """Wake the listeners of these in any of the worlds."""
        for bells in self._worlds:
            bells.ring(*names)

    def new_version(self) -> str:
        """A version no document has had; it shows whose write made it."""
        return f"{self._mark}/{next(self._count)}"


# Process-wide by its nature. Weak: a world that nobody closes keeps no event loop alive.
_connections: WeakValueDictionary[Key, Connection] = WeakValueDictionary()


def _defaults(uri: str) -> dict[str, object]:
    """Options the URL does not set: patience for an election, an end to waiting for the dead."""
    names = {name.lower() for name in parse_uri(uri)["options"]}
    wanted = {"serverSelectionTimeoutMS": 20_000, "socketTimeoutMS": 30_000}
    return {name: value for name, value in wanted.items() if name.lower() not in names}
