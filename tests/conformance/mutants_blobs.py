"""Mutants that mix up whose a blob is, or what is in it."""

from __future__ import annotations

import hashlib
from typing import Any

from mutants import mutant, swap

from perdure.model import Digest, RunId
from perdure.testing.memory import MemoryWorld

__all__ = ()


@mutant
def blobs_are_everybodys(world: MemoryWorld) -> None:
    """A blob that one run keeps is found under every other, and under none."""

    def make(inner: Any) -> Any:
        async def has(digest: Digest, *, run_id: RunId | None = None) -> bool:
            await inner(digest, run_id=run_id)
            return any(kept == digest for _, kept in world._store.blobs)

        return has

    swap(world.blobs, "has", make)


@mutant
def blobs_are_taken_on_trust(world: MemoryWorld) -> None:
    """What is put is not compared with its digest."""

    def make(inner: Any) -> Any:
        async def put(digest: Digest, data: bytes, *, run_id: RunId | None = None) -> None:
            await inner(Digest(hashed(data)), data, run_id=run_id)

        return put

    swap(world.blobs, "put", make)


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@mutant
def bundles_go_with_a_run(world: MemoryWorld) -> None:
    """A run that is deleted takes what is nobody's with it."""

    def make(inner: Any) -> Any:
        async def delete_run(run_id: RunId) -> None:
            await inner(run_id)
            for owner, digest in list(world._store.blobs):
                if owner is None:
                    del world._store.blobs[owner, digest]

        return delete_run

    swap(world.catalogue, "delete_run", make)
