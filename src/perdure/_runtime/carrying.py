"""Carrying: what the carriers of one worker share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Protocol

from .._core.turn import StepRoute
from .._model.commands import ScheduleStep
from .._model.ids import RunId
from .._model.queue import Lease, MessageClaim
from .._model.runs import RunRecord
from .._protocol.frames import Limits
from .._vm.pool import VmPool
from .._vm.watch import Watch
from ..abc import Capability, DirectStorage, World
from .cache import Baselines, WarmHeaps
from .slots import Slots, TakenSlots
from .slow_runs import SlowRuns

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ("Carrying", "Route", "RunStep", "Tally")


class RunStep(Protocol):
    """Runs a step's body; ``Carrier.finished`` is told how it ended, and its slot given back."""

    def __call__(self, carrier: Carrier, claim: MessageClaim, /) -> Awaitable[None]: ...


class Route(Protocol):
    """Says where a step's message goes; a slot is taken for one that is to run inline."""

    def __call__(
        self, record: RunRecord, command: ScheduleStep, slots: TakenSlots, now_ms: int, /
    ) -> StepRoute: ...


@dataclass(slots=True)
class Tally:
    """What a worker did."""

    turns: int = 0
    thawed: int = 0
    rebuilt: int = 0  # heaps made from the log although a snapshot was, or should be, there
    stale: int = 0  # commits that came too late
    snapshots: int = 0
    snapshot_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Carrying:
    """What every carrier of a worker shares."""

    world: World
    pool: VmPool
    baselines: Baselines
    warm: WarmHeaps
    slots: Slots
    route: Route
    run_step: RunStep
    drop_step: Callable[[MessageClaim], None]  # one that is not run here after all
    spawn: Callable[[Carrier, MessageClaim | None], None]  # another task for ``Carrier.carry``
    forget: Callable[[Carrier], None]  # it carries nothing any more
    hold: Callable[[Lease], None]  # renew a lease from now on
    let_go: Callable[[Lease], None]  # of a wake's lease that needs no renewal any more
    watches: dict[RunId, Watch]  # of the turns that are taken, by their runs
    snapshot_lag: int
    turn_deadline: float  # seconds one turn may take before it is tried again
    name: str  # of the worker; with a number it names a commit of its
    commits: Iterator[int] = field(default_factory=count)
    key: bytes | None = field(default=None, repr=False)  # a secret
    limits: Limits = field(default_factory=Limits)
    tally: Tally = field(default_factory=Tally)
    failed: Counter[RunId] = field(default_factory=Counter[RunId])  # turns, since one landed
    slow: SlowRuns = field(default_factory=SlowRuns)

    direct: DirectStorage | None = field(init=False)  # where a VM thread may commit

    def __post_init__(self) -> None:
        storage = self.world.storage
        self.direct = None
        if Capability.DIRECT_COMMIT in self.world.capabilities:
            assert isinstance(storage, DirectStorage)
            self.direct = storage
