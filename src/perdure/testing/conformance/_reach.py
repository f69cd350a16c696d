"""Reach: cancels that go on to the runs that a run has started, and those of one run for others."""

from __future__ import annotations

from dataclasses import replace

from ..._core.children import lineage
from ..._model.children import ChildStart
from ..._model.commit import Append, TurnCommit
from ..._model.events import Event, EventType
from ..._model.ids import EntityId, RunId
from ..._model.runs import RunRecord, RunStatus
from ...abc import World
from ..clock import ManualClock
from ._case import RUN, Case, commit_of, expect, named, new_run

__all__ = ("MIDDLE", "REACH", "build_family", "cancel", "records")

MIDDLE, LOW, SHARED, APART = map(RunId, ("run_middle", "run_low", "run_shared", "run_apart"))
WHY = b"\x63why"
DEADLINE_MS = 60_000


def cancel(run_id: str = RUN, *, children: bool = True, deadline_ms: int | None = None) -> Append:
    """The event that cancels a run, or asks it to end by then."""
    is_request = deadline_ms is not None
    facts: dict[str, int | bool] = {"children": True} if children else {}
    if deadline_ms is not None:
        facts["deadline_ms"] = deadline_ms
    event = Event(
        type=EventType.CANCEL_REQUESTED if is_request else EventType.RUN_CANCELLED,
        key="run/cancel" if is_request else "run/ended",
        at_ms=9,
        payload=WHY,
        facts=facts,
    )
    return Append(run_id=RunId(run_id), event=event)


def starting(parent: str, *children: str) -> TurnCommit:
    """A turn of *parent* that starts runs, as workers write it."""
    parent_id, created = RunId(parent), EventType.CHILD_CREATED
    events = [
        Event(
            type=created,
            key=f"child_{n}/created",
            at_ms=2,
            entity=EntityId(f"child_{n}"),
            facts={"run_id": child},
        )
        for n, child in enumerate(children)
    ]
    starts = [
        ChildStart(
            entity=EntityId(f"child_{n}"),
            new=new_run(child, attributes=lineage(parent_id, {})),
        )
        for n, child in enumerate(children)
    ]
    return commit_of(0, run_id=parent_id, events=tuple(events), starts=tuple(starts))


async def build_family(world: World) -> None:
    """A run with a child that has one, another's run that it asked for, too, and one apart."""
    for name in (RUN, SHARED, APART):
        await world.storage.create_run(new_run(name))
    await world.storage.commit(starting(RUN, MIDDLE, SHARED, "run_gone"))
    await world.storage.commit(starting(MIDDLE, LOW))
    await world.storage.append(cancel("run_gone", children=False))
    await world.settle()
    await world.catalogue.delete_run(RunId("run_gone"))


async def records(world: World) -> list[RunRecord]:
    """Those of the family, then of the others."""
    await world.settle()
    return [await world.storage.get_run(one) for one in (RUN, MIDDLE, LOW, SHARED, APART)]


async def a_cancel_reaches_the_runs_that_were_started(case: Case) -> None:
    """If it says so, and theirs; nobody else's, nor any if it does not."""
    async with case.open(ManualClock(1_000)) as world:
        await build_family(world)
        await world.storage.append(cancel(MIDDLE, children=False, deadline_ms=DEADLINE_MS))
        expect((await records(world))[2].cancel_at_ms is None, "children are left by default")
        appended = await world.storage.append(cancel())
        ended = [record.status.is_ended for record in await records(world)]
        expect(ended == [True, True, True, False, False], "a family ends together")
        for record in (await records(world))[:3]:
            end = (record.status, record.payload, record.ended_at_ms)
            expect(end == (RunStatus.CANCELLED, WHY, 9), "each is cancelled for the reason")
        again = await world.storage.append(cancel())
        expect(again == replace(appended, duplicate=True), "and once")


async def a_request_reaches_the_runs_that_were_started(case: Case) -> None:
    """Each is asked to end by the same time, is due, and sends nothing that it did not know of."""
    async with case.open(ManualClock(1_000)) as world:
        await build_family(world)
        wakes = await world.queue.claim_wakes(limit=99, visibility_ms=1)
        expect(len(wakes) >= 3, "runs that were created are due")
        await world.storage.append(cancel(deadline_ms=DEADLINE_MS))
        times = [record.cancel_at_ms for record in await records(world)]
        expect(times == [DEADLINE_MS] * 3 + [None] * 2, "a family is asked together")
        last = (await world.storage.read_events(LOW))[-1].event
        parts = (last.type, last.key, last.payload, dict(last.facts))
        facts = {"children": True, "deadline_ms": DEADLINE_MS}
        expect(
            parts == (EventType.CANCEL_REQUESTED, "run/cancel", WHY, facts),
            "by the same event",
        )


async def a_turn_cancels_other_runs(case: Case) -> None:
    """Once it has landed they are cancelled, or asked to end; a run that is gone is no error."""
    async with case.open(ManualClock(1_000)) as world:
        await build_family(world)
        nobody = cancel("run_nobody")
        turn = commit_of(0, run_id=APART, cancels=(nobody, cancel(MIDDLE), cancel(SHARED)))
        answer = await world.storage.commit(turn)
        ended = [record.status.is_ended for record in await records(world)]
        expect(ended == [False, True, True, True, False], "what a turn cancels is cancelled")
        expect(await world.storage.commit(turn) == answer, "asked again it has the same answer")
        last = commit_of(1, run_id=APART, expected_position=answer.position)
        await world.storage.commit(
            replace(last, cancels=(cancel(deadline_ms=DEADLINE_MS), cancel(SHARED)))
        )
        times = [record.cancel_at_ms for record in await records(world)]
        expect(times == [DEADLINE_MS, None, None, None, None], "one that goes on is asked")


REACH = named(
    a_cancel_reaches_the_runs_that_were_started,
    a_request_reaches_the_runs_that_were_started,
    a_turn_cancels_other_runs,
)
