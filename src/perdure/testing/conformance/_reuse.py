"""Reuse: storage that was emptied after a program, where that is quicker than making it anew.

Emptying goes through the contract: every run is cancelled and deleted, and with a run goes all
there is of it. Storage that a check failed on is not used again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import final

import anyio

from ..._model.commit import Append
from ..._model.events import EventType
from ..._model.ids import RunId
from ..._model.runs import RunFilter, RunRecord, RunStatus
from ...abc import World
from ...worldkit.clock import Clock, SystemClock
from ..clock import ManualClock
from ._calls import list_all_runs
from ._case import event_of, expect, new_run
from ._pair import Lent, MakeWorld, Store

__all__ = ("Reuse", "empty", "empty_alone")

WORTH_S = 0.005  # what it has to spare


@final
class Reuse:
    """A store that makes as little storage as it can."""

    def __init__(self, store: Store) -> None:
        """Wrap *store*; some of its worlds are opened to time emptying against making."""
        self.is_quicker = anyio.run(_is_quicker, store)
        self._store = store
        self._stack = ExitStack()
        self._free: list[MakeWorld] = []

    def __enter__(self) -> Reuse:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __call__(self) -> AbstractContextManager[MakeWorld]:
        return self._lend() if self.is_quicker else self._store()

    @contextmanager
    def _lend(self) -> Generator[MakeWorld, None, None]:
        try:
            make = self._free.pop()
        except IndexError:  # a thread may have been faster
            make = self._stack.enter_context(self._store())
        loan = Lent(make, empty)
        yield loan
        if loan.is_empty:
            self._free.append(make)


async def empty(world: World, runs: Collection[RunId]) -> None:
    """Take every run away, and all remains of *runs* though they may not be there.

    Raises:
        AssertionError: one is there still.
    """
    await world.settle()
    records = await list_all_runs(world, RunFilter(), limit=100)
    for missing in set(runs) - {record.run_id for record in records}:
        record, _ = await world.storage.create_run(new_run(missing))
        records.append(record)
    async with anyio.create_task_group() as group:
        for record in records:
            group.start_soon(_remove, world, record)
    await world.settle()
    expect(not await list_all_runs(world, RunFilter(), limit=100), "a deleted run is gone")


async def empty_alone(loan: Lent) -> None:
    """Empty storage on which nothing is open."""
    async with loan(SystemClock()) as world:
        await loan.empty(world)


async def _remove(world: World, record: RunRecord) -> None:
    if record.status is RunStatus.MOVING:
        await world.transfer.confirm(record.run_id)
    elif not record.status.is_ended:
        cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
        await world.storage.append(Append(run_id=record.run_id, event=cancelled, wake=False))
    await world.catalogue.delete_run(record.run_id)


async def _is_quicker(store: Store) -> bool:
    """Whether emptying storage and opening it again takes less than making it."""
    try:
        with store() as make:
            await _timed(make, ManualClock(), runs=0)  # what only the first pays is not counted
            emptying_s = min([await _timed(make, ManualClock(), runs=1) for _ in range(2)])
        with store() as make:
            fresh_s = await _timed(make, ManualClock(), runs=0)
    except Exception:  # the checks report the error
        return False
    return emptying_s + WORTH_S < fresh_s


async def _timed(make: MakeWorld, clock: Clock, *, runs: int) -> float:
    """Seconds to open a world, and to remove so many runs from it."""
    began, world = time.perf_counter(), make(clock)
    async with world:
        took = time.perf_counter() - began
        for number in range(runs):
            await world.storage.create_run(new_run(f"run_{number}"))
        began = time.perf_counter()
        if runs:
            await empty(world, ())
        return took + time.perf_counter() - began
