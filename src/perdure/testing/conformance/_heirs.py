"""Heirs: a writer dies on the way, at any of its I/O calls, and others bring the letters it left.

Nobody asks the writer's call again before that, as after the loss of a whole machine. A run whose
turn has landed has its children, each once, and an end that has landed is told to all who wait.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias, final

from ..._model.events import EventType
from ...abc import World
from ..clock import ManualClock
from ..faults import Fault
from ._case import RUN, Case, commit_of, expect, named, new_run
from ._families import CHILD, DONE, OTHER, cancelled, child, due, expect_gone, told, watch
from ._pair import MakeWorld
from ._reach import build_family, cancel, records

__all__ = ("HEIRS",)

SMOKE_DEATHS = 3  # of each life, chosen by the seed
MOST_DEATHS = 200
LIVES_S = 8.0  # of the full tier, for each
LATER_MS = 60_000  # the dead are given up by then

Life: TypeAlias = Callable[[World], Awaitable[object]]
Will: TypeAlias = Callable[["Estate"], Awaitable[None]]


class Died(Exception):
    """The process has ended; nothing that it does has any effect."""


@final
class _Death:
    """Ends a writer at one of its I/O calls, by number from 0."""

    def __init__(self, at: int | None) -> None:
        self.calls = 0
        self.is_awake = False  # calls are counted, and may be the last
        self._at = at

    @property
    def has_come(self) -> bool:
        """Whether it was one of the calls there were."""
        return self._at is not None and self.calls > self._at

    def strike(self, call: str) -> Fault:
        """Pass a call of the living."""
        if self.is_awake:
            self.calls += 1
            if self.has_come:
                raise Died(call)
        return Fault.NONE


@final
class Estate:
    """One storage whose writer has died. Others come."""

    def __init__(self, make: MakeWorld, clock: ManualClock) -> None:
        self._make = make
        self._clock = clock

    async def visit(self, do: Life) -> None:
        """Have a client that is new, some time later, do this after it has looked for work."""
        self._clock.advance(LATER_MS)
        async with self._make(self._clock) as world:
            await due(world)
            await do(world)
            await world.settle()


async def _begin(world: World) -> None:
    for name in (RUN, OTHER):
        await world.storage.create_run(new_run(name))


_TURN = commit_of(0, starts=(child(),), watches=(watch(), watch(OTHER, n=3)))


async def _take_turn(world: World) -> None:
    await world.storage.commit(_TURN)


async def _after_turn(estate: Estate) -> None:
    """A turn that has landed has all its effects, a child of it that has gone is gone for good."""
    landed = False

    async def end_child(world: World) -> None:
        nonlocal landed
        landed = (await world.storage.get_run(RUN)).turn == 1
        if landed:
            await world.storage.append(cancelled(CHILD))
            await world.catalogue.delete_run(CHILD)
        else:
            await expect_gone(world, CHILD, "no child without the turn that starts it")

    async def ask_again(world: World) -> None:
        await world.storage.commit(_TURN)
        if landed:
            await expect_gone(world, CHILD, "a child that was deleted is not started again")
        else:
            await world.storage.append(cancelled(CHILD))
        await world.storage.append(cancelled(OTHER))
        ends = [(key, facts["status"]) for _, key, facts in await told(world, RUN)]
        both = [(f"watch_{n}/end", "cancelled") for n in (2, 3)]
        expect(ends == both, "each end is told once")

    await estate.visit(end_child)
    await estate.visit(ask_again)


async def _begin_to_wait(world: World) -> None:
    await _begin(world)
    await world.storage.create_run(new_run(CHILD))
    for name in (RUN, OTHER):
        await world.storage.commit(commit_of(0, run_id=name, watches=(watch(),)))
    await due(world)


async def _complete(world: World) -> None:
    await world.storage.commit(commit_of(0, run_id=CHILD, outcome=DONE))


async def _cancel(world: World) -> None:
    await world.storage.append(cancelled(CHILD))


async def _after_end(estate: Estate) -> None:
    """An end that has landed is told to all who wait, before the run may go."""

    async def look(world: World) -> None:
        ended = (await world.storage.get_run(CHILD)).status.is_ended
        for name in (RUN, OTHER):
            expect(len(await told(world, name)) == ended, "an end that has landed is told")
        if not ended:
            await world.storage.append(cancelled(CHILD))
        await world.catalogue.delete_run(CHILD)

    async def look_again(world: World) -> None:
        for name in (RUN, OTHER):
            ends = [(kind, key) for kind, key, _ in await told(world, name)]
            expect(ends == [(EventType.CHILD_ENDED, "watch_2/end")], "it is told once")

    await estate.visit(look)
    await estate.visit(look_again)


async def _live(case: Case, at: int | None, begin: Life, last: Life, will: Will) -> _Death:
    """Have a writer do *last*, and die at an I/O call of that; then execute its will."""
    fail_io, death, clock = case.fail_io, _Death(at), ManualClock(1_000)
    assert fail_io is not None
    with case.fresh() as make:
        async with make(clock) as world:
            await begin(world)
            await world.settle()
        writer = make(clock)
        fail_io(writer, death.strike)
        async with writer:
            death.is_awake = True
            with suppress(Exception):  # in a group of errors, perhaps
                await last(writer)
            await writer.settle()
            death.is_awake = False
        await will(Estate(make, clock))
    return death


async def _check(case: Case, begin: Life, last: Life, will: Will) -> None:
    if case.fail_io is None:
        case.notes.append("no way to fail the world's I/O was given")
        return
    calls = (await _live(case, None, begin, last, will)).calls
    deaths = list(range(min(calls, MOST_DEATHS)))
    if not case.thorough:
        deaths = random.Random(case.seed).sample(deaths, min(SMOKE_DEATHS, calls))
    tried = 0
    for number in case.rounds(len(deaths), full_s=LIVES_S):
        death = await _live(case, deaths[number], begin, last, will)
        tried += death.has_come
    case.notes.append(f"{tried} deaths at {calls} I/O calls")


async def a_dead_parents_children_are_there_once(case: Case) -> None:
    """Its turn landed with all its effects, or with none; a child that has gone does not return."""
    await _check(case, _begin, _take_turn, _after_turn)


async def a_dead_runs_result_is_told(case: Case) -> None:
    """The bringer of a run's result may die on the way to those who wait for it."""
    await _check(case, _begin_to_wait, _complete, _after_end)


async def a_dead_callers_cancel_is_told(case: Case) -> None:
    """So may one who cancels it."""
    await _check(case, _begin_to_wait, _cancel, _after_end)


async def _cancel_all(world: World) -> None:
    await world.storage.append(cancel())


async def _after_cancel(estate: Estate) -> None:
    """A run that is cancelled with all it started takes them along."""

    async def look(world: World) -> None:
        ended = [record.status.is_ended for record in await records(world)]
        expect(ended[:3] == ended[:1] * 3, "a family ends together")
        expect(ended[3:] == [False, False], "and nobody else")

    await estate.visit(look)
    await estate.visit(look)


async def a_dead_callers_cancel_reaches_all(case: Case) -> None:
    """Those that a run has started, and theirs."""
    await _check(case, build_family, _cancel_all, _after_cancel)


HEIRS = named(
    a_dead_parents_children_are_there_once,
    a_dead_runs_result_is_told,
    a_dead_callers_cancel_is_told,
    a_dead_callers_cancel_reaches_all,
)
