"""World: one MongoDB database, opened."""

from __future__ import annotations

from typing import final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

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
from perdure.errors import UsageError
from perdure.testing.clock import Clock, SystemClock

from ._blobs import MongoBlobs
from ._catalogue import MongoCatalogue
from ._driver import DRIVERS, mapped_errors
from ._handle import Handle
from ._queue import MongoQueue
from ._snapshots import MongoSnapshots
from ._storage import MongoStorage
from ._streams import MongoStreams
from ._transfer import MongoTransfer
from ._turn import Lander

__all__ = ("MongoWorld",)


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
        shown, uri, name, driver = _parse(url)
        with mapped_errors(shown):
            self._handle = Handle(shown, uri, name, driver=driver, clock=clock or SystemClock())
        lander = Lander(self._handle)
        storage, streams = MongoStorage(self._handle, lander), MongoStreams(self._handle)
        self.storage: Storage = storage
        self.catalogue: Catalogue = MongoCatalogue(self._handle)
        self.queue: Queue = MongoQueue(self._handle, lander)
        self.snapshots: Snapshots = MongoSnapshots(self._handle, lander)
        self.streams: Streams = streams
        self.blobs: Blobs = MongoBlobs(self._handle)
        self.transfer: Transfer = MongoTransfer(self._handle, lander, storage, streams)

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

    def __repr__(self) -> str:
        return f"MongoWorld({self.url!r})"


def _parse(url: str) -> tuple[str, str, str, str]:
    """What may be shown, what the driver is given, the database's name, and which driver."""
    parts = urlsplit(url)
    name = unquote(parts.path[1:])
    if parts.scheme != "mongodb" or not parts.netloc or not name or "/" in name:
        raise UsageError(
            f"{parts._replace(netloc=_hosts(parts.netloc)).geturl()!r} names no database; write"
            " mongodb://host:27017/database?replicaSet=rs0"
        )
    options = parse_qsl(parts.query, keep_blank_values=True)
    driver = dict(options).get("driver", "motor")
    if driver not in DRIVERS:
        raise UsageError(f"?driver={driver}: the drivers are {' and '.join(DRIVERS)}")
    handed_on = urlencode([(key, value) for key, value in options if key != "driver"])
    uri = parts._replace(query=handed_on).geturl()
    shown = f"mongodb://{_hosts(parts.netloc)}/{name}"
    return shown, uri, name, driver


def _hosts(netloc: str) -> str:
    return netloc.rpartition("@")[2]
