"""Progress: a run's events on stderr while somebody waits for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from rich.status import Status

from .._model.events import EventType
from .._runtime.handles import Run
from ._output import err

__all__ = ("show_progress",)

_EVERY = 0.1  # seconds
_ENDED = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)


@asynccontextmanager
async def show_progress(run: Run) -> AsyncGenerator[None, None]:
    """Show what happens in *run* while the block runs; one line, and failures above it."""
    with Status(f"{run.id}", console=err) as status:
        async with anyio.create_task_group() as group:
            group.start_soon(_follow, run, status)
            try:
                yield
            finally:
                group.cancel_scope.cancel()


async def _follow(run: Run, status: Status) -> None:
    after, made, ended = 0, 0, 0
    while True:
        async for logged in run.events(after=after):
            after, event = logged.position, logged.event
            made += event.type is EventType.STEP_CREATED
            ended += event.type in _ENDED
            if event.type in (EventType.STEP_RETRYING, EventType.STEP_FAILED):
                err.print(f"{event.type.value.replace('_', ' ')}: {event.entity}", markup=False)
        status.update(f"{run.id}: {ended} of {made} steps done, {after} events")
        await anyio.sleep(_EVERY)
