"""Graceful: runs that are asked to end by themselves, and are told so by an event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..._model.commit import Append, TurnCommit
from ..._model.events import Event, EventType
from ..._model.ids import RunId
from ..._model.queue import MessageClaim, NewMessage
from ..._model.runs import RunOutcome, RunStatus
from ..._model.transfer import Departure, RunCopy
from ...abc import World
from ...errors import StaleTurnError
from ..clock import ManualClock
from ..memory import MemoryWorld
from ._case import RUN, Case, commit_of, expect, named, new_run

__all__ = ("GRACEFUL",)

TOPIC = "default/m:f"
DEADLINE_MS = 60_000
WHY = b"\x63why"


def request(run_id: str = RUN, **facts: int) -> Append:
    """The event that asks a run to end."""
    event = Event(
        type=EventType.CANCEL_REQUESTED,
        key="run/cancel",
        at_ms=9,
        payload=WHY,
        facts={"deadline_ms": DEADLINE_MS, **facts},
    )
    return Append(run_id=RunId(run_id), event=event)


def message(name: str, *, lease_ms: int | None = None, due_ms: int = 0) -> NewMessage:
    """A step to run."""
    return NewMessage(
        message_id=f"{RUN}/{name}",
        run_id=RUN,
        topic=TOPIC,
        body=b"body",
        due_ms=due_ms,
        lease_ms=lease_ms,
    )


async def claimed(world: World, limit: int = 99) -> dict[str, MessageClaim]:
    """The messages that are due, claimed, by the names of their steps."""
    await world.settle()
    claims = await world.queue.claim_messages([TOPIC], limit=limit, visibility_ms=50_000)
    return {claim.message.message_id.partition("/")[2]: claim for claim in claims}


async def asked_facts(world: World) -> list[dict[str, Any]]:
    """The facts of the requests in the run's log."""
    events = [logged.event for logged in await world.storage.read_events(RUN)]
    return [dict(e.facts) for e in events if e.type is EventType.CANCEL_REQUESTED]


async def a_request_withdraws_what_nobody_runs(case: Case) -> None:
    """And says in the log which steps are running, and which had begun."""
    clock = ManualClock(1_000)
    async with case.open(clock) as world:
        storage, queue = world.storage, world.queue
        await storage.create_run(new_run())
        messages = [message(f"step_{n}", lease_ms=50_000 if n == 1 else None) for n in range(1, 5)]
        messages += [message("step_5", lease_ms=10), message("step_6", due_ms=5_000)]
        committed = await storage.commit(commit_of(0, messages=tuple(messages)))
        clock.advance(20)
        claims = await claimed(world, limit=3)
        expect(set(claims) <= {"step_2", "step_3", "step_4", "step_5"}, "what is due is claimed")
        await queue.release(claims["step_2"].lease, delay_ms=0, ran=True)
        await queue.release(claims["step_3"].lease, delay_ms=0, ran=False)
        appended = await storage.append(request())
        expect(not appended.duplicate, "the request is new")
        facts = {
            "deadline_ms": DEADLINE_MS,
            "running": "step_1 step_4",
            "retrying": "step_2 step_5",
        }
        expect(await asked_facts(world) == [facts], "steps that had begun are told apart")
        expect((await storage.get_run(RUN)).cancel_at_ms == DEADLINE_MS, "the record has the time")
        clock.advance(10_000)
        expect(await claimed(world) == {}, "what nobody ran is gone")
        inline = next(lease for lease in committed.leases if lease.item.endswith("step_1"))
        leases = [inline, claims["step_4"].lease]
        expect(len(await queue.extend(leases, visibility_ms=9_000)) == 2, "what runs goes on")
        (wake,) = await queue.claim_wakes(limit=9, visibility_ms=9_000)
        expect(wake.run_id == RUN, "and the run is due")
        again = await storage.append(request(deadline_ms=5))
        expect((again.duplicate, again.position) == (True, appended.position), "it is asked once")
        expect((await storage.get_run(RUN)).cancel_at_ms == DEADLINE_MS, "and its time stays")


