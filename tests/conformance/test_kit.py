"""The kit: what it prints runs, what it counts is right, what it cannot do it says."""

from __future__ import annotations

import asyncio
import math
import random
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import anyio
import killing
import mutants_stores
import pytest
from hypothesis.control import deprecate_random_in_strategy
from hypothesis.errors import HypothesisDeprecationWarning

from perdure.abc import Capability
from perdure.errors import UsageError, WorldUnavailableError
from perdure.model import EntityId, HookRecord, RunId
from perdure.testing.clock import ManualClock
from perdure.testing.conformance import (
    Difference,
    MakeWorld,
    _calls,
    _kit,
    certify,
    check_names,
    check_world,
    store_at,
)
from perdure.testing.conformance._calls import Call
from perdure.testing.conformance._cancel import CancelAt, Moment, Swallowed, run_cancelled
from perdure.testing.conformance._case import append_of, new_run
from perdure.testing.conformance._linear import Operation, explained, told
from perdure.testing.conformance._machines import MACHINES
from perdure.testing.conformance._random import random_allowed_elsewhere, run_programs
from perdure.testing.faults import Fault, FaultyCalls
from perdure.testing.memory import MemoryWorld
from perdure.worldkit.clock import Clock

PROGRAMS = "random programs"


def sound() -> Any:
    """The reference world's storage."""
    return store_at("memory://")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["extend revives", "early delivery", "commit takes a run over"],
)
def test_a_failure_shrinks_to_a_program_that_runs(name: str) -> None:
    broken, _ = killing.ALL[name]
    for seed in range(4):
        report = certify(
            broken, seed=seed, only=lambda check: PROGRAMS in check, until_failure=True
        )
        if not report.passed:
            break
    else:
        raise AssertionError(f"{name}: no seed told it")
    failure = report.checks[-1].failure
    program = failure[failure.index("from perdure.") :]
    assert 0 < report.checks[-1].calls <= 10
    assert len(re.findall(r"^    (?:a\d+ = )?pair\.", program, re.MULTILINE)) <= 10
    with pytest.raises(Difference):
        exec(compile(program, "<printed>", "exec"), {"store": broken})
    exec(compile(program, "<printed>", "exec"), {"store": sound()})  # a sound world passes it


@pytest.mark.slow
def test_a_world_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_calls, "ANSWER_S", 0.2)

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        def make(clock: Clock) -> MemoryWorld:
            world = MemoryWorld(clock=clock)
            # A mutant.
            world.storage.read_events = lambda *_, **__: anyio.sleep(60)  # type: ignore[assignment, method-assign]
            return world

        yield make

    report = certify(store, seed=1, only=lambda name: name.startswith("snapshots, r"), shrink=False)
    assert "TimeoutError" in report.checks[0].failure


def operation(client: int, name: str, *args: Any, span: tuple[int, int], answer: Any) -> Operation:
    return Operation(client, Call(0, name, args), span[0], span[1], answer)


async def history_of(*answers: tuple[Any, tuple[int, int]]) -> list[Operation]:
    """An append that takes from 10 to 20, and reads of the run at other times."""
    async with MemoryWorld(clock=ManualClock()) as world:
        await world.storage.create_run(new_run())
        before = await world.storage.get_run(new_run().run_id)
        appended = await world.storage.append(append_of())
        after = await world.storage.get_run(new_run().run_id)
    write = operation(0, "storage.append", append_of(), span=(10, 20), answer=appended)
    reads = [
        operation(1, "storage.get_run", "run_a", span=span, answer=after if seen else before)
        for seen, span in answers
    ]
    return [write, *reads]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answers", "sound"),
    [
        ([(False, (1, 5)), (True, (30, 40))], True),
        ([(False, (30, 40))], False),  # stale: the write had returned
        ([(True, (1, 5))], False),  # from the future
        ([(True, (12, 14)), (True, (15, 30))], True),
        ([(True, (12, 14)), (False, (15, 30))], False),  # seen, and then not
        ([(False, (12, 30)), (True, (12, 30))], True),
    ],
)
async def test_a_history_is_linearizable_or_not(
    answers: list[tuple[Any, tuple[int, int]]], sound: bool
) -> None:
    history = await history_of(*answers)
    async with MemoryWorld(clock=ManualClock()) as start:
        await start.storage.create_run(new_run())
        assert await explained(history, start) is sound
    assert "storage.append" in told(history)


@pytest.mark.anyio
@pytest.mark.parametrize("seen", [True, False])
async def test_an_unknown_outcome_may_have_happened_or_not(seen: bool) -> None:
    write, read = await history_of((seen, (90, 99)))
    lost = operation(
        0, "storage.append", append_of(), span=(10, 20), answer=WorldUnavailableError("gone")
    )
    async with MemoryWorld(clock=ManualClock()) as start:
        await start.storage.create_run(new_run())
        assert await explained([lost, read], start)
        assert await explained([write, read], start) is seen


@pytest.mark.anyio
async def test_a_call_is_cancelled_before_or_after_what_it_waits_for() -> None:
    done: list[str] = []

    async def call() -> str:
        await asyncio.sleep(0)
        done.append("one")
        await asyncio.sleep(0.001)
        done.append("two")
        return "answer"

    assert await run_cancelled(call, 1, Moment.EARLY) == (True, None)
    assert done == []
    assert await run_cancelled(call, 2, Moment.LATE) == (True, None)
    assert done == ["one"]
    assert await run_cancelled(call, 3, Moment.EARLY) == (False, "answer")
    driver = CancelAt(call())
    await driver
    assert driver.suspensions == 2


