"""Progress: a run's events and its console on stderr while somebody waits for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import final

import anyio
from rich.status import Status

from .._model.events import EventType
from .._runtime.handles import Run
from ._output import err

__all__ = ("Console", "show_console", "show_progress")

_EVERY = 0.1  # seconds
_ENDED = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)


@final
class Console:
    """What a run writes to its console, shown once."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self._seen = 0

    async def show(self) -> None:
        """Show what is new."""
        while self.run is not None and (lines := await self.run.log_lines(start=self._seen)):
            self._seen += len(lines)
            for line in lines:
                err.print(line, style="dim", markup=False, soft_wrap=True)


@asynccontextmanager
async def show_console() -> AsyncGenerator[Console, None]:
    """A console, shown to its end as the block ends: what is written may trail a run's end."""
    console = Console()
    try:
        yield console
    finally:
        with anyio.CancelScope(shield=True):
            await console.show()


@asynccontextmanager
async def show_progress(run: Run, console: Console) -> AsyncGenerator[None, None]:
    """Show what happens in *run* while the block runs: one line, failures and output above it."""
    console.run = run
    with Status(f"{run.id}", console=err) as status:
        async with anyio.create_task_group() as group:
            group.start_soon(_follow, run, console, status)
            try:
                yield
            finally:
                group.cancel_scope.cancel()


async def _follow(run: Run, console: Console, status: Status) -> None:
    after, made, ended = 0, 0, 0
    while True:
        async for logged in run.events(after=after):
            after, event = logged.position, logged.event
            made += event.type is EventType.STEP_CREATED
            ended += event.type in _ENDED
            if event.type in (EventType.STEP_RETRYING, EventType.STEP_FAILED):
                err.print(f"{event.type.value.replace('_', ' ')}: {event.entity}", markup=False)
        await console.show()
        status.update(f"{run.id}: {ended} of {made} steps done, {after} events")
        await anyio.sleep(_EVERY)
