"""Transfers: runs that leave one storage and come to another, beside the reference world."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel

from ..._core.transfer import work_of
from ..._model.commit import Append
from ..._model.events import Event, EventType
from ..._model.hooks import HookClaim
from ..._model.ids import EntityId, RunId
from ..._model.queue import MessageClaim, NewMessage
from ..._model.runs import RunRecord, RunStatus
from ..._model.snapshot import Snapshot
from ..._model.transfer import Departure, RunCopy
from ...abc import World
from ...errors import (
    HookNotFoundError,
    HookTokenHeldError,
    LeaseLostError,
    PerdureError,
    RunBusyError,
    RunEndedError,
    RunExistsError,
    RunLiveError,
    RunMovedError,
    RunNotFoundError,
)
from ..clock import ManualClock
from ..memory import MemoryWorld
from ._calls import answer_of, comparable
from ._case import RUN, Case, append_of, commit_of, event_of, expect, named, new_run

__all__ = ("TRANSFERS",)

AWAY = Departure(run_id=RUN, to="elsewhere://")
TOPICS = ("q/one", "q/two")
LARGE = 40_000  # bytes; more than any world keeps in the document of a run


def message(name: str, *, topic: str = TOPICS[0], **changes: Any) -> NewMessage:
    """A step of the run to be sent."""
    values: dict[str, Any] = {"body": name.encode(), "due_ms": 0, "lease_ms": None}
    return NewMessage(message_id=f"{RUN}/{name}", run_id=RUN, topic=topic, **{**values, **changes})


async def build(world: World, clock: ManualClock, *, events: int) -> None:
    """A run that has something of everything: claims lost, returned and ended, all but live."""
    await world.storage.create_run(new_run(attributes={"a": "é\0"}, idempotency_key="key"))
    hooks = (
        HookClaim(hook_id=EntityId("hook_1"), token="t", metadata=b"\0\xff", keep_until_ms=9),
        HookClaim(hook_id=EntityId("hook_2"), token="u", is_webhook=True),
    )
    many = tuple(event_of(f"step_{n}/created", EventType.STEP_CREATED) for n in range(9, events))
    first = commit_of(0, hooks_claimed=hooks, events=many)
    await world.storage.commit(
        replace(first, snapshot=Snapshot(turn=1, parent_turn=None, consumed=1, data=b"s" * LARGE))
    )
    messages = (
        message("step_1", body=b"x" * LARGE, lease_ms=50),
        message("step_2", topic=TOPICS[1]),
        message("step_3", due_ms=clock.now_ms() + 5_000),
        message("step_4", body=b""),
    )
    record = await world.storage.get_run(RUN)
    second = commit_of(1, expected_position=record.position, messages=messages)
    await world.storage.commit(
        replace(second, snapshot=Snapshot(turn=2, parent_turn=1, consumed=2, data=b"link"))
    )
    await world.storage.append(append_of("step_9/end", run_id=RUN, wake=False))
    (wake,) = await world.queue.claim_wakes(limit=1, visibility_ms=50)
    for claim in await world.queue.claim_messages([TOPICS[1]], limit=1, visibility_ms=50):
        await world.queue.release(claim.lease, delay_ms=7, ran=False)
    await world.queue.claim_messages([TOPICS[0]], limit=9, visibility_ms=60)
    clock.advance(55)  # the wake and step_1 are lost; step_4 is held for 5 more
    await world.queue.wake(wake.run_id, due_ms=clock.now_ms() + 900)
    for n, chunks in enumerate(([b"a", b""], [], [b"b" * LARGE])):
        await world.streams.append(RUN, "log", chunks, writer="w", sequence=n)
    await world.streams.append(RUN, "done", [b"c"], writer="v", sequence=0)
    await world.streams.append(RUN, "done", [], writer="v", sequence=0, attempt=2)
    await world.streams.close(RUN, "done")
    await world.streams.append(RUN, "done", [], writer="v", sequence=0, attempt=3)
    await world.streams.append(RUN, "$reply", [b"r"], writer="w", sequence=0)
    await world.streams.append(RUN, "gone", [b"r"], writer="w", sequence=0)
    await world.streams.delete(RUN, "gone")


async def packed(world: World) -> RunCopy:
    """A departed run, whole."""
    record = await world.storage.get_run(RUN)
    return RunCopy(
        record=record,
        events=await world.storage.read_events(RUN, limit=100_000),
        chain=await world.snapshots.load(RUN),
        streams=await world.transfer.read_streams(RUN),
    )


async def seen(world: World, clock: ManualClock) -> list[Any]:
    """All there is to see of a run: all that can be read, and each claim with its time."""
    await world.settle()
    answers: list[Any] = [
        await world.storage.get_run(RUN),
        await world.storage.read_events(RUN, limit=100_000),
        await world.storage.load_run(RUN),
        await world.transfer.read_streams(RUN),
        await world.storage.get_hook("t"),
        await world.storage.get_hook("u"),
        await world.streams.append(RUN, "log", [b"again"], writer="w", sequence=0),
        await answer_of(world, "streams.close", (RUN, "done"), {"writer": "v", "attempt": 2}),
        await world.streams.list_streams(RUN),
        (await world.storage.create_run(new_run(idempotency_key="key")))[1],
    ]
    for ms in (0, 100, 1_000, 10_000):
        clock.advance(ms)
        answers += [
            await world.queue.claim_wakes(limit=9, visibility_ms=10),
            await world.queue.claim_messages(TOPICS, limit=9, visibility_ms=10),
        ]
    return [comparable(answer, times=True) for answer in answers]


async def a_run_arrives_as_it_left(case: Case) -> None:
    """A copy is the same from every world, and a world goes on with one as the reference does."""
    events = 400 if case.thorough else 150
    start = ManualClock().now_ms()
    copies: list[RunCopy] = []
    for is_reference in (False, True):
        clock = ManualClock(start)
        async with MemoryWorld(clock=clock) if is_reference else case.make(clock) as world:
            await build(world, clock, events=events)
            clock.advance(10)
            answer = await world.transfer.depart(AWAY)
            copies.append(await packed(world))
            expect(
                comparable(answer) == comparable(copies[-1].record), "depart gives the run as it is"
            )
    expect(comparable(copies[0]) == comparable(copies[1]), "a departed run has all that it had")
    views: list[list[Any]] = []
    for copy in copies:
        with case.fresh() as make:
            clock = ManualClock(start + 65)
            async with make(clock) as world:
                for _ in range(2):  # the second changes nothing
                    await world.transfer.arrive(copy)
                views.append(await seen(world, clock))
        clock = ManualClock(start + 65)
        async with MemoryWorld(clock=clock) as reference:
            await reference.transfer.arrive(copy)
            expect(
                views[-1] == await seen(reference, clock),
                "a run that arrives has position, time, counter and due time as they were",
            )


async def a_departed_run_is_kept_and_absorbs_nothing(case: Case) -> None:
    """From its departure nothing lands; until it has arrived nothing deletes it."""
    clock = ManualClock()
    async with case.open(clock) as world:
        await build(world, clock, events=20)
        claims = await world.queue.claim_messages(TOPICS, limit=9, visibility_ms=60_000)
        await refused(RunBusyError, world.transfer.depart(AWAY), "a running step bars the run")
        before = (await world.storage.get_run(RUN)).position
        record = await world.transfer.depart(replace(AWAY, lose_claims=True))
        expect(
            (record.status, record.position) == (RunStatus.MOVING, before + 1),
            "a departure is one event, and a status",
        )
        again = await world.transfer.depart(AWAY)
        expect(comparable(again) == comparable(record), "departing again changes nothing")
        other = replace(AWAY, to="other://")
        await refused(RunMovedError, world.transfer.depart(other), "a run departs once")
        late = commit_of(record.turn, expected_position=record.position)
        await refused(RunEndedError, world.storage.commit(late), "no turn lands after it")
        append = Append(run_id=RUN, event=event_of("step_1/end"), lease=claims[0].lease)
        await refused(RunEndedError, world.storage.append(append), "no result lands after it")
        await refused(LeaseLostError, world.queue.release(claims[0].lease), "its claims are gone")
        await refused(HookNotFoundError, world.storage.get_hook("t"), "its hooks are free")
        await world.queue.wake(RUN, due_ms=0)
        clock.advance(100_000)
        expect(not await world.queue.claim_wakes(limit=9, visibility_ms=1), "it has no wake")
        rest = await world.queue.claim_messages(TOPICS, limit=9, visibility_ms=1)
        expect(not rest, "it has no messages")
        await refused(RunLiveError, world.catalogue.delete_run(RUN), "it cannot be deleted")
        expect(await world.catalogue.purge(ended_before_ms=clock.now_ms()) == 0, "nor purged")
        copy = await packed(world)
        expect(comparable(copy.record) == comparable(record), "nothing of it has changed")
        losses = [one for one in work_of(copy).messages if one.losses]
        expect(len(losses) >= len(claims), "claims that were live count as lost")
        moved = await world.transfer.confirm(RUN)
        expect(moved == replace(record, status=RunStatus.MOVED), "confirming is a status")
        expect(moved == await world.transfer.confirm(RUN), "confirming again changes nothing")
        expect((await world.transfer.depart(AWAY)) == moved, "departing again changes nothing")
        await world.catalogue.delete_run(RUN)
        await refused(RunNotFoundError, world.transfer.confirm(RUN), "it is gone")


async def an_arrival_is_whole_or_nothing(case: Case) -> None:
    """A barred arrival leaves nothing; of many at once one run comes of it, once."""
    clock = ManualClock()
    async with MemoryWorld(clock=clock) as reference:
        await build(reference, clock, events=20)
        clock.advance(10)
        await reference.transfer.depart(AWAY)
        copy = await packed(reference)
    async with case.open(clock) as world:
        await world.storage.create_run(new_run("run_b"))
        claim = HookClaim(hook_id=EntityId("hook_1"), token="u")
        await world.storage.commit(commit_of(0, run_id=RunId("run_b"), hooks_claimed=(claim,)))
        await refused(HookTokenHeldError, world.transfer.arrive(copy), "a token has one holder")
        await refused(RunNotFoundError, world.storage.get_run(RUN), "an arrival is all or nothing")
        await refused(HookNotFoundError, world.storage.get_hook("t"), "or it claims nothing")
        claims = await world.queue.claim_messages(TOPICS, limit=9, visibility_ms=1)
        expect(not claims, "or it sends nothing")
        end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=1)
        await world.storage.append(Append(run_id=RunId("run_b"), event=end))
        records: list[RunRecord] = []

        async def arrive() -> None:
            records.append(await world.transfer.arrive(copy))

        await at_once([arrive] * 4)
        expect(len({repr(comparable(r)) for r in records}) == 1, "it arrives once")
        await world.storage.append(append_of("step_1/end"))
        gone_on = await world.storage.get_run(RUN)
        expect(await world.transfer.arrive(copy) == gone_on, "arriving again changes nothing")
        another = replace(copy, record=replace(copy.record, created_at_ms=7))
        await refused(RunExistsError, world.transfer.arrive(another), "a run id is one run's")
        await world.storage.create_run(new_run("run_c"))
        other = replace(copy, record=replace(copy.record, run_id=RunId("run_c")))
        await refused(RunExistsError, world.transfer.arrive(other), "a run id is one run's")


async def a_departure_is_one_moment(case: Case) -> None:
    """Writes acknowledged before it are in it, also while others claim and write."""
    for round_ in range(6 if case.thorough else 2):
        with case.fresh() as make:
            async with make(ManualClock()) as world:
                await _depart_amidst(world, round_)


async def _depart_amidst(world: World, turns: int) -> None:
    await world.storage.create_run(new_run())
    names = [f"step_{n}" for n in range(1, 7)]
    await world.storage.commit(commit_of(0, messages=tuple(message(name) for name in names)))
    claims: list[MessageClaim] = []
    positions: list[int] = []

    async def claim() -> None:
        for _ in names:
            claims.extend(await world.queue.claim_messages(TOPICS, limit=1, visibility_ms=60_000))

    async def append(n: int) -> None:
        for key in (f"step_9{n}/end", f"step_8{n}/end"):
            try:
                positions.append((await world.storage.append(append_of(key))).position)
            except RunEndedError:
                return

    async def depart() -> None:
        for _ in range(turns * 2):
            await anyio.lowlevel.checkpoint()
        await world.transfer.depart(replace(AWAY, lose_claims=True))

    calls: list[Callable[[], Coroutine[object, object, None]]] = [claim, depart, claim]
    await at_once([*calls, lambda: append(1), lambda: append(2)])
    copy = await packed(world)
    expect([e.position for e in copy.events] == [*range(1, copy.record.position + 1)], "dense")
    expect(
        {e.position for e in copy.events[:-1]} >= set(positions),
        "what was acknowledged is before the departure",
    )
    counted = {
        one.message.message_id.partition("/")[2]: (one.claims, one.losses)
        for one in work_of(copy).messages
    }
    names_claimed = [one.message.message_id.partition("/")[2] for one in claims]
    wanted = {name: (names_claimed.count(name), names_claimed.count(name)) for name in names}
    expect(counted == wanted, "every claim that was handed out before it is counted")


async def at_once(calls: Sequence[Callable[[], Coroutine[object, object, None]]]) -> None:
    """All of them, concurrently."""
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


async def refused(
    error: type[PerdureError], call: Coroutine[object, object, object], promise: str
) -> None:
    """Fail unless the call is refused by this error."""
    try:
        await call
    except PerdureError as failure:
        expect(type(failure) is error, f"{promise}: {type(failure).__name__}")
    else:
        expect(False, promise)


TRANSFERS = named(
    a_run_arrives_as_it_left,
    a_departed_run_is_kept_and_absorbs_nothing,
    an_arrival_is_whole_or_nothing,
    a_departure_is_one_moment,
)
