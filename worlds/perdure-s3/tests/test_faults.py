"""A fault at every request of a short program: nothing is lost, nothing is doubled."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from wrapped import Fault, wrapped_world

from perdure.abc import World
from perdure.errors import WorldUnavailableError
from perdure.model import (
    Append,
    Digest,
    EntityId,
    Event,
    EventType,
    HookClaim,
    Lease,
    LeaseEnd,
    NewMessage,
    NewRun,
    RunFilter,
    RunId,
    RunOutcome,
    RunStatus,
    Snapshot,
    TurnCommit,
    WakeClaim,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FULL = os.environ.get("PERDURE_TIER") == "full"
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]


def event(kind: EventType, key: str, entity: str | None = None, size: int = 1) -> Event:
    return Event(
        type=kind,
        key=key,
        at_ms=5,
        entity=None if entity is None else EntityId(entity),
        payload=b"p" * size,
    )


def commit_of(run_id: RunId, turn: int, position: int, **changes: Any) -> TurnCommit:
    values: dict[str, Any] = {
        "run_id": run_id,
        "commit_id": f"c{turn}",
        "turn": turn,
        "expected_position": position,
        "consumed": position,
        "log_digest": b"d",
    }
    return TurnCommit(**{**values, **changes})


async def program(world: World, run_id: RunId) -> list[object]:
    """A run's life through every contract; gives all answers."""
    answers = await _begin(world, run_id)
    (wake,) = await world.queue.claim_wakes(limit=1, visibility_ms=60_000, wait_ms=20_000)
    answers.append((wake.run_id, wake.fruitless_claims))
    committed = await world.storage.commit(_first_turn(run_id, wake))
    answers.append((committed.position, committed.conflicts, len(committed.leases)))
    answers += await _go_on(world, run_id, committed.leases)
    return answers + await _end(world, run_id)


async def _begin(world: World, run_id: RunId) -> list[object]:
    new = NewRun(
        run_id=run_id,
        workflow="w",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"i",
        created_at_ms=int(run_id[4:]),
    )
    return [await world.storage.create_run(new)]


def _first_turn(run_id: RunId, wake: WakeClaim) -> TurnCommit:
    messages = tuple(
        NewMessage(
            message_id=f"{run_id}/{name}",
            run_id=run_id,
            topic=name,
            body=b"m" * 9_000,  # beside the head
            due_ms=0,
            lease_ms=60_000 if name == "here" else None,
        )
        for name in ("here", "there")
    )
    return commit_of(
        run_id,
        0,
        1,
        events=(
            event(EventType.HOOK_CREATED, "hook_1/created", "hook_1"),
            event(EventType.STEP_CREATED, "step_2/created", "step_2", size=70_000),  # a segment
        ),
        hooks_claimed=(HookClaim(hook_id=EntityId("hook_1"), token=f"t-{run_id}"),),
        snapshot=Snapshot(turn=1, parent_turn=None, consumed=1, data=b"h" * 40_000),
        messages=messages,
        leases=(LeaseEnd(lease=wake.lease, generation=wake.generation),),
    )


async def _go_on(world: World, run_id: RunId, leases: Sequence[Lease]) -> list[object]:
    storage, queue = world.storage, world.queue
    answers: list[object] = [await storage.get_hook(f"t-{run_id}")]
    note = answers.append
    (claim,) = await queue.claim_messages(["there"], limit=1, visibility_ms=60_000, wait_ms=20_000)
    note((claim.message, claim.claims, claim.losses))
    done = event(EventType.STEP_COMPLETED, "step_2/end", "step_2")
    note(await storage.append(Append(run_id=run_id, event=done, lease=claim.lease)))
    note(await storage.append(Append(run_id=run_id, event=done)))
    received = event(EventType.HOOK_RECEIVED, "hook_1/1", "hook_1")
    note(await storage.append(Append(run_id=run_id, event=received)))
    renewed = await queue.extend(leases, visibility_ms=90_000)
    note(len(renewed))
    await queue.finish(LeaseEnd(lease=renewed[0]))
    note(await world.streams.append(run_id, "log", [b"a", b"b"], writer="w", sequence=0))
    await world.streams.close(run_id, "log")
    note(await world.streams.read(run_id, "log"))
    return answers


