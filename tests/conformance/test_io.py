"""The kit fails a world's I/O calls one by one, uses storage again, and ends a soak in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from perdure.abc import World
from perdure.model import Append, Appended
from perdure.testing.conformance import MakeWorld, Report, Store, certify, check_names, store_at
from perdure.testing.faults import Fault, FaultyCalls
from perdure.testing.memory import MemoryWorld
from perdure.worldkit.clock import Clock

pytestmark = pytest.mark.slow


class Parts:
    """What an append of this world consists of: two calls to its store."""

    def __init__(self, world: MemoryWorld) -> None:
        self._append = world.storage.append
        self._wake = world.queue.wake

    async def write(self, append: Append) -> Appended:
        return await self._append(replace(append, wake=False))

    async def wake(self, append: Append, now_ms: int) -> None:
        await self._wake(append.run_id, due_ms=now_ms)


def in_two_parts(world: MemoryWorld, *, wakes_again: bool) -> None:
    """Have appends write first and wake then; a repeated one wakes again, or is careless."""
    loose: Any = world
    loose.parts = Parts(world)

    async def append(asked: Append) -> Appended:
        done: Appended = await loose.parts.write(asked)
        if asked.wake and (wakes_again or not done.duplicate):
            await loose.parts.wake(asked, world.now_ms())
        return done

    loose.storage.append = append


def fail_parts(world: World, strike: Callable[[str], Fault]) -> None:
    loose: Any = world
    parts = getattr(loose.parts, "_inner", loose.parts)
    loose.parts = FaultyCalls(parts, "parts", strike)


def store_of(change: Callable[[MemoryWorld], None]) -> Store:
    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        made: list[MemoryWorld] = []

        def make(clock: Clock) -> MemoryWorld:
            if not made:
                made.append(MemoryWorld(clock=clock))
                change(made[0])
            return made[0]

        yield make

    return store


def certified(store: Store, only: str, tier: str = "full") -> Report:
    return certify(
        store,
        tier=tier,
        seed=1,
        only=lambda name: only in name,
        fail_io=fail_parts if only.startswith("faulty") else None,
    )


@pytest.mark.parametrize("wakes_again", [True, False])
def test_a_fault_between_two_calls_to_the_store_is_tried(wakes_again: bool) -> None:
    store = store_of(lambda world: in_two_parts(world, wakes_again=wakes_again))
    report = certified(store, "faulty io")
    assert report.passed == wakes_again
    assert any("faults of" in note for check in report.checks for note in check.notes)
    told = [check.failure for check in report.checks if not check.passed]
    assert all(", its I/O call" in failure for failure in told)


def test_storage_that_takes_long_to_make_is_emptied_and_used_again() -> None:
    made: list[MakeWorld] = []
    quick = store_at("memory://")

    @contextmanager
    def slow() -> Generator[MakeWorld, None, None]:
        with quick() as make:

            def late(clock: Clock) -> World:
                if make not in made:
                    made.append(make)
                    time.sleep(0.02)  # what making storage costs
                return make(clock)

            yield late

    assert certified(slow, "catalogue, random", "smoke").passed
    assert len(made) == 3  # two to see what is quicker, one for its programs


def test_a_soak_ends_with_the_check_during_which_its_time_is_up() -> None:
    report = certify(store_at("memory://"), tier="soak", seconds=0.01, seed=1)
    assert report.passed
    assert len(report.checks) < len(check_names())
