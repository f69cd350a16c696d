"""Playing hostile lines: several at a time on one worker, a healthy run beside them all."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio

from perdure import Worker, Workflow, start, step
from perdure._protocol.frames import Limits
from perdure.abc import World
from perdure.errors import CompileError, RunFailedError
from tests.hostile.lines import Line

__all__ = ("Played", "play")

AT_ONCE = 12
LIMITS = Limits(heap_bytes=48 << 20, payload_bytes=1 << 20)
HEALTHY = Workflow.from_source(
    'import { add } from "python:hostile_lines";\n'
    'export async function healthy() { "use workflow"; return await add(1, 2) }\n',
    filename="healthy.js",
)


@step(name="hostile_lines:add")
async def add(a: object, b: object) -> object:
    return 3


@dataclass
class Played:
    """How lines ended."""

    ends: dict[Line, str] = field(default_factory=dict[Line, str])  # an error's name, or "value"
    seconds: dict[Line, float] = field(default_factory=dict[Line, float])
    tries: Counter[str] = field(default_factory=Counter[str])  # by run, those past the deadline
    healthy: list[float] = field(default_factory=list[float])  # seconds each took
    closing: float = 0.0  # seconds


class _Tries(logging.Handler):
    """Counts the turns that passed their deadline."""

    def __init__(self, tries: Counter[str]) -> None:
        super().__init__()
        self._tries = tries

    def emit(self, record: logging.LogRecord) -> None:
        if "passed the deadline" in record.msg:
            # A list, here.
            self._tries[str(record.args and record.args[0])] += 1  # type: ignore[index]


async def play(world: World, lines: Iterable[Line], *, deadline: float) -> Played:
    """Run each line to its end, or fail if one has none within two minutes."""
    played = Played()
    handler = _Tries(played.tries)
    logger = logging.getLogger("perdure")
    logger.addHandler(handler)
    room = anyio.CapacityLimiter(AT_ONCE)
    try:
        async with Worker(world, steps=[add], limits=LIMITS, turn_deadline=deadline):
            async with anyio.create_task_group() as beside:
                beside.start_soon(_stay_healthy, world, played)
                async with anyio.create_task_group() as group:
                    for line in lines:
                        group.start_soon(_play, world, line, played, room)
                beside.cancel_scope.cancel()
            began = time.perf_counter()
        played.closing = time.perf_counter() - began
    finally:
        logger.removeHandler(handler)
    return played


async def _play(world: World, line: Line, played: Played, room: anyio.CapacityLimiter) -> None:
    async with room:
        began = time.perf_counter()
        played.ends[line] = await _end_of(world, line)
        played.seconds[line] = time.perf_counter() - began


async def _end_of(world: World, line: Line) -> str:
    try:
        run = await start(line.workflow, world=world)
        await run.result(timeout=120)
    except RunFailedError as exc:
        return str(getattr(exc.error, "name", type(exc.error).__name__))
    except CompileError:
        return "CompileError"
    return "value"


async def _stay_healthy(world: World, played: Played) -> None:
    while True:
        began = time.perf_counter()
        run = await start(HEALTHY, world=world)
        assert await run.result(timeout=60) == 3
        played.healthy.append(time.perf_counter() - began)
        await anyio.sleep(0.05)