@pytest.mark.anyio
async def test_a_swallowed_cancellation_is_told() -> None:
    async def call() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return "as if nothing had been asked"

    with pytest.raises(Swallowed):
        await run_cancelled(call, 1, Moment.EARLY)


@pytest.mark.slow
def test_a_shared_store_that_no_other_process_can_open_is_told() -> None:
    store, _ = mutants_stores.STORES["shared works undeclared"]
    report = certify(
        mutants_stores.in_files(mutants_stores.with_more(Capability.SHARED)),
        seed=1,
        only=lambda name: name == "processes share a store",
        opener="nowhere:at_all",
    )
    assert store is not None
    assert "nowhere:at_all" in report.checks[0].failure
    assert "give `opener`" in report.checks[0].failure


def test_a_failure_in_a_test_names_the_check_and_the_seed() -> None:
    broken, _ = killing.ALL["no fencing"]
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # of whatever kind
        check_world(broken, seed=7)
    notes = "\n".join(caught.value.__notes__)
    assert "conformance check: " in notes
    assert "seed 7" in notes


@pytest.mark.slow
def test_a_soak_begins_again_with_the_next_seed() -> None:
    report = certify(
        sound(), tier="smoke", seed=5, only=lambda name: name == "text is exact", seconds=0.2
    )
    assert report.passed
    seeds = [check.seed for check in report.checks]
    assert len(seeds) > 1
    assert seeds == list(range(5, 5 + len(seeds)))


@pytest.mark.slow
def test_at_least_one_program_is_played_and_only_those_with_calls_are_counted() -> None:
    store = store_at("memory://")
    assert run_programs(store, "storage", seed=1, programs=8, calls=25, seconds=0) == 1
    assert 1 < run_programs(store, "storage", seed=1, programs=8, calls=25, seconds=math.inf) < 8


def test_what_warns_is_as_it_was_when_the_kit_is_done() -> None:
    before = list(warnings.filters)
    report = certify(sound(), seed=1, only=lambda name: name.startswith(("blobs", "text")))
    assert report.passed
    assert warnings.filters == before
    broken, _ = killing.ALL["no fencing"]
    with pytest.raises(AssertionError):
        check_world(broken, seed=7)
    assert warnings.filters == before


def test_others_may_ask_for_random_numbers_while_programs_are_drawn() -> None:
    with random_allowed_elsewhere(), deprecate_random_in_strategy("from {}", "a rule"):
        random.random()
    with (
        pytest.raises(HypothesisDeprecationWarning),
        deprecate_random_in_strategy("from {}", "a rule"),
    ):
        random.random()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_fence_in_one_process_only_is_told_each_time(seed: int) -> None:
    broken, opener = killing.ALL["fenced in one process only"]
    report = certify(
        broken,
        seed=seed,
        only=lambda name: name == "processes share a store",
        opener=opener,
    )
    assert "wins each turn number" in report.checks[0].failure


@pytest.mark.slow
def test_a_store_that_is_said_to_last_must_be_opened_by_another_process() -> None:
    report = certify(
        mutants_stores.in_files(lambda world: world),
        seed=1,
        only=lambda name: name == "what was acknowledged outlives a kill",
        opener="nowhere:at_all",
    )
    assert "durable is declared" in report.checks[0].failure


def test_every_check_has_a_name_of_its_own() -> None:
    assert len(set(check_names())) == len(check_names())


def test_storage_needs_a_place_for_a_name() -> None:
    with pytest.raises(UsageError, match=r"\{n\}"):
        store_at("sqlite:///same.db")
    with pytest.raises(UsageError, match="not a function"):
        store_at("memory://", opener="nothing")


def test_every_machine_has_its_check() -> None:
    assert tuple(MACHINES) == _kit.MACHINES


def test_when_a_hook_was_made_counts_only_where_clocks_are_the_kits() -> None:
    """By its own clock a world says another time than the reference world."""
    hook = HookRecord(
        run_id=RunId("run_a"),
        hook_id=EntityId("hook_1"),
        token="t",
        metadata=None,
        is_webhook=False,
        created_at_ms=1,
    )
    later = replace(hook, created_at_ms=2)
    assert _calls.comparable(hook, times=False) == _calls.comparable(later, times=False)
    assert _calls.comparable(hook) != _calls.comparable(later)


@pytest.mark.anyio
async def test_any_objects_calls_fail_before_or_after_they_took_effect() -> None:
    class Shelf:
        def __init__(self) -> None:
            self.books: list[str] = []

        async def put(self, book: str) -> int:
            self.books.append(book)
            return len(self.books)

    shelf, asked = Shelf(), list[str]()
    faults = iter((Fault.BEFORE, Fault.AFTER, Fault.NONE))

    def strike(call: str) -> Fault:
        asked.append(call)
        return next(faults)

    faulty = FaultyCalls(shelf, "shelf", strike)
    with pytest.raises(WorldUnavailableError, match="before"):
        await faulty.put("a")
    assert shelf.books == []
    with pytest.raises(WorldUnavailableError, match="after"):
        await faulty.put("b")
    assert shelf.books == ["b"]
    assert await faulty.put("c") == 2
    assert asked == ["shelf.put"] * 3
