"""World: one prefix of one bucket, opened."""

from __future__ import annotations

from typing import final
from urllib.parse import parse_qsl, urlsplit

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

from ._blobs import S3Blobs
from ._catalogue import S3Catalogue
from ._client import Place
from ._handle import Handle
from ._queue import S3Queue
from ._snapshots import S3Snapshots
from ._storage import S3Storage
from ._streams import S3Streams
from ._transfer import S3Transfer

__all__ = ("S3World",)


@final
class S3World(World):
    """A world in an S3 bucket, for any number of processes on any number of machines."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        """Name the world; nothing is touched before ``open``.

        Args:
            url: ``s3://bucket/prefix``, with the options that the package's README lists.
                Credentials come from the usual AWS environment and files.

        Raises:
            UsageError: the URL is not one of those.
        """
        self._handle = Handle(url, _parse(url), clock=clock or SystemClock())
        streams = S3Streams(self._handle)
        self.storage: Storage = S3Storage(self._handle)
        self.catalogue: Catalogue = S3Catalogue(self._handle)
        self.queue: Queue = S3Queue(self._handle)
        self.snapshots: Snapshots = S3Snapshots(self._handle)
        self.streams: Streams = streams
        self.blobs: Blobs = S3Blobs(self._handle)
        self.transfer: Transfer = S3Transfer(self._handle, streams)

    @property
    def url(self) -> str:
        """Where this world is."""
        return self._handle.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Shared, durable, and an atomic queue: the index is written before the head it speaks of.

        Who asks sees a message or wake once the commit has returned; who waits, within ``poll``.
        """
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
        """Besides the counters, the requests sent so far, by verb."""
        return self._handle.statistics()

    def __repr__(self) -> str:
        return f"S3World({self.url!r})"


def _parse(url: str) -> Place:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    try:
        place = Place(
            bucket=parts.netloc,
            prefix=f"{prefix}/" if (prefix := parts.path.strip("/")) else "",
            endpoint_url=options.pop("endpoint_url", None),
            region=options.pop("region", None),
            shards=int(options.pop("shards", "1")),
            poll=float(options.pop("poll", "5")),
            timeout=float(options.pop("timeout", "30")),
        )
    except ValueError as exc:
        raise UsageError(f"{url!r}: {exc}") from exc
    if parts.scheme != "s3" or not place.bucket or parts.username or "@" in parts.netloc:
        raise UsageError(f"{url!r} names no bucket; write s3://bucket/prefix")
    if options or not (1 <= place.shards <= 64 and place.poll > 0 and 0 < place.timeout <= 50):
        raise UsageError(
            f"{url!r}: the options are endpoint_url, region, shards=1…64, poll=seconds and "
            f"timeout=seconds up to 50"
        )
    return place
