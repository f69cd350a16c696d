"""Blobs: content-addressed bytes: bundles and engines, and large payloads of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._model.ids import Digest, RunId

__all__ = ("Blobs",)


class Blobs(ABC):
    """Immutable bytes by their sha256."""

    @abstractmethod
    async def put(self, digest: Digest, data: bytes, *, run_id: RunId | None = None) -> None:
        """Keep *data*, durably. Idempotent.

        Without *run_id* it is never deleted while the world lives; with it, it goes with the run.

        Raises:
            WorldContractError: *digest* is not the sha256 of *data*.
        """

    @abstractmethod
    async def get(self, digest: Digest, *, run_id: RunId | None = None) -> bytes:
        """The bytes, kept under the same *run_id* (or under none).

        Raises:
            BlobNotFoundError: not here.
        """

    @abstractmethod
    async def has(self, digest: Digest, *, run_id: RunId | None = None) -> bool:
        """Whether ``get`` would succeed."""
