"""Children: runs that a turn starts, and runs whose end it waits for.

Children are runs like others. Nothing of theirs is kept with the run that started them but events.
"""

from __future__ import annotations

from .._value_class import value_class
from .ids import EntityId, RunId
from .runs import NewRun

__all__ = ("ChildStart", "Watch", "Watcher")


@value_class
class ChildStart:
    """A run to create in the write of a turn."""

    entity: EntityId  # child_3, of the committing run
    new: NewRun
    asks: bool = False  # the guest is told whether it was created


@value_class
class Watch:
    """A run whose end the committing run is told."""

    entity: EntityId  # watch_4, of the committing run
    run_id: RunId
    at_ms: int = 0  # when that was asked for


@value_class
class Watcher:
    """A run that is told another's end, as a world keeps it with that other run."""

    run_id: RunId
    entity: EntityId
    fence: str  # of this life of the watcher, see ``watch_fence``
