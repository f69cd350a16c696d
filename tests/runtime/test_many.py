"""Thousands of commands, results or events at once: the event loop walks through none of them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from perdure import Run, Worker, Workflow, list_runs, start, step
from perdure._model.commands import ScheduleStep
from perdure._model.ids import EntityId, RunId
from perdure._model.queue import NewMessage
from perdure._protocol.codec import encode
from perdure._runtime.carrier.turn import StepResult
from perdure._runtime.carrier.turns import Turns
from perdure._runtime.carrier.writes import Writes
from perdure._runtime.inspect.hints import why_waiting
from perdure._runtime.slots import Slots, TakenSlots
from perdure.abc import World
from perdure.errors import GuestError
from perdure.model import Event, EventType, Lease, RunOutcome, RunStatus
from perdure.testing.conformance._case import commit_of, new_run
from tests.heartbeat import Heartbeat

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.worlds("sqlite")]
MANY = 10_000
MOST_MS = 20  # of the loop's processor in one gap: 10 are meant, and other tests run beside

FLOW = """
import { createHook, sleep } from "workflow";
import { body } from "python:many";
export async function w(n: number, kind: string): Promise<number> {
  "use workflow";
  const kinds: any = { step: () => body(), hook: () => createHook(), wait: () => sleep("1 hour"),
    due: () => sleep("1 s") };
  return (await Promise.all(Array.from({ length: n }, kinds[kind]))).length;
}
"""


@step(name="many:body")
async def body() -> int:
    return 1


@asynccontextmanager
async def beating() -> AsyncGenerator[Heartbeat, None]:
    """A heartbeat while nothing is collected, which takes as long as the process has objects."""
    gc.collect()
    gc.disable()
    try:
        async with Heartbeat() as heart:
            yield heart
    finally:
        gc.enable()


async def until_recorded(run: Run, events: int) -> None:
    with anyio.fail_after(60):
        while (await run.info()).position < events:  # noqa: ASYNC110  # by another thread
            await anyio.sleep(0.01)


async def until_ended(run: Run, events: int) -> None:
    assert await run.result(timeout=60) == MANY


KINDS: dict[str, Callable[[Run, int], Coroutine[Any, Any, None]]] = {
    "wait": until_recorded,
    "hook": until_recorded,
    "due": until_ended,
    "step": until_ended,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_commands_at_once_leave_the_loop_alone(world: World, kind: str) -> None:
    async with Worker(world, steps=[body], max_steps=MANY):
        await (await start(Workflow.from_source(FLOW), [1, "step"])).result(timeout=20)
        async with beating() as heart:
            run = await start(Workflow.from_source(FLOW), [MANY, kind])
            await KINDS[kind](run, MANY)
        if kind in ("wait", "hook"):
            await run.cancel()
    assert heart.busiest_ms < MOST_MS


async def test_steps_that_are_being_made_ready_are_given_back_all_of_them() -> None:
    """Their worker is cancelled in one of the pauses."""
    messages, steps, leases = list[NewMessage](), list[ScheduleStep](), list[Lease]()
    run_id = RunId("run")
    for n in range(2500):
        entity = EntityId(f"step_{n}")
        message_id, lease_ms = f"run/{entity}", None if n % 10 == 3 else 1000
        messages.append(
            NewMessage(
                message_id=message_id,
                run_id=run_id,
                topic="t",
                body=b"",
                due_ms=1,
                lease_ms=lease_ms,
            )
        )
        if lease_ms is not None:
            steps.append(ScheduleStep(id=entity, step="m:f", args=b"", at=""))
            if n % 10 != 7:  # which was sent before, and has no lease
                leases.append(Lease(item=message_id, token=str(n), is_wake=False, expires_at_ms=9))
    held: list[Lease] = []
    slots = Slots(len(steps))
    taken = TakenSlots(slots)
    assert all(taken.take() for _ in steps)
    shared: Any = SimpleNamespace(leases=SimpleNamespace(hold=held.append))
    turn: Any = SimpleNamespace(commit=SimpleNamespace(messages=messages), inline=steps)
    committed: Any = SimpleNamespace(leases=tuple(leases))
    nothing: Any = None
    turns = Turns(run_id, shared, nothing, nothing)
    task = asyncio.ensure_future(turns._start_many(nothing, turn, committed, taken))
    await asyncio.sleep(0)
    assert len(turns.ready) == 1000
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [lease for lease, *_ in turns.ready] == held == leases
    assert all(new.message_id == lease.item for lease, new, _, _ in turns.ready)
    assert turns.in_flight == {command.id for _, _, command, _ in turns.ready}
    taken.give_back()
    assert slots.free == len(steps) - len(leases)


async def test_results_at_once_leave_the_loop_alone(world: World) -> None:
    """They are written one by one where the log has grown meanwhile."""
    run = await start(Workflow.from_source(FLOW), [1, "hook"], world=world)
    leases = [
        Lease(item=f"{run.id}/step_{n}", token=str(n), is_wake=False, expires_at_ms=1)
        for n in range(MANY // 4)
    ]
    results = [
        StepResult(
            event=Event(
                type=EventType.STEP_COMPLETED, key=f"{n}/end", at_ms=1, entity=None, payload=b"\1"
            ),
            lease=lease,
        )
        for n, lease in enumerate(leases)
    ]
    await run.cancel()  # so nothing is left to write
    async with beating() as heart:
        await Writes(run.id, world).append_all(results)
    assert heart.busiest_ms < MOST_MS


async def test_looking_for_an_error_leaves_the_loop_alone(world: World) -> None:
    """Each failed run's error is decoded to know its name."""
    rows: list[object] = [{"id": n, "name": f"row {n}"} for n in range(MANY)]
    error = encode(GuestError(name="E", message="so", props={"rows": rows}), where="error")
    outcome = RunOutcome(status=RunStatus.FAILED, payload=error, at_ms=99)
    for n in range(5):
        await world.storage.create_run(new_run(f"run_{n}"))
        await world.storage.commit(commit_of(0, run_id=f"run_{n}", outcome=outcome))
    async with beating() as heart:
        page = await list_runs(world=world, error="Other")
        assert page.runs == ()
        page = await list_runs(world=world, error="E", limit=3)
        assert len(page.runs) == 3
    assert heart.busiest_ms < MOST_MS


async def test_a_hint_about_a_long_log_leaves_the_loop_alone(world: World) -> None:
    async with Worker(world, steps=[body]):
        run = await start(Workflow.from_source(FLOW), [MANY, "hook"])
        await until_recorded(run, MANY)
    await world.queue.wake(run.id, due_ms=1)
    record = await run.info()
    async with beating() as heart:
        assert "no worker has claimed" not in await why_waiting(world, record)
    assert heart.busiest_ms < MOST_MS
