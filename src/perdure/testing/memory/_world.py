"""World: a memory store, opened.

``memory://name`` is one store in the process; ``memory://`` belongs to the object, and is there
again when the object is opened again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict
from typing import final

from ..._core.urls import parse_url
from ...abc import (
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
from ...display import shown_url
from ...worldkit.clock import Clock, SystemClock
from ._blobs import MemoryBlobs
from ._catalogue import MemoryCatalogue
from ._queue import MemoryQueue
from ._snapshots import MemorySnapshots
from ._storage import MemoryStorage
from ._store import Handle, Store, StoredRun
from ._streams import MemoryStreams
from ._transfer import MemoryTransfer

__all__ = ("MemoryWorld",)

_named: dict[str, Store] = {}
_naming = threading.Lock()


def _find_store(url: str) -> Store:
    parts = parse_url(url, scheme="memory", options=(), example="memory:// or memory://name")
    name = f"{parts.authority}/{parts.path}" if parts.path else parts.authority
    if not name:
        return Store()
    with _naming:
        return _named.setdefault(name, Store())


@final
class MemoryWorld(World):
    """A world in this process's memory.

    Args:
        url: ``memory://``, or ``memory://name`` for a store that others of this process share.
        clock: default: the machine's.
    """

    def __init__(self, url: str = "memory://", *, clock: Clock | None = None) -> None:
        self._store = _find_store(url)
        self._handle = Handle(shown_url(url), self._store, clock or SystemClock())
        self.storage: Storage = MemoryStorage(self._handle)
        self.catalogue: Catalogue = MemoryCatalogue(self._handle)
        self.queue: Queue = MemoryQueue(self._handle)
        self.snapshots: Snapshots = MemorySnapshots(self._handle)
        self.streams: Streams = MemoryStreams(self._handle)
        self.blobs: Blobs = MemoryBlobs(self._handle)
        self.transfer: Transfer = MemoryTransfer(self._handle)

    @property
    def url(self) -> str:
        """Where this world is."""
        return self._handle.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Messages are there when a commit returns, and any thread may commit."""
        return frozenset({Capability.ATOMIC_QUEUE, Capability.DIRECT_COMMIT})

    async def open(self) -> None:
        self._handle.open()

    async def aclose(self) -> None:
        self._handle.is_open = False
        self._store.changed.ring()  # whoever waits hears that it is closed

    def now_ms(self) -> int:
        return self._handle.now_ms()

    async def settle(self) -> None:
        await self._handle.enter()

    def statistics(self) -> dict[str, int]:
        return dict(self._handle.counters)

    def twin(self) -> MemoryWorld:
        world = MemoryWorld(clock=self._handle.clock)
        world._store = world._handle.replace(self._store)
        world._handle.is_open = False
        return world

    def copy(self) -> MemoryWorld:
        """An open world on a copy of this one's contents."""
        world = MemoryWorld(clock=self._handle.clock)
        world._store = world._handle.replace(self._store.copied())
        return world

    def hand_out(self, tokens: Iterable[str]) -> None:
        """Give the next leases these *tokens*, to follow another world's choice."""
        rest = iter(tokens)
        default = self._store.new_token
        self._store.new_token = lambda: next(rest, None) or default()

    def dump(self) -> dict[str, object]:
        """Everything stored, in a canonical order and without random tokens, to compare worlds."""
        store = self._store
        with store.lock:
            return {
                "runs": {run_id: _dump_run(store.runs[run_id]) for run_id in sorted(store.runs)},
                "hooks": {token: asdict(store.hooks[token]) for token in sorted(store.hooks)},
                "messages": {
                    message_id: {
                        **asdict(stored.message),
                        "claimable_ms": stored.claimable_ms,
                        "leased": stored.lease is not None,
                        "attempt": stored.claims,
                        "lost": stored.losses,
                        "returned": stored.returned,
                    }
                    for message_id, stored in sorted(store.messages.items())
                },
                "blobs": sorted((run_id or "", digest) for run_id, digest in store.blobs),
            }

    def __repr__(self) -> str:
        state = "open" if self._handle.is_open else "closed"
        return f"MemoryWorld({self.url!r}, {state}, runs={len(self._store.runs)})"


def _dump_run(run: StoredRun) -> dict[str, object]:
    wake = run.wake
    return {
        "record": asdict(run.record),
        "events": [asdict(event) for event in run.events],
        "snapshots": [asdict(snapshot) for snapshot in run.snapshots],
        "wake": wake
        and {
            "claimable_ms": wake.claimable_ms,
            "leased": wake.lease is not None,
            "generation": wake.generation,
            "attempt": wake.claims,
        },
        "streams": {
            name: {
                "chunks": list(stream.chunks),
                "closed": stream.closed,
                "latest": dict(stream.latest),
            }
            for name, stream in sorted(run.streams.items())
        },
    }
