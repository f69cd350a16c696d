"""Conversations: the promises about levels and hook tokens, each by one short program."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio

from ..._model.commit import Append, TurnCommit
from ..._model.events import Event, EventType
from ..._model.hooks import HookClaim
from ..._model.ids import EntityId, RunId
from ..._model.runs import LEVEL, NewRun, RunFilter, RunOutcome, RunStatus
from ...abc import World
from ...errors import HookConflictError, HookNotFoundError, RunEndedError, RunNotFoundError
from ...worldkit.clock import SystemClock
from ..clock import ManualClock
from ._case import RUN, Case, append_of, commit_of, event_of, expect, named, new_run

__all__ = ("CONVERSATIONS",)

ABOVE = RunId("run_above")
TOKEN = "t"
HOOK_0 = EntityId("hook_0")


async def runs_of_a_later_version_are_left_alone(case: Case) -> None:
    """A run above our level is never handed out; it is listed, written to, woken and cancelled."""
    clock = ManualClock()
    async with case.open(clock) as world:
        storage, queue = world.storage, world.queue
        for n in range(10):  # more than a claim asks for, all due before the one that is ours
            await storage.create_run(new_run(f"run_{n:02}", level=LEVEL + 1 + n % 2))
        clock.advance(5)
        await storage.create_run(new_run(ABOVE, level=LEVEL + 1))
        await storage.commit(commit_of(0, run_id=ABOVE, wake_at_ms=clock.now_ms()))
        await storage.append(append_of(run_id=ABOVE))
        await queue.wake(ABOVE, due_ms=0)
        await storage.create_run(new_run())
        clock.advance(5)
        await world.settle()
        waiting = await queue.count_waiting()
        expect(waiting[""] == 1, "only the wakes that can be claimed are counted")
        claims = await queue.claim_wakes(limit=9, visibility_ms=1000)
        expect([one.run_id for one in claims] == ["run_a"], "runs above our level are passed over")
        record = await storage.get_run(ABOVE)
        expect((record.level, record.position) == (LEVEL + 1, 3), "they are read as others are")
        runs = [run.run_id for run in (await world.catalogue.list_runs(RunFilter())).runs]
        expect(ABOVE in runs, "they are listed")
        cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
        await storage.append(Append(run_id=ABOVE, event=cancelled))
        expect((await storage.get_run(ABOVE)).status.is_over, "they are cancelled")


async def a_keyed_start_is_one_write(case: Case) -> None:
    """A run and the token it is started with are there together, or nothing is."""
    clock = ManualClock(1_000)
    async with case.open(clock) as world:
        storage = world.storage
        _, is_new = await storage.create_run(keyed("run_a", metadata=b"m"))
        expect(is_new, "a free token is claimed")
        hook = await storage.get_hook(TOKEN)
        expect(
            (hook.run_id, hook.hook_id, hook.metadata, hook.created_at_ms)
            == ("run_a", "hook_0", b"m", 1),
            "the token is the new run's",
        )
        events = [logged.event for logged in await storage.read_events(RunId("run_a"))]
        expect(
            [e.key for e in events] == ["run/created", "hook_0/created"], "it is the second event"
        )
        facts = {"token": TOKEN, "webhook": False}
        expect((events[1].payload, events[1].facts) == (b"m", facts), "with its token and metadata")
        record, is_new = await storage.create_run(keyed("run_a"))
        expect(not is_new and record.position == 2, "the same start again is the same run")
        await refuse_start(world, "run_b", owner="run_a")
        await storage.append(resume("run_a", "hook_0"))
        (claim,) = await world.queue.claim_wakes(limit=9, visibility_ms=1000)
        expect(claim.run_id == "run_a", "nothing of the other is ever due")
        adopted = commit_of(
            0, expected_position=3, hooks_claimed=(HookClaim(hook_id=HOOK_0, token=TOKEN),)
        )
        answer = await storage.commit(adopted)
        expect(not answer.conflicts, "the run's own token is no conflict")
        await end(world, "run_a")
        _, is_new = await storage.create_run(keyed("run_b"))
        expect(is_new, "the token is free after the run's end")


async def keyed_starts_have_one_winner(case: Case) -> None:
    """Of many starts with one token at once one is a run, and all others learn which."""
    count = 50 if case.thorough else 12
    for _ in case.rounds(3):
        with case.fresh() as make:
            async with make(SystemClock()) as world:
                await _start_at_once(world, count)


async def _start_at_once(world: World, count: int) -> None:
    winners: list[str] = []
    owners: list[str] = []

    async def start(n: int) -> None:
        try:
            record, _ = await world.storage.create_run(keyed(f"run_{n:02}"))
        except HookConflictError as error:
            owners.append(error.run_id)
        else:
            winners.append(record.run_id)

    async with anyio.create_task_group() as group:
        for n in range(count):
            group.start_soon(start, n)
    expect(len(winners) == 1, f"one start wins: {winners}")
    expect(owners == winners * (count - 1), "the others learn who has the token")
    await world.settle()
    runs = (await world.catalogue.list_runs(RunFilter())).runs
    expect([run.run_id for run in runs] == winners, "nothing of the others is there")
    claims = await world.queue.claim_wakes(limit=99, visibility_ms=60_000)
    expect([claim.run_id for claim in claims] == winners, "nor due")


async def one_turn_claims_and_frees_in_order(case: Case) -> None:
    """What a turn does to a token applies in the order of its events."""
    async with case.open() as world:
        storage = world.storage
        await storage.create_run(new_run())
        await storage.create_run(new_run("run_b"))
        steps = ("+hook_1", "-hook_1", "+hook_2", "-hook_2", "+hook_3")
        answer = await storage.commit(turn(0, *steps))
        expect(not answer.conflicts, "create, dispose, create of one token is no conflict")
        expect((await storage.get_hook(TOKEN)).hook_id == "hook_3", "the last one has it")
        answer = await storage.commit(turn(1, "+hook_4", "-hook_3", "+hook_5"))
        expect(answer.conflicts == ("hook_4",), "who comes before the disposal is barred")
        expect((await storage.get_hook(TOKEN)).hook_id == "hook_5", "who comes after it is not")
        answer = await storage.commit(turn(0, "+hook_1", "-hook_1", "+hook_2", run_id="run_b"))
        expect(
            answer.conflicts == ("hook_1", "hook_2"), "another run's token is a conflict each time"
        )
        answer = await storage.commit(turn(2, "-hook_5", "+hook_6", "-hook_6"))
        expect(not answer.conflicts, "a token is freed by its last disposal")
        await gone(world, "and is nobody's then")
        kinds = [logged.event.type for logged in await storage.read_events(RunId("run_b"))]
        conflict, disposed = EventType.HOOK_CONFLICT, EventType.HOOK_DISPOSED
        expect(kinds[1:] == [conflict, disposed, conflict], "each conflict is in its hook's place")


async def a_kept_token_stays_blocked(case: Case) -> None:
    """A token that is to be kept outlives its run till its time; disposal and deletion free it."""
    clock = ManualClock(1_000)
    async with case.open(clock) as world:
        storage, until_ms = world.storage, clock.now_ms() + 100
        for how in ("completed", "cancelled"):
            run_id = f"run_{how}"
            await storage.create_run(new_run(run_id))
            await storage.commit(turn(0, "+hook_1", run_id=run_id, keep_until_ms=until_ms))
            await end(world, run_id, how)
            hook = await storage.get_hook(TOKEN)
            expect((hook.run_id, hook.keep_until_ms) == (run_id, until_ms), "it is readable")
            await refuse_start(world, "run_x", owner=run_id)
            try:
                await storage.append(resume(run_id, "hook_1"))
            except RunEndedError:
                pass
            else:
                raise AssertionError("an ended run absorbs no payload")
            await world.catalogue.delete_run(RunId(run_id))
            await gone(world, "a deleted run keeps nothing")
        await storage.create_run(new_run())
        await storage.commit(turn(0, "+hook_1", keep_until_ms=until_ms))
        clock.advance(500)
        expect((await storage.get_hook(TOKEN)).run_id == RUN, "a live run's token is its own")
        await end(world, RUN)
        await gone(world, "a time that is over keeps nothing")
        until_ms = clock.now_ms() + 100
        await storage.create_run(keyed("run_b", keep_until_ms=until_ms))
        await storage.commit(turn(0, "-hook_0", run_id="run_b", expected_position=2))
        await gone(world, "disposal frees it at once")
        await storage.create_run(keyed("run_c", keep_until_ms=until_ms))
        await end(world, "run_c")
        clock.advance(99)
        await refuse_start(world, "run_d", owner="run_c")
        clock.advance(1)
        await gone(world, "at that time it is free")
        await storage.create_run(keyed("run_d", keep_until_ms=until_ms))
        expect((await storage.get_hook(TOKEN)).run_id == "run_d", "and another may have it")
        await world.catalogue.delete_run(RunId("run_c"))
        await world.settle()
        expect((await storage.get_hook(TOKEN)).run_id == "run_d", "which that other keeps")


def keyed(run_id: str, *, level: int = 1, **claim: Any) -> NewRun:
    """A run that is started with the token."""
    return new_run(run_id, level=level, hook=HookClaim(hook_id=HOOK_0, token=TOKEN, **claim))


def turn(number: int, *steps: str, run_id: str = RUN, **claim: Any) -> TurnCommit:
    """A turn that claims (+) and frees (-) the token for hooks, in this order.

    Args:
        claim: more about each claim; ``expected_position`` is the commit's.
    """
    changes: dict[str, Any] = {"expected_position": claim.pop("expected_position", 99)}
    hooks = [EntityId(step[1:]) for step in steps]
    claimed = [hook for step, hook in zip(steps, hooks, strict=True) if step[0] == "+"]
    kinds = {
        "+": ("created", EventType.HOOK_CREATED),
        "-": ("end", EventType.HOOK_DISPOSED),
    }
    events = [event_of(f"{step[1:]}/{kinds[step[0]][0]}", kinds[step[0]][1]) for step in steps]
    return commit_of(
        number,
        run_id=RunId(run_id),
        commit_id=f"{run_id}/{number}",
        events=tuple(events),
        hooks_claimed=tuple(HookClaim(hook_id=hook, token=TOKEN, **claim) for hook in claimed),
        hooks_released=tuple(hook for hook in hooks if f"-{hook}" in steps),
        **changes,
    )


def resume(run_id: str, hook: str, number: int = 1) -> Append:
    """A payload for a hook."""
    event = Event(
        type=EventType.HOOK_RECEIVED,
        key=f"resume/{hook}/{number}",
        at_ms=2,
        entity=EntityId(hook),
        payload=b"p",
    )
    return Append(run_id=RunId(run_id), event=event)


async def end(world: World, run_id: str, how: str = "cancelled") -> None:
    """End a run; of one turn at most."""
    record = await world.storage.get_run(RunId(run_id))
    if how == "cancelled":
        cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
        await world.storage.append(Append(run_id=record.run_id, event=cancelled, wake=False))
        return
    outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"r", at_ms=3)
    commit = commit_of(record.turn, run_id=record.run_id, outcome=outcome)
    await world.storage.commit(replace(commit, expected_position=record.position))


async def gone(world: World, promise: str) -> None:
    """Fail unless nobody has the token."""
    try:
        await world.storage.get_hook(TOKEN)
    except HookNotFoundError:
        return
    raise AssertionError(promise)


async def refuse_start(world: World, run_id: str, *, owner: str) -> None:
    """Fail unless a start with the token is refused, whole."""
    try:
        await world.storage.create_run(keyed(run_id))
    except HookConflictError as error:
        expect((error.token, error.run_id) == (TOKEN, owner), "the loser learns the owner")
    else:
        raise AssertionError("a token that is held refuses a start")
    try:
        await world.storage.get_run(RunId(run_id))
    except RunNotFoundError:
        return
    raise AssertionError("nothing of the loser exists")


async def an_abort_counts_once(case: Case) -> None:
    """Of an abort by a turn and one from outside, which share a key, the first one is the log's."""
    requested, received = EventType.ABORT_REQUESTED, EventType.ABORT_RECEIVED
    async with case.open() as world:
        storage = world.storage
        await storage.create_run(new_run())
        inner, outer = (
            [_abort_of(f"abort_{n}", kind) for n in (1, 2)] for kind in (requested, received)
        )
        first = await storage.append(Append(run_id=RUN, event=outer[0]))
        mark = event_of("step_3/created", EventType.STEP_CREATED)
        await storage.commit(commit_of(0, expected_position=1, events=(*inner, mark)))
        again = await storage.append(Append(run_id=RUN, event=outer[1]))
        expect((first.duplicate, again.duplicate) == (False, True), "the second is told so")
        events = [logged.event for logged in await storage.read_events(RUN)]
        expect(
            [(event.key, event.type) for event in events[1:]]
            == [("abort_1/end", received), ("abort_2/end", requested), (mark.key, mark.type)],
            "a turn whose abort came second lands all the same, without it",
        )
        expect((again.position, events[1].payload) == (3, outer[0].payload), "the first one stays")


def _abort_of(entity: str, kind: EventType) -> Event:
    return Event(
        type=kind,
        key=f"{entity}/end",
        at_ms=2,
        entity=EntityId(entity),
        payload=kind.value.encode(),
    )


CONVERSATIONS = named(
    runs_of_a_later_version_are_left_alone,
    a_keyed_start_is_one_write,
    keyed_starts_have_one_winner,
    one_turn_claims_and_frees_in_order,
    a_kept_token_stays_blocked,
    an_abort_counts_once,
)
