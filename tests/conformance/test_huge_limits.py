"""A limit, a start or a position beyond what a store can count is answered as a large one is."""

from __future__ import annotations

import pytest

from perdure import Workflow, start
from perdure.abc import World
from perdure.model import RunFilter
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

FLOW = Workflow.from_source("export async function flow() { 'use workflow'; return 1 }")
HUGE = [1 << 32, (1 << 63) - 1, 1 << 63, 1 << 70]


@pytest.mark.parametrize("number", HUGE)
async def test_a_huge_number_is_answered(world: World, number: int) -> None:
    run = await start(FLOW, world=world)
    await start(FLOW, world=world)
    storage, queue = world.storage, world.queue
    assert len(await storage.read_events(run.id, limit=number)) == 1
    assert await storage.read_events(run.id, after=number) == ()
    assert len((await world.catalogue.list_runs(RunFilter(), limit=number)).runs) == 2
    assert await world.catalogue.purge(ended_before_ms=0, limit=number) == 0
    assert (await world.streams.read(run.id, "log", limit=number)).chunks == ()
    assert (await world.streams.read(run.id, "log", start=number)).chunks == ()
    assert await queue.claim_messages(["none"], limit=number, visibility_ms=1) == ()
    assert len(await queue.claim_wakes(limit=number, visibility_ms=1)) == 2


@pytest.mark.parametrize("number", [-1, -(1 << 33), -(1 << 70)])
async def test_a_position_below_all_is_the_beginning(world: World, number: int) -> None:
    """Of this run: the rows of one follow those of another."""
    await start(FLOW, world=world)
    run = await start(FLOW, world=world)
    events = await world.storage.read_events(run.id, after=number)
    assert [logged.position for logged in events] == [1]
    assert events == await world.storage.read_events(run.id)
