"""Progress: a run's events and its console on stderr while somebody waits for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import final

import anyio

from .._model.events import EventType
from .._runtime.handles import Run
from ._output import say, spin

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
                say(line, style="dim")


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
    with spin(run.id) as update:
        async with anyio.create_task_group() as group:
            group.start_soon(_follow, run, console, update)
            try:
                yield
            finally:
                group.cancel_scope.cancel()


async def _follow(run: Run, console: Console, update: Callable[[str], None]) -> None:
    after, made, ended = 0, 0, 0
    while True:
        async for logged in run.events(after=after):
            after, event = logged.position, logged.event
            made += event.type is EventType.STEP_CREATED
            ended += event.type in _ENDED
            if event.type in (EventType.STEP_RETRYING, EventType.STEP_FAILED):
                say(f"{event.type.value.replace('_', ' ')}: {event.entity}")
        await console.show()
        update(f"{run.id}: {ended} of {made} steps done, {after} events")
        await anyio.sleep(_EVERY)
