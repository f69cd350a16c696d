"""Runs by a clock that stands still, but for what they wait for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from perdure import Run
from perdure.errors import RunFailedError
from perdure.model import EventType
from perdure.testing import ManualClock
from perdure.testing.memory import MemoryWorld

__all__ = ("hurried", "passing")

WAITS = (EventType.STEP_RETRYING, EventType.WAIT_CREATED)


async def hurried(run: Run, clock: ManualClock, *, pause_ms: int = 1000) -> object:
    """The run's value or error; *pause_ms* pass for each retry and each sleep of it."""
    found: object = None

    async def hurry() -> None:
        passed = 0
        while True:
            waits = [e.event.type async for e in run.events() if e.event.type in WAITS]
            for _ in waits[passed:]:
                clock.advance(pause_ms)
            passed = len(waits)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(hurry)
        try:
            found = await run.result(timeout=10)
        except RunFailedError as exc:
            found = exc.error
        group.cancel_scope.cancel()
    return found


@asynccontextmanager
async def passing(world: MemoryWorld, clock: ManualClock) -> AsyncGenerator[None, None]:
    """Time passes whenever nothing is claimed and all that is due is due later."""

    async def pass_on() -> None:
        while True:
            wakes = [run.wake for run in list(world._store.runs.values()) if run.wake is not None]
            waiting = [*wakes, *world._store.messages.values()]
            due = min((w.due_ms for w in waiting if w.due_ms is not None), default=0)
            if due > clock.now_ms() and all(w.lease is None for w in waiting):
                clock.advance(due - clock.now_ms())
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(pass_on)
        yield
        group.cancel_scope.cancel()