async def _end(world: World, run_id: RunId) -> list[object]:
    storage = world.storage
    state = await storage.load_run(run_id)
    outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"out", at_ms=9)
    ended = commit_of(run_id, 1, state.record.position, outcome=outcome)
    answers: list[object] = [(state.chain, state.events)]
    answers += [await storage.commit(ended), await storage.commit(ended)]
    answers.append(await storage.wait_ended(run_id, wait_ms=1000))
    answers.append(await storage.read_events(run_id))
    await world.settle()
    return [*answers, await world.queue.count_waiting()]


def _plain(answer: object) -> object:
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return dataclasses.asdict(answer)
    return answer


def comparable(answers: list[object], run_id: RunId) -> str:
    """Answers without what differs between runs."""
    text = str([_plain(a) for a in answers])
    text = text.replace(run_id, "RUN").replace(str(int(run_id[4:])), "N")
    times = r"expires_at_ms=\d+|started_at_ms=\d+|'created_at_ms': \d{13}"  # the last: a hook's
    return re.sub(rf"token='[0-9a-f]{{16}}'|{times}", "", text)


@pytest.mark.parametrize("turn", range(len(FAULTS) if FULL else 1))
async def test_a_fault_at_any_request_changes_no_answer(url: str, turn: int) -> None:
    """Each position is struck by another kind of fault; in the full tier by every kind."""
    strike, fault, struck = -1, Fault.NONE, False

    def plan(number: int, verb: str, key: str) -> Fault:
        nonlocal struck
        if number != strike:
            return Fault.NONE
        struck = True
        return fault

    async with wrapped_world(url, plan) as (world, client):
        first = RunId("run_1000")
        with anyio.fail_after(30):
            expected = comparable(await program(world, first), first)
        position = 0
        for position in range(1000):
            run_id, struck = RunId(f"run_{1001 + position}"), False
            fault = FAULTS[(3 * turn + position) % len(FAULTS)]
            strike = len(client.log) + position
            with anyio.fail_after(30):
                found = comparable(await program(world, run_id), run_id)
            assert found == expected, f"{fault} at request {position}: {client.log[strike]}"
            if not struck:
                break
        assert position > 20
        strike = -1  # else it may be the next request's turn, which might come late: after the end
        for late in client.late:
            await late
        page = await world.catalogue.list_runs(RunFilter(), limit=1000)
        assert len(page.runs) == position + 2  # every run once


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
async def test_a_fault_at_any_request_of_open_is_got_over(url: str, fault: Fault) -> None:
    position = 0
    for position in range(1000):
        struck: list[int] = []

        def plan(
            number: int, verb: str, key: str, at: int = position, struck: list[int] = struck
        ) -> Fault:
            if number == at:
                struck.append(number)
                return fault
            return Fault.NONE

        async with wrapped_world(url, plan) as (world, client):
            await world.blobs.has(Digest("x"))
            for late in client.late:
                await late
        if not struck:
            break
    assert position > 4


@pytest.mark.parametrize("fault", [Fault.ERROR_503, Fault.TIMEOUT, Fault.TIMEOUT_AFTER])
async def test_a_store_that_stays_away_is_an_error_that_may_be_retried(
    url: str, fault: Fault
) -> None:
    away = False

    def plan(number: int, verb: str, key: str) -> Fault:
        return fault if away else Fault.NONE

    async with wrapped_world(url, plan) as (world, _):
        new = NewRun(
            run_id=RunId("run_1"),
            workflow="w",
            bundle=Digest("b"),
            engine=Digest("e"),
            input=b"i",
            created_at_ms=1,
        )
        away = True
        with pytest.raises(WorldUnavailableError):
            await world.storage.create_run(new)
        with pytest.raises(WorldUnavailableError):
            await world.storage.get_run(RunId("run_1"))
        away = False
        record, _ = await world.storage.create_run(new)
        assert record.position == 1
        (claim,) = await world.queue.claim_wakes(limit=9, visibility_ms=1000)
        assert claim.run_id == "run_1"
