"""Families: runs that a turn starts, and runs that are told the end of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..._model.children import ChildStart, Watch
from ..._model.commit import Append
from ..._model.events import Event, EventType
from ..._model.ids import EntityId, RunId
from ..._model.queue import LeaseEnd
from ..._model.runs import RunOutcome, RunStatus
from ..._model.transfer import Departure
from ...abc import World
from ...errors import RunNotFoundError, RunWatchedError
from ..clock import ManualClock
from ._case import RUN, Case, commit_of, expect, named, new_run
from ._conversations import TOKEN, keyed

__all__ = ("FAMILIES",)

CHILD, OTHER = RunId("run_child"), RunId("run_other")
DONE = RunOutcome(status=RunStatus.COMPLETED, payload=b"done", at_ms=7)
BROKEN = RunOutcome(status=RunStatus.FAILED, payload=b"broken", at_ms=8, code="USER_ERROR")


def child(run_id: str = CHILD, *, n: int = 1, asks: bool = False, **changes: Any) -> ChildStart:
    """The start of a run, for the entity ``child_n``."""
    return ChildStart(entity=EntityId(f"child_{n}"), new=new_run(run_id, **changes), asks=asks)


def watch(run_id: str = CHILD, *, n: int = 2) -> Watch:
    """For the entity ``watch_n``."""
    return Watch(entity=EntityId(f"watch_{n}"), run_id=RunId(run_id))


async def told(world: World, run_id: str) -> list[tuple[EventType, str, dict[str, Any]]]:
    """The events that others wrote to a run's log: kind, key and facts."""
    kinds = (EventType.CHILD_STARTED, EventType.CHILD_CONFLICT, EventType.CHILD_ENDED)
    await world.settle()
    events = [logged.event for logged in await world.storage.read_events(RunId(run_id))]
    return [(e.type, e.key, dict(e.facts)) for e in events if e.type in kinds]


async def due(world: World) -> list[str]:
    """The runs whose wakes are due, each claimed and ended."""
    await world.settle()
    wakes = await world.queue.claim_wakes(limit=99, visibility_ms=50_000)
    for wake in wakes:
        await world.queue.finish(LeaseEnd(lease=wake.lease, generation=wake.generation))
    return sorted(wake.run_id for wake in wakes)


def cancelled(run_id: str) -> Append:
    """The event that cancels a run."""
    event = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=9, payload=b"why")
    return Append(run_id=RunId(run_id), event=event)


async def a_turn_starts_runs(case: Case) -> None:
    """They are there once the commit is answered, as ``create_run`` makes them, also at an end."""
    async with case.open(ManualClock(1_000)) as world:
        storage = world.storage
        await storage.create_run(new_run())
        await due(world)
        start = child(attributes={"a": "b"}, entry="w.ts#f", payload=b"input")
        commit = commit_of(0, starts=(start,))
        answer = await storage.commit(commit)
        await world.settle()
        record = await storage.get_run(CHILD)
        expect(
            (record.workflow, record.attributes, record.secret, record.base_url, record.position)
            == ("w", {"a": "b"}, start.new.secret, start.new.base_url, 1),
            "the child is as it was asked for",
        )
        (created,) = await storage.read_events(CHILD)
        facts = created.event.facts
        expect((facts.get("entry"), created.event.payload) == ("w.ts#f", b"input"), "so is its log")
        expect(await due(world) == [CHILD], "it is due at once, and its parent is not")
        expect(await storage.commit(commit) == answer, "the same commit has the same answer")
        expect(await due(world) == [], "and starts nothing again")
        end = commit_of(1, starts=(child(OTHER),), outcome=DONE)
        await storage.commit(end)
        expect(await due(world) == [OTHER], "a run that ends starts another all the same")


