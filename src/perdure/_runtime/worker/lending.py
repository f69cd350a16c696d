"""Lending: the slots of steps that wait for other runs, which others have meanwhile.

A parent that waits for its child holds neither a slot of steps nor, by its run, one of turns: else
parents that fill a worker would wait for children that it has no room for. When the wait is over
it has both again at once, over the limit if need be. Used in the worker's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, final

from ..._model.ids import EntityId, RunId
from ..metadata import entered
from ..slots import Slots
from ..timing import DEFAULT
from .leases import Leases

__all__ = ("Lending", "lent", "worker_lending")


class Waiter(Protocol):
    """A run that is carried here, whose steps may wait for other runs."""

    def waits(self, entity: EntityId) -> bool:
        """A step of the run waits. Returns whether it is one that runs here."""
        ...

    def goes_on(self, entity: EntityId) -> None:
        """The step waits no more."""
        ...

    async def park(self) -> None:
        """Put the heap away if nothing of the run does more than wait."""
        ...


@final
class Lending:
    """The slots that a worker lends."""

    def __init__(
        self,
        *,
        steps: Slots,
        turns: Slots,
        leases: Leases,
        carriers: Mapping[RunId, Waiter],
        park_after: float = DEFAULT.park_after,
    ) -> None:
        """Lend nothing yet.

        Args:
            leases: of the steps that have a slot.
            carriers: of the runs that have one, by run.
            park_after: seconds of waiting after which a run's heap is put away.
        """
        self._park_after = park_after
        self.loop = asyncio.get_running_loop()
        self.waits: dict[str, set[object]] = {}  # by the id of a step, the calls that wait in it
        self._steps = steps
        self._turns = turns
        self._leases = leases
        self._carriers = carriers
        self._parking: set[asyncio.Task[None]] = set()
        self._loans: dict[RunId, set[EntityId]] = {}  # steps that wait, of runs that are carried

    def __repr__(self) -> str:
        return f"<Lending of {len(self.waits)} steps, {len(self._loans)} runs>"

    def begin(self, run_id: RunId, step: str, wait: object) -> None:
        """A call in the step waits for a run; its slots are lent unless it has none any more."""
        waits = self.waits.get(step)
        if waits is not None:
            waits.add(wait)
            return
        if not self._leases.holds(step):
            return  # what waits has outlived its step
        self.waits[step] = {wait}
        self._steps.lend()
        carrier, entity = self._carriers.get(run_id), _entity_of(run_id, step)
        if carrier is None or not carrier.waits(entity):
            return
        self._loans.setdefault(run_id, set()).add(entity)
        if len(self._loans[run_id]) == 1:
            self._turns.lend()
        self.loop.call_later(self._park_after, self._park, carrier)

    def end(self, run_id: RunId, step: str, wait: object) -> None:
        """The call waits no more. Idempotent."""
        waits = self.waits.get(step, set())
        waits.discard(wait)
        if not waits:
            self.over(run_id, step)

    def over(self, run_id: RunId, step: str) -> None:
        """Have the step's slots again, if they were lent."""
        if self.waits.pop(step, None) is None:
            return
        self._steps.take_back()
        entities, entity = self._loans.get(run_id, set()), _entity_of(run_id, step)
        if entity not in entities:
            return
        entities.discard(entity)
        self._carriers[run_id].goes_on(entity)
        if not entities:
            del self._loans[run_id]
            self._turns.take_back()

    def _park(self, carrier: Waiter) -> None:
        """Have it parked by a task, since a timer's callback may begin none of a group's."""
        task = self.loop.create_task(carrier.park())
        self._parking.add(task)
        task.add_done_callback(self._parking.discard)


# In the tasks of a worker: what lends the slots of the steps that run there.
worker_lending: ContextVar[Lending | None] = ContextVar("perdure_lending", default=None)


def is_in_step() -> bool:
    """Whether this runs in a step, or in a context that one has made."""
    return entered.get(None) is not None


@contextmanager
def lent() -> Generator[None, None, None]:
    """Within the block the step that is running here, if one is, waits for another run."""
    lending, metadata = worker_lending.get(), entered.get(None)
    if lending is None or metadata is None:
        yield
        return
    _, step = metadata()
    run_id, wait = RunId(step.id.rpartition("/")[0]), object()
    if asyncio.get_running_loop() is lending.loop:
        lending.begin(run_id, step.id, wait)
        try:
            yield
        finally:
            lending.end(run_id, step.id, wait)
        return
    lending.loop.call_soon_threadsafe(lending.begin, run_id, step.id, wait)  # of a thread's own
    try:
        yield
    finally:
        lending.loop.call_soon_threadsafe(lending.end, run_id, step.id, wait)


def _entity_of(run_id: RunId, step: str) -> EntityId:
    return EntityId(step.removeprefix(f"{run_id}/"))
