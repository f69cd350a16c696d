"""Baselines: the loaded bundles of one world, so that no run loads its own.

They share a room with warm heaps, in which the longest unused goes first; one that is in use is
found again though there was no room for it. Each can be dropped at any time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from typing import TypeAlias, final
from weakref import WeakValueDictionary

import anyio

from ..._model.ids import Digest
from ..._model.runs import RunRecord
from ..._vm.guest import GuestEngine, default_engine, load_engine
from ..._vm.image import Baseline
from ..._vm.pool import VmPool
from ..._vm.spares import Spares
from ..._vm.watch import Watch
from ...abc import World
from ...errors import (
    BlobNotFoundError,
    BundleMissingError,
    EngineMissingError,
    WorldContractError,
)
from ..room import Room

__all__ = ("Baselines",)

SECONDS = 30.0  # to load a bundle
_PATIENCE = 1.0  # of a processor, before it gives way where too many take long
_ROOM_BYTES = 64 << 20
LATEST = 8
_Key: TypeAlias = "tuple[Digest, Digest]"  # engine and bundle


@final
class Baselines:
    """Baselines by engine and bundle, each made once while it is kept."""

    def __init__(
        self,
        world: World,
        pool: VmPool,
        room: Room | None = None,
        *,
        seconds: float = SECONDS,
        latest: int = LATEST,
    ) -> None:
        """Have none yet.

        Args:
            room: where they are kept; None is one of their own.
            seconds: a bundle may take to load.
            latest: how many are kept however little room there is.
        """
        self._world = world
        self._pool = pool
        self._room = room or Room(_ROOM_BYTES)
        self._seconds = seconds
        self._spares = Spares(self._room.max_bytes // 4)
        self._baselines: OrderedDict[_Key, Baseline] = OrderedDict()
        self._kept_bytes = 0
        self._latest: deque[Baseline] = deque(maxlen=latest)
        self._alive: WeakValueDictionary[_Key, Baseline] = WeakValueDictionary()
        self._locks: WeakValueDictionary[_Key, anyio.Lock] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<Baselines of {len(self._alive)} bundles>"

    async def get(self, record: RunRecord) -> Baseline:
        """The baseline a run executes on: its own bundle, the engine that began it.

        Raises:
            BundleMissingError: the world does not have the run's bundle.
            EngineMissingError: the world does not have the run's engine.
            WorldContractError: the world has other bytes in its place.
            StoppedError: the bundle takes too long to load.
        """
        key = record.engine, record.bundle
        baseline = self._baselines.get(key)
        if baseline is not None:
            self._baselines.move_to_end(key)
            self._room.use(key)
            return baseline
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = anyio.Lock()
        async with lock:
            baseline = self._alive.get(key)
            if baseline is None:
                baseline = self._alive[key] = await self._make(record)
            self._keep(key, baseline)
            return baseline

    def clear(self) -> None:
        """Forget them all, and free the memory that is ready for their guests."""
        for key in list(self._baselines):
            self._drop(key)
        self._latest.clear()
        self._spares.clear()

    def _keep(self, key: _Key, baseline: Baseline) -> None:
        self._latest.append(baseline)
        if key in self._baselines:
            return
        self._baselines[key] = baseline
        self._kept_bytes += baseline.held_bytes
        self._room.keep(key, baseline.held_bytes, lambda: self._drop(key))
        # Not all of the room: bundles that are never seen again must not drive out heaps.
        while self._kept_bytes > self._room.max_bytes // 4:
            self._drop(next(iter(self._baselines)))

    def _drop(self, key: _Key) -> None:
        baseline = self._baselines.pop(key, None)
        if baseline is not None:
            self._kept_bytes -= baseline.held_bytes
            self._room.release(key)

    async def _make(self, record: RunRecord) -> Baseline:
        engine = await self._engine(record.engine)
        try:
            bundle = await self._world.blobs.get(record.bundle)
        except BlobNotFoundError as exc:
            raise BundleMissingError(record.run_id, digest=record.bundle) from exc
        _check_blob(record.bundle, bundle)
        watch = Watch(self._seconds, patience=_PATIENCE)
        return await self._pool.run(lambda: Baseline.build(engine, bundle, self._spares), watch)

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
