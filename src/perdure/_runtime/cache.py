"""Cache: warm heaps of runs that are put away, and baselines of bundles.

A warm heap spares the thaw when its run goes on in this worker; what it costs is bounded, the
longest unused goes first. Everything here can be dropped at any time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import final

import anyio

from .._model.ids import Digest, RunId
from .._model.runs import RunRecord
from .._vm.guest import GuestEngine, default_engine, load_engine
from .._vm.image import Baseline
from .._vm.pool import VmPool
from ..abc import World
from ..errors import (
    BlobNotFoundError,
    BundleMissingError,
    EngineMissingError,
    WorldContractError,
)
from .heap import Heap

__all__ = ("Baselines", "WarmHeaps")


@final
class WarmHeaps:
    """Heaps by run, in the order of their last use."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._heaps: OrderedDict[RunId, tuple[Heap, int]] = OrderedDict()

    def __repr__(self) -> str:
        return (
            f"<WarmHeaps {len(self._heaps)}, {self.held_bytes >> 20} of {self.max_bytes >> 20} MiB>"
        )

    def __len__(self) -> int:
        return len(self._heaps)

    def put(self, heap: Heap) -> None:
        """Keep a heap; it belongs to the cache now."""
        self.drop(heap.run_id)
        size = heap.held_bytes
        self._heaps[heap.run_id] = heap, size
        self.held_bytes += size
        while self.held_bytes > self.max_bytes:
            self.drop(next(iter(self._heaps)))

    def take(self, run_id: RunId) -> Heap | None:
        """The run's heap, which belongs to the caller now."""
        heap, size = self._heaps.pop(run_id, (None, 0))
        self.held_bytes -= size
        return heap

    def drop(self, run_id: RunId) -> None:
        """Forget a run's heap."""
        heap = self.take(run_id)
        if heap is not None:
            heap.close()

    def clear(self) -> None:
        """Forget them all."""
        while self._heaps:
            self.drop(next(iter(self._heaps)))


@final
class Baselines:
    """Baselines by engine and bundle, each made once."""

    def __init__(self, world: World, pool: VmPool) -> None:
        self._world = world
        self._pool = pool
        self._made: dict[tuple[Digest, Digest], Baseline] = {}
        self._locks: dict[tuple[Digest, Digest], anyio.Lock] = {}

    def __repr__(self) -> str:
        return f"<Baselines of {len(self._made)} bundles>"

    async def get(self, record: RunRecord) -> Baseline:
        """The baseline a run executes on: its own bundle, the engine that began it.

        Raises:
            BundleMissingError: the world does not have the run's bundle.
            EngineMissingError: the world does not have the run's engine.
            WorldContractError: the world has other bytes in its place.
        """
        key = record.engine, record.bundle
        found = self._made.get(key)
        if found is None:
            async with self._locks.setdefault(key, anyio.Lock()):
                found = self._made.get(key) or await self._make(record)
                self._made[key] = found
        return found

    async def _make(self, record: RunRecord) -> Baseline:
        engine = await self._engine(record.engine)
        try:
            bundle = await self._world.blobs.get(record.bundle)
        except BlobNotFoundError as exc:
            raise BundleMissingError(record.run_id, digest=record.bundle) from exc
        _check_blob(record.bundle, bundle)
        return await self._pool.run(lambda: Baseline.build(engine, bundle))

    async def _engine(self, digest: Digest) -> GuestEngine:
        engine = await self._pool.run(default_engine)
        if engine.digest == digest:
            return engine
        try:
            wasm = await self._world.blobs.get(digest)
        except BlobNotFoundError as exc:
            raise EngineMissingError(digest) from exc
        _check_blob(digest, wasm)
        return await self._pool.run(lambda: load_engine(wasm))


def _check_blob(digest: Digest, data: bytes) -> None:
    """Let no code run that is not the one which was asked for."""
    if hashlib.sha256(data).hexdigest() != digest:
        raise WorldContractError(f"the world has other bytes in place of blob {digest}")
