"""World: one store, opened, with its seven contracts and its clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from types import TracebackType
from typing import Self

from .._opened import note_closed, note_open
from ._blobs import Blobs
from ._catalogue import Catalogue
from ._queue import Queue
from ._snapshots import Snapshots
from ._storage import Storage
from ._streams import Streams
from ._transfer import Transfer

__all__ = ("Capability", "World")


class Capability(StrEnum):
    """Optional powers of a world; declared ones must work, others must not."""

    SHARED = "shared"  # several processes may open the same store at once
    DURABLE = "durable"  # what was acknowledged outlives the process
    ATOMIC_QUEUE = "atomic_queue"  # messages and wakes are visible when commit returns
    DIRECT_COMMIT = "direct_commit"  # storage is a DirectStorage
    OWNER_DEATH = "owner_death"  # a dead process's leases are freed within a second


class World(ABC):
    """A store of runs. Made from a URL by its entry point; usable between open and aclose.

    Subclasses set the seven contracts as attributes. Use as ``async with world:``: calls without
    ``world=`` find a world that is open in such a block. Before ``open`` and after ``aclose`` every
    method of every contract raises ``WorldClosedError``, also one that is asked for nothing.

    A *limit* is the most items that are claimed, listed, read or deleted; one below 1 takes
    nothing, and the call does not wait.
    """

    storage: Storage
    catalogue: Catalogue
    queue: Queue
    snapshots: Snapshots
    streams: Streams
    blobs: Blobs
    transfer: Transfer

    @property
    @abstractmethod
    def url(self) -> str:
        """Where this world is, without secrets."""

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """The powers of this world beyond the contracts."""

    @abstractmethod
    async def open(self) -> None:
        """Make the store ready, creating missing parts. Concurrent opens of one store are safe.

        Raises:
            WorldUnavailableError: the store cannot be reached.
            WorldContractError: the store lacks something the contracts need.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Release everything. Idempotent.

        Calls that wait for something raise ``WorldClosedError`` at once, and so do calls that
        follow. A write that is under way lands or does not, and answers.
        """

    @abstractmethod
    def now_ms(self) -> int:
        """The world's clock: integer milliseconds UTC. Never blocks."""

    @abstractmethod
    async def settle(self) -> None:
        """Wait until every follow-on effect of the calls that have returned is visible."""

    @abstractmethod
    def statistics(self) -> dict[str, int]:
        """Counters for operators: at least ``commits``, ``appends``, ``claims`` since open."""

    def twin(self) -> World | None:
        """Another world of the same store, not opened, for another event loop; None: there is none.

        A lease that was claimed here may be renewed there, and nothing else is asked of it. With
        that a worker keeps its leases while a step blocks its event loop; without, as here by
        default, they run out. Never blocks; from any thread.
        """
        return None

    async def __aenter__(self) -> Self:
        await self.open()
        note_open(self)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.aclose()
        finally:  # not before: a call that comes meanwhile must not go to another world
            note_closed(self)