async def a_turn_that_knows_of_no_request_is_stale(case: Case) -> None:
    """Also one that delivers nothing: it would send steps that the request was to withdraw."""
    async with case.open(ManualClock(1_000)) as world:
        storage = world.storage
        await storage.create_run(new_run())
        await storage.commit(commit_of(0))
        await storage.append(request())
        before = await storage.read_events(RUN)
        late = commit_of(1, expected_position=3, messages=(message("step_9"),))
        await _refused(world, late)
        await _refused(world, replace(late, commit_id="other", cancel_at_ms=DEADLINE_MS + 1))
        expect(await storage.read_events(RUN) == before, "a refused turn changes nothing")
        expect(await claimed(world) == {}, "and sends nothing")
        aware = replace(late, commit_id="aware", cancel_at_ms=DEADLINE_MS)
        answer = await storage.commit(aware)
        expect(answer.turn == 2, "a turn that knows of it lands")
        expect(list(await claimed(world)) == ["step_9"], "and sends what it has to clean up")
        expect(await storage.commit(aware) == answer, "asked again it has the same answer")
        follow = commit_of(2, expected_position=answer.position, cancel_at_ms=DEADLINE_MS)
        await storage.commit(follow)
        record = await storage.get_run(RUN)
        expect((record.turn, record.cancel_at_ms) == (3, DEADLINE_MS), "so does the next one")
        state = await storage.load_run(RUN)
        expect(state.record == record, "and a worker that loads it knows, too")


async def _refused(world: World, commit: TurnCommit) -> None:
    try:
        await world.storage.commit(commit)
    except StaleTurnError:
        return
    expect(False, "a turn that does not know of the request is stale")


async def a_turn_may_end_a_run_as_cancelled(case: Case) -> None:
    """By the event of that, and with the reason."""
    async with case.open(ManualClock(1_000)) as world:
        storage = world.storage
        for name in (RUN, "run_b"):
            await storage.create_run(new_run(name))
        outcome = RunOutcome(status=RunStatus.CANCELLED, payload=WHY, at_ms=77)
        await storage.append(request())
        await storage.commit(
            commit_of(0, expected_position=2, cancel_at_ms=DEADLINE_MS, outcome=outcome)
        )
        await storage.append(request("run_b"))
        cancelled = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=77, payload=WHY)
        await storage.append(Append(run_id=RunId("run_b"), event=cancelled, wake=False))
        for name in (RUN, RunId("run_b")):
            record = await storage.get_run(name)
            end = (record.status, record.payload, record.ended_at_ms, record.cancel_at_ms)
            expect(end == (RunStatus.CANCELLED, WHY, 77, DEADLINE_MS), "its record says so")
            last = (await storage.read_events(name))[-1].event
            expect(
                (last.type, last.key, last.payload) == (EventType.RUN_CANCELLED, "run/ended", WHY),
                "and so does its log",
            )
        ended = await storage.append(request("run_b"))
        expect(ended.duplicate, "a request that is there is looked up before anything else")
        wakes = await world.queue.claim_wakes(limit=9, visibility_ms=9_000)
        expect(wakes == (), "and nothing is due any more")


async def a_request_goes_with_its_run(case: Case) -> None:
    """A run that comes from another world, or leaves for one, keeps its deadline."""
    clock = ManualClock(1_000)
    async with case.open(clock) as world, MemoryWorld(clock=clock) as reference:
        await reference.storage.create_run(new_run())
        await reference.storage.append(request())
        await reference.transfer.depart(Departure(run_id=RUN, to="elsewhere://"))
        arrived = await world.transfer.arrive(await _copied(reference))
        expect(arrived.cancel_at_ms == DEADLINE_MS, "it comes with its deadline")
        commit = commit_of(0, expected_position=arrived.position)
        await _refused(world, commit)
        await world.storage.commit(replace(commit, cancel_at_ms=DEADLINE_MS))
        await world.transfer.depart(Departure(run_id=RUN, to="memory://"))
        copy = await _copied(world)
        expect(copy.record.cancel_at_ms == DEADLINE_MS, "and leaves with it")


async def _copied(world: World) -> RunCopy:
    record = await world.storage.get_run(RUN)
    return RunCopy(record=record, events=await world.storage.read_events(RUN), chain=(), streams=())


GRACEFUL = named(
    a_request_withdraws_what_nobody_runs,
    a_turn_that_knows_of_no_request_is_stale,
    a_turn_may_end_a_run_as_cancelled,
    a_request_goes_with_its_run,
)
