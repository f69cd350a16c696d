"""Faults: a world that fails, before or after a call took effect, when it is told to.

``FaultyWorld`` wraps another. Each call of a contract asks ``plan`` for its fault; the same plan
and the same calls have the same faults. The caller sees ``WorldUnavailableError``: the outcome is
unknown to it, as with a real store.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Protocol, TypeVar, cast, final

from ..abc import (
    Blobs,
    Capability as Capability,
    Catalogue,
    Queue,
    Snapshots,
    Storage,
    Streams,
    Transfer,
    World,
)
from ..errors import WorldUnavailableError

__all__ = ("Fault", "FaultPlan", "FaultyCalls", "FaultyWorld", "random_faults")

T = TypeVar("T")


class Fault(Enum):
    """The fate of a call."""

    NONE = "none"
    BEFORE = "before"  # fails, nothing was done
    AFTER = "after"  # fails, all was done


class FaultPlan(Protocol):
    """Decides about the call with this number (from 0) and name (``storage.commit``)."""

    def __call__(self, number: int, call: str, /) -> Fault: ...


def random_faults(
    rng: random.Random, *, rate: float, calls: frozenset[str] | None = None
) -> FaultPlan:
    """A plan that fails calls before and after alike, at the probability *rate* by *rng*.

    Args:
        calls: only these; None is all.
    """

    def plan(number: int, call: str) -> Fault:
        if calls is not None and call not in calls:
            return Fault.NONE
        return rng.choice((Fault.BEFORE, Fault.AFTER)) if rng.random() < rate else Fault.NONE

    return plan


@final
class FaultyCalls:
    """An object whose coroutine methods fail as they are told: a contract's, or a store's client.

    A world's author wraps the client of the store in it to fail each request by itself: see
    ``FailIo`` of the conformance kit.
    """

    def __init__(
        self,
        inner: object,
        name: str,
        strike: Callable[[str], Fault],
        error: Callable[[str], Exception] = WorldUnavailableError,
    ) -> None:
        """Wrap *inner*, whose calls *name* goes before: ``storage.commit``.

        Args:
            strike: asked about each call, by ``<name>.<method>``.
            error: makes the error that a failed call raises, as the store's client would.
        """
        self._inner = inner
        self._name = name
        self._strike = strike
        self._error = error

    def __getattr__(self, method: str) -> Any:
        inner = cast("Callable[..., Awaitable[Any]]", getattr(self._inner, method))
        call = f"{self._name}.{method}"

        async def faulty(*args: Any, **named: Any) -> Any:
            fault = self._strike(call)
            if fault is Fault.BEFORE:
                raise self._error(f"{call} failed before it did anything, as planned")
            answer = await inner(*args, **named)
            if fault is Fault.AFTER:
                raise self._error(f"{call} failed after it was done, as planned")
            return answer

        return faulty


@final
class FaultyWorld(World):
    """A world whose calls fail by plan. It commits through the event loop only."""

    def __init__(self, inner: World, plan: FaultPlan) -> None:
        self.inner = inner
        self.calls: int = 0
        self.faults: int = 0
        self._plan = plan
        self.storage: Storage = cast(Storage, FaultyCalls(inner.storage, "storage", self._strike))
        self.catalogue: Catalogue = cast(
            Catalogue, FaultyCalls(inner.catalogue, "catalogue", self._strike)
        )
        self.queue: Queue = cast(Queue, FaultyCalls(inner.queue, "queue", self._strike))
        self.snapshots: Snapshots = cast(
            Snapshots, FaultyCalls(inner.snapshots, "snapshots", self._strike)
        )
        self.streams: Streams = cast(Streams, FaultyCalls(inner.streams, "streams", self._strike))
        self.blobs: Blobs = cast(Blobs, FaultyCalls(inner.blobs, "blobs", self._strike))
        self.transfer: Transfer = cast(
            Transfer, FaultyCalls(inner.transfer, "transfer", self._strike)
        )

    @property
    def url(self) -> str:
        """The wrapped world's."""
        return self.inner.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The wrapped world's, without direct commits."""
        return self.inner.capabilities - {Capability.DIRECT_COMMIT}

    async def open(self) -> None:
        await self.inner.open()

    async def aclose(self) -> None:
        await self.inner.aclose()

    def now_ms(self) -> int:
        return self.inner.now_ms()

    async def settle(self) -> None:
        await self.inner.settle()

    def statistics(self) -> dict[str, int]:
        return {**self.inner.statistics(), "calls": self.calls, "faults": self.faults}

    def __repr__(self) -> str:
        return f"FaultyWorld({self.inner!r}, {self.faults} faults in {self.calls} calls)"

    def _strike(self, call: str) -> Fault:
        number, self.calls = self.calls, self.calls + 1
        fault = self._plan(number, call)
        self.faults += fault is not Fault.NONE
        return fault
