"""Runs by a clock that stands still, but for what they wait for."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from perdure import Run
from perdure.errors import RunFailedError
from perdure.model import EventType
from perdure.testing import ManualClock

__all__ = ("hurried",)

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
