"""State: the parts of a run that a worker needs to go on with it, read at one instant."""

from __future__ import annotations

from .._value_class import value_class
from .events import LoggedEvent
from .runs import RunRecord
from .snapshot import Snapshot

__all__ = ("RunState",)


@value_class
class RunState:
    """A run's record, its snapshot chain and its log above that."""

    record: RunRecord
    chain: tuple[Snapshot, ...]  # root first; empty if there is none, or it was not asked for
    events: tuple[LoggedEvent, ...]  # the log above what was asked, all of it
