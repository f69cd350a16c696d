"""Case: the argument of a direct check, and the few values that all of them use."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import anyio

from ..._model.commit import Append, TurnCommit
from ..._model.events import Event, EventType
from ..._model.ids import Digest, EntityId, RunId
from ..._model.runs import NewRun
from ...abc import World
from ...worldkit.clock import Clock, SystemClock
from ..faults import Fault
from ._nursery import Nursery
from ._pair import MakeWorld, Store

__all__ = (
    "RUN",
    "SECRET",
    "Case",
    "DirectCheck",
    "FailIo",
    "Tier",
    "append_of",
    "commit_of",
    "event_of",
    "expect",
    "named",
    "new_run",
)

RUN = RunId("run_a")
SECRET = bytes(range(224, 256))  # no text
SMOKE_S = 0.15  # for the rounds of one check
WORKERS = 3
FULL_S = 225.0  # for all checks of a world in the full tier, which may take 300


class Tier(StrEnum):
    """How thorough."""

    SMOKE = "smoke"  # some seconds
    FULL = "full"  # some minutes
    SOAK = "soak"  # full again and again, each time with another seed, as long as one likes


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One storage to check, and how."""

    reuse: Store  # storage that may have been used and emptied again
    nursery: Nursery  # begins other processes
    make: MakeWorld  # one storage, made for this check
    tier: Tier = Tier.SMOKE
    seed: int = 0
    opener: str = "perdure.worlds:make_world"  # how another process opens it; see Processes
    fail_io: FailIo | None = None
    in_time: bool = True  # rounds are left out where the smoke tier would take too long
    began: float = field(default_factory=time.monotonic)  # the first check
    notes: list[str] = field(default_factory=list[str])  # what the check has to say, passed or not

    @property
    def thorough(self) -> bool:
        """Whether minutes may be spent."""
        return self.tier is not Tier.SMOKE

    @property
    def left_s(self) -> float:
        """Seconds that the full tier has left."""
        return self.began + FULL_S - time.monotonic()

    def rounds(self, count: int, *, least: int = 1, full_s: float = math.inf) -> Iterator[int]:
        """Numbers from 0 to *count*; no more than there is time for.

        Args:
            least: how many there are however long they take.
            full_s: seconds of the full tier that may be spent; the smoke tier's are few.
        """
        seconds = {Tier.SMOKE: SMOKE_S, Tier.FULL: full_s, Tier.SOAK: math.inf}[self.tier]
        until = time.monotonic() + seconds if self.in_time else math.inf
        for number in range(count):
            if number >= least and time.monotonic() > until:
                return
            yield number

    async def share(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Have several do that work at once, each on storage of its own, if minutes may be spent.

        Calls of a store are mostly waiting.
        """
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS if self.thorough else 1):
                group.start_soon(work)

    def fresh(self) -> AbstractContextManager[MakeWorld]:
        """Another storage, empty; one who is done may empty it, see ``Lent``."""
        return self.reuse()

    @asynccontextmanager
    async def open(self, clock: Clock | None = None) -> AsyncGenerator[World, None]:
        """A world on the storage, open."""
        world = self.make(clock or SystemClock())
        async with world:
            yield world


class FailIo(Protocol):
    """Puts something between a world that is not open yet and its store.

    It asks *strike* about every I/O call, by a name, and fails the call as the store's client
    would: before it took effect, or after. ``perdure.testing.faults.FaultyCalls`` does that. An
    error that *strike* raises is handed on as it is: the process has died.
    """

    def __call__(self, world: World, strike: Callable[[str], Fault], /) -> None: ...


DirectCheck: TypeAlias = Callable[[Case], Awaitable[None]]


def expect(condition: bool, promise: str) -> None:
    """Fail with the promise that is broken."""
    if not condition:
        raise AssertionError(promise)


def named(*checks: DirectCheck) -> dict[str, DirectCheck]:
    """Checks by their name in a report."""
    return {getattr(c, "__name__", str(c)).replace("_", " "): c for c in checks}


def new_run(run_id: str = RUN, payload: bytes = b"\x80", **changes: Any) -> NewRun:
    """A run to create."""
    values: dict[str, Any] = {
        "run_id": RunId(run_id),
        "workflow": "w",
        "bundle": Digest("b" * 64),
        "engine": Digest("e" * 64),
        "input": payload,
        "created_at_ms": 1,
        "secret": SECRET,
        "base_url": "https://host/é",
    }
    return NewRun(**{**values, **changes})


def event_of(
    key: str = "step_1/end", kind: EventType = EventType.STEP_COMPLETED, payload: bytes = b"a"
) -> Event:
    """An event of the entity that the key begins with."""
    entity = key.partition("/")[0]
    return Event(type=kind, key=key, at_ms=2, entity=EntityId(entity), payload=payload)


def append_of(key: str = "step_1/end", run_id: str = RUN, **changes: Any) -> Append:
    """A step's result from outside."""
    return Append(run_id=RunId(run_id), event=event_of(key), **changes)


def commit_of(turn: int, **changes: Any) -> TurnCommit:
    """A commit of one event on *turn*, of a run to which nothing else was written."""
    values: dict[str, Any] = {
        "run_id": RUN,
        "commit_id": f"c{turn}",
        "turn": turn,
        "expected_position": turn + 1,
        "consumed": turn + 1,
        "log_digest": b"d",
        "events": (event_of(f"step_{turn + 1}/created", EventType.STEP_CREATED),),
    }
    return TurnCommit(**{**values, **changes})
