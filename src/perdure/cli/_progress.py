"""Progress: a run's events and its console on stderr while somebody waits for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import final

import anyio

from .._model.events import Event, EventType
from .._protocol.json_values import as_json
from .._runtime.inspect.inspection import shown_payload
from .._runtime.run import Run
from ._inspect import error_line
from ._logging import hide_failure_of, is_told
from ._output import counted, say, spin

__all__ = ("Console", "show_console", "show_progress")

_EVERY = 0.1  # seconds
_ENDED = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)


@final
class Console:
    """The lines that a run writes to its console, each shown once."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self._line_count = 0

    async def show(self) -> None:
        """Show the new lines."""
        while self.run is not None and (lines := await self.run.log_lines(start=self._line_count)):
            self._line_count += len(lines)
            for line in lines:
                say(line, style="dim")


@asynccontextmanager
async def show_console() -> AsyncGenerator[Console, None]:
    """A console, shown to its end as the block ends: its lines may come after the run's end."""
    console = Console()
    try:
        yield console
    finally:
        with anyio.CancelScope(shield=True):
            await console.show()


@asynccontextmanager
async def show_progress(run: Run, console: Console) -> AsyncGenerator[None, None]:
    """Show the progress of *run* while the block runs: one line, failures and output above it."""
    console.run = run
    hide_failure_of(run.id)
    with spin(run.id) as update:
        async with anyio.create_task_group() as group:
            group.start_soon(_follow, run, console, update)
            try:
                yield
            finally:
                group.cancel_scope.cancel()


async def _follow(run: Run, console: Console, update: Callable[[str], None]) -> None:
    after, ended = 0, 0
    names: dict[str | None, str] = {}  # of the steps, by the ids of their entities
    while True:
        async for logged in run.events(after=after):
            after, event = logged.position, logged.event
            ended += event.type in _ENDED
            if event.type is EventType.STEP_CREATED:
                name = event.facts.get("step")
                names[event.entity] = name if isinstance(name, str) else ""
            elif event.type in (EventType.STEP_RETRYING, EventType.STEP_FAILED):
                attempt = event.facts.get("attempt")
                if not is_told(f"{run.id}/{event.entity}", attempt):
                    say(_notice(event, names.get(event.entity, "")))
        await console.show()
        steps, events = counted(len(names), "step"), counted(after, "event")
        update(f"{run.id}: {ended} of {steps} done, {events}")
        await anyio.sleep(_EVERY)


def _notice(event: Event, name: str) -> str:
    """A step's failure in one line: its name, which attempt, and the first line of the error."""
    attempt = as_json(event.facts.get("attempt"))
    error = error_line(shown_payload(event.payload))
    kind = event.type.value.replace("_", " ")
    return f"{kind}: {name} ({event.entity}), attempt {attempt}: {error}"
