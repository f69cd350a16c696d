"""H1 and H7 of the reference: health by its route, and recovery when a service starts."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from perdure import Run, Worker, Workflow, start
from perdure.abc import World
from perdure.model import EventType
from perdure.testing.clock import ManualClock
from perdure.web import app
from perdure.worlds import open_world
from tests.reference.waiting import until
from tests.web.clients import client_of
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio
FLOW = "/.well-known/workflow/v1/flow?__health"
HOUR_MS = 3_600_000
SLEEPER = Workflow.from_source(
    'import { sleep } from "workflow";\n'
    'export async function sleeper() { "use workflow"; await sleep("1 hour"); return "slept"; }\n'
)


@EVERY_WORLD
@pytest.mark.parametrize("method", ["HEAD", "POST", "GET"])
async def test_h1_the_route_of_flows_tells_its_health(world: World, method: str) -> None:
    async with client_of(app(world)) as client:
        answer = await client.request(method, FLOW)
    assert answer.status_code == 200
    if method != "HEAD":
        assert answer.json()["healthy"] is True
        assert answer.json()["endpoint"] == FLOW.partition("?")[0]


async def _sleeps(run: Run) -> bool:
    types = [logged.event.type async for logged in run.events()]
    return EventType.WAIT_CREATED in types


@EVERY_WORLD
@pytest.mark.reopened
async def test_h7_a_service_that_starts_carries_on_and_wakes_nobody_early(
    new_url: Callable[[], str],
) -> None:
    """Runs that wait at a start go on at their own time, though their first service is gone."""
    url, clock = new_url(), ManualClock()
    async with open_world(url, clock=clock) as world, Worker(world):
        run = await start(SLEEPER, world=world)
        await until(lambda: _sleeps(run))
    async with open_world(url, clock=clock) as world:
        pending = await start(SLEEPER, world=world)  # no worker has seen it
        clock.advance(HOUR_MS - 1)
        async with Worker(world):
            again, other = Run(run.id, world), Run(pending.id, world)
            await until(lambda: _sleeps(other))
            assert [await again.status(), await other.status()] == ["running", "running"]
            clock.advance(1)
            with anyio.fail_after(20):
                assert await again.result() == "slept"
                assert await other.result() == "slept"  # its hour began with it
