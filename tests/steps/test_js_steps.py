"""Steps in JavaScript, on real workers: results, errors, retries, timers, console, facts."""

from __future__ import annotations

import pytest

from perdure import StepLimits, Worker, start
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from perdure.model import EventType
from tests.steps.by_hand import PREFIX, flow_of
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]


async def result_of(world: World, body: str, steps: str, *args: object, **options: object) -> object:
    """What a workflow with these steps returns, on one worker."""
    async with Worker(world, steps=[], **options):  # type: ignore[arg-type]
        run = await start(flow_of(body, steps), args, world=world)
        return await run.result(timeout=20)


async def test_a_step_takes_arguments_and_returns_a_value(world: World) -> None:
    steps = 'step("add", async (a, b) => ({ sum: a + b, at: new Date(5) }));'
    result = await result_of(world, "return await add(1, 2);", steps)
    assert result["sum"] == 3  # type: ignore[index]
