"""Carrying: the parts of a worker that its carriers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import field
from itertools import count

from ..._model.ids import RunId
from ..._protocol.frames import Limits
from ..._value_class import record_class
from ..._vm.pool import VmPool
from ...abc import DirectStorage, World
from ..slots import Slots
from ..timing import Timing
from ..worker.backlog import Backlog
from ..worker.callbacks import Callbacks
from ..worker.execution import Execution
from ..worker.leases import Leases
from ..worker.runners import Work
from .baselines import Baselines
from .routing import Routing
from .slow_runs import SlowRuns
from .warm_heaps import WarmHeaps

__all__ = ("Carrying", "Tally")


@record_class
class Tally:
    """The counts of a worker."""

    turns: int = 0
    thawed: int = 0
    rebuilt: int = 0  # heaps made from the log although a snapshot was, or should be, there
    stale: int = 0  # commits that came too late
    snapshots: int = 0
    snapshot_bytes: int = 0


@record_class
class Carrying:
    """The parts of a worker that all its carriers share."""

    world: World
    direct: DirectStorage | None  # where a VM thread may commit
    pool: VmPool
    baselines: Baselines
    warm: WarmHeaps
    slots: Slots
    routing: Routing
    execution: Execution
    leases: Leases
    backlog: Backlog
    run: Callable[[Work], None]  # in a task of its own
    forget: Callable[[RunId], None]  # it is carried here no more
    callbacks: Callbacks
    snapshot_lag: int
    turn_deadline: float  # seconds one turn may take before it is tried again
    timing: Timing
    name: str  # of the worker; with a number it names a commit of its
    commits: Iterator[int] = field(default_factory=count)
    key: bytes | None = field(default=None, repr=False)  # a secret
    limits: Limits = field(default_factory=Limits)
    tally: Tally = field(default_factory=Tally)
    failed: Counter[RunId] = field(default_factory=Counter[RunId])  # turns, since one landed
    slow: SlowRuns = field(default_factory=SlowRuns)