async def a_start_has_an_answer(case: Case) -> None:
    """A run that is there already is a conflict, or the same one; and so is a token."""
    async with case.open(ManualClock(1_000)) as world:
        storage = world.storage
        for run in (new_run(), new_run(CHILD), keyed("run_holder")):
            await storage.create_run(run)
        await due(world)
        hook = keyed("run_loser").hook
        starts = (
            child(CHILD, n=1, asks=True),
            child(CHILD, n=2, payload=b"\x81\x01"),
            child("run_loser", n=3, hook=hook, asks=True),
            child("run_new", n=4, hook=replace(hook, token="free") if hook else None, asks=True),
        )
        commit = commit_of(0, starts=starts)
        answer = await storage.commit(commit)
        answers = [
            (EventType.CHILD_STARTED, "child_1/end", {"run_id": CHILD}),
            (EventType.CHILD_CONFLICT, "child_2/end", {"run_id": CHILD}),
            (EventType.CHILD_CONFLICT, "child_3/end", {"run_id": "run_holder", "token": TOKEN}),
            (EventType.CHILD_STARTED, "child_4/end", {"run_id": "run_new"}),
        ]
        expect(await told(world, RUN) == answers, "each start that asks is answered, in order")
        expect(await due(world) == [RUN, "run_new"], "the parent and the new run are due")
        expect((await storage.get_hook("free")).run_id == "run_new", "which has its token")
        await expect_gone(world, RunId("run_loser"), "nothing of a refused start comes to be")
        expect((await storage.commit(commit)).turn == answer.turn, "the commit can be asked again")
        expect(await told(world, RUN) == answers, "which answers nothing again")


async def every_end_is_told(case: Case) -> None:
    """Each watcher of a run is told its end once, by any write that ends it, and is due."""
    outcomes = {
        "completed": (DONE, {"status": "completed"}, b"done"),
        "failed": (BROKEN, {"status": "failed", "code": "USER_ERROR"}, b"broken"),
        "cancelled": (None, {"status": "cancelled"}, b"why"),
    }
    for outcome, facts, payload in outcomes.values():
        with case.fresh() as make:
            async with make(ManualClock(1_000)) as world:
                await _tell_end(world, outcome, {"run_id": CHILD, **facts}, payload)


async def _tell_end(
    world: World, outcome: RunOutcome | None, facts: dict[str, str], payload: bytes
) -> None:
    storage = world.storage
    for name in (RUN, OTHER):
        await storage.create_run(new_run(name))
    await storage.commit(commit_of(0, starts=(child(),), watches=(watch(),)))
    await storage.commit(commit_of(0, run_id=OTHER, watches=(watch(n=5), watch(n=6))))
    await due(world)
    expect(await told(world, RUN) == [], "nothing is told before the end")
    if outcome is None:
        await storage.append(cancelled(CHILD))
        await storage.append(cancelled(CHILD))
    else:
        await storage.commit(commit_of(0, run_id=CHILD, outcome=outcome))
    end = EventType.CHILD_ENDED
    expect(await told(world, RUN) == [(end, "watch_2/end", facts)], "the end is told once")
    others = sorted(await told(world, OTHER))
    expect(others == [(end, f"watch_{n}/end", facts) for n in (5, 6)], "to each watch")
    event = (await storage.read_events(RUN))[-1].event
    expect((event.entity, event.payload) == ("watch_2", payload), "with what it ended by")
    expect(await due(world) == sorted([RUN, OTHER]), "and those who wait are due")


async def an_end_that_has_come_is_told_at_once(case: Case) -> None:
    """So is that of a run which is not there."""
    async with case.open(ManualClock(1_000)) as world:
        storage = world.storage
        for name in (RUN, OTHER):
            await storage.create_run(new_run(name))
        await storage.commit(commit_of(0, run_id=OTHER, outcome=BROKEN))
        await due(world)
        await storage.commit(commit_of(0, watches=(watch(OTHER), watch("run_nobody", n=3))))
        ended = {"run_id": OTHER, "status": "failed", "code": "USER_ERROR"}
        missing = {"run_id": "run_nobody", "status": "missing"}
        expect(
            await told(world, RUN)
            == [
                (EventType.CHILD_ENDED, "watch_2/end", ended),
                (EventType.CHILD_ENDED, "watch_3/end", missing),
            ],
            "what has ended, or is not there, is told at once",
        )
        expect(await due(world) == [RUN], "and the run is due")


