"""World: one prefix of one bucket, opened."""

from __future__ import annotations

import math
from typing import final
from urllib.parse import urlsplit

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

_OPTIONS = ("endpoint_url", "region", "shards", "poll", "timeout")
_EXAMPLE = "s3://bucket/prefix"
_RANGES = "write shards=1…64, poll=seconds and timeout=seconds up to 50"


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

        A look sees a message or wake once the commit has returned; a wait sees it within ``poll``.
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

    def twin(self) -> S3World:
        return S3World(self.url, clock=self._handle.clock)

    def __repr__(self) -> str:
        return f"S3World({self.url!r})"


def _parse(url: str) -> Place:
    parts = parse_url(url, scheme="s3", options=_OPTIONS, example=_EXAMPLE)
    text, options, bucket = shown_url(url), dict(parts.options), parts.authority
    if not bucket or "@" in bucket or ":" in bucket:
        raise UsageError(f"{text!r} names no bucket; write {_EXAMPLE} (credentials go elsewhere)")
    endpoint = options.get("endpoint_url")
    if endpoint is not None and not _is_endpoint(endpoint):
        raise UsageError(
            f"{text!r}: endpoint_url is http://host:port or https://host, without credentials;"
            " those come from the AWS environment variables, files and roles"
        )
    try:
        place = Place(
            bucket=bucket,
            prefix=f"{prefix}/" if (prefix := parts.path.strip("/")) else "",
            endpoint_url=endpoint,
            region=options.get("region"),
            shards=int(options.get("shards", "1")),
            poll=float(options.get("poll", "5")),
            timeout=float(options.get("timeout", "30")),
        )
    except ValueError:  # whose words repeat the value
        raise UsageError(f"{text!r}: {_RANGES}") from None
    if not (1 <= place.shards <= 64 and 0 < place.poll < math.inf and 0 < place.timeout <= 50):
        raise UsageError(f"{text!r}: {_RANGES}")
    return place


def _is_endpoint(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        return False
    plain = not parts.query and not parts.fragment and "@" not in parts.netloc
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain
