"""World: one MongoDB database, opened."""

from __future__ import annotations

import re
from typing import final
from urllib.parse import urlencode, urlsplit

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
from perdure.worldkit.pure import parse_url

from ._blobs import MongoBlobs
from ._catalogue import MongoCatalogue
from ._driver import DRIVERS
from ._handle import Handle
from ._lander import Lander
from ._outbox import Post
from ._queue import MongoQueue
from ._snapshots import MongoSnapshots
from ._storage import MongoStorage
from ._streams import MongoStreams
from ._transfer import MongoTransfer
from ._uri import check_uri

__all__ = ("MongoWorld",)

_EXAMPLE = "mongodb://host:27017/database?replicaSet=rs0"
_NAME = re.compile(r'[^/\\. "$*<>:|?\x00]{1,63}')  # MongoDB's rules, of all systems


@final
class MongoWorld(World):
    """A world in one database of a replica set or sharded cluster, for any number of machines."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        """Name the world; nothing is touched before ``open``.

        Args:
            url: ``mongodb://host:port/database?replicaSet=name``, with the driver's own options;
                ``&driver=pymongo`` uses PyMongo's asyncio client in place of Motor.

        Raises:
            UsageError: the URL is not one of those.
        """
        self._source = url  # with its secrets: not to be shown
        location, uri, name, driver = _parse(url)
        self._handle = Handle(location, uri, name, driver=driver, clock=clock or SystemClock())
        lander = Lander(self._handle)
        post = Post(self._handle, lander)
        storage, streams = MongoStorage(self._handle, lander, post), MongoStreams(self._handle)
        self.storage: Storage = storage
        self.catalogue: Catalogue = MongoCatalogue(self._handle, post)
        self.queue: Queue = MongoQueue(self._handle, lander, post)
        self.snapshots: Snapshots = MongoSnapshots(self._handle, lander)
        self.streams: Streams = streams
        self.blobs: Blobs = MongoBlobs(self._handle)
        self.transfer: Transfer = MongoTransfer(self._handle, lander, post, storage, streams)

    @property
    def url(self) -> str:
        """Where this world is, without user and password."""
        return self._handle.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Shared, durable, and a queue that is part of each commit."""
        return frozenset({Capability.SHARED, Capability.DURABLE, Capability.ATOMIC_QUEUE})

    async def open(self) -> None:
        await self._handle.open()

    async def aclose(self) -> None:
        await self._handle.aclose()

    def now_ms(self) -> int:
        return self._handle.now_ms()

    async def settle(self) -> None:
        await self._handle.settle()

    def statistics(self) -> dict[str, int]:
        return dict(self._handle.counters)

    def twin(self) -> MongoWorld:
        return MongoWorld(self._source, clock=self._handle.clock)

    def __repr__(self) -> str:
        return f"MongoWorld({self.url!r})"


def _parse(url: str) -> tuple[str, str, str, str]:
    """The URL to show, the driver's URI, the database's name, and which driver."""
    parts = parse_url(url, scheme="mongodb", options=None, example=_EXAMPLE)
    name, hosts = parts.path, parts.authority.rpartition("@")[2]
    if not hosts or not _NAME.fullmatch(name):
        raise UsageError(f"{shown_url(url)!r} names no database; write {_EXAMPLE}")
    driver = dict(parts.options).get("driver", "motor")
    if driver not in DRIVERS:
        raise UsageError(f"{shown_url(url)!r}: ?driver= is one of {' and '.join(DRIVERS)}")
    handed_on = [(key, value) for key, value in parts.options if key != "driver"]
    uri = urlsplit(url)._replace(query=urlencode(handed_on)).geturl()
    check_uri(uri, handed_on, text=shown_url(url))
    return f"mongodb://{hosts}/{name}", uri, name, driver