async def who_is_gone_is_told_nothing(case: Case) -> None:
    """Not a watcher that has ended, nor one that was deleted and started anew."""
    async with case.open(ManualClock(1_000)) as world:
        storage = world.storage
        for name in (RUN, OTHER, CHILD):
            await storage.create_run(new_run(name))
        for name in (RUN, OTHER):
            await storage.commit(commit_of(0, run_id=name, watches=(watch(),)))
            await storage.append(cancelled(name))
        await world.settle()
        await world.catalogue.delete_run(OTHER)
        await storage.create_run(new_run(OTHER, secret=b"another life" + bytes(20)))
        await due(world)
        before = await storage.read_events(RUN)
        await storage.append(cancelled(CHILD))
        expect(await told(world, OTHER) == [], "a new life is not told what the former waited for")
        expect(await storage.read_events(RUN) == before, "a run that has ended is told nothing")
        expect(await due(world) == [], "and nobody is due")
        await world.catalogue.delete_run(CHILD)


async def a_family_stays_together(case: Case) -> None:
    """A run that waits, or is waited for, does not depart."""
    async with case.open(ManualClock(1_000)) as world:
        storage = world.storage
        await storage.create_run(new_run())
        await storage.commit(commit_of(0, starts=(child(),), watches=(watch(),)))
        await world.settle()
        pairs: Sequence[tuple[RunId, RunId]] = ((RUN, CHILD), (CHILD, RUN))
        for run_id, other in pairs:
            try:
                await world.transfer.depart(Departure(run_id=run_id, to="memory://away"))
                expect(False, "it does not depart")
            except RunWatchedError as error:
                expect(error.others == (other,), "and the other one is named")
        await storage.append(cancelled(CHILD))
        await world.settle()
        await world.transfer.depart(Departure(run_id=RUN, to="memory://away"))


async def the_dead_hold_nobody(case: Case) -> None:
    """A watcher that has ended, is gone, or lives anew does not keep a run from its departure."""
    async with case.open(ManualClock(1_000)) as world:
        storage, names = world.storage, [RunId(f"run_{n}") for n in range(3)]
        for name in (*names, CHILD):
            await storage.create_run(new_run(name))
        for name in names:
            await storage.commit(commit_of(0, run_id=name, watches=(watch(),)))
            await world.settle()
            await storage.append(cancelled(name))
        for name in names[1:]:
            await world.catalogue.delete_run(name)
        await storage.create_run(new_run(names[2], secret=b"another life" + bytes(20)))
        await world.settle()
        record = await world.transfer.depart(Departure(run_id=CHILD, to="memory://away"))
        expect(record.status is RunStatus.MOVING, "it departs")


async def a_start_lands_once(case: Case) -> None:
    """A run that was started, has ended and was deleted is not started again by the same commit."""
    async with case.open(ManualClock(1_000)) as world:
        storage = world.storage
        await storage.create_run(new_run())
        commit = commit_of(0, starts=(child(),))
        await storage.commit(commit)
        await world.settle()
        await storage.append(cancelled(CHILD))
        await world.catalogue.delete_run(CHILD)
        await storage.commit(commit)
        await due(world)
        await expect_gone(world, CHILD, "it stays deleted")


async def expect_gone(world: World, run_id: RunId, promise: str) -> None:
    """Fail if the run is there."""
    try:
        await world.storage.get_run(run_id)
    except RunNotFoundError:
        return
    expect(False, promise)


FAMILIES = named(
    a_turn_starts_runs,
    a_start_has_an_answer,
    every_end_is_told,
    an_end_that_has_come_is_told_at_once,
    who_is_gone_is_told_nothing,
    a_family_stays_together,
    the_dead_hold_nobody,
    a_start_lands_once,
)
