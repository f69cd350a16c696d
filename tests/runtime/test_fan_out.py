"""Steps of one turn: they begin one after another, and none waits for another's end."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from perdure import Worker, Workflow, start, step
from perdure._runtime.carrier import carrier
from perdure.abc import World

pytestmark = pytest.mark.anyio

ALL = """
import { note } from "python:fan";
export async function all(n: number): Promise<number> {
  "use workflow";
  return (await Promise.all(Array.from({ length: n }, (_, i) => note(i)))).length;
}
"""
FIRST = """
import { note, hold } from "python:fan";
export async function first(): Promise<number> {
  "use workflow";
  const held = hold(), noted = note(7);
  const value = await noted;
  await note(value + 93);
  return value + (await held);
}
"""
noted: list[int] = []
released: list[asyncio.Event] = []


@step(name="fan:note")
async def note(value: int) -> int:
    noted.append(value)
    if value == 100:
        released[-1].set()
    return value


@step(name="fan:hold")
async def hold() -> int:
    await released[-1].wait()
    return 1


@pytest.fixture(autouse=True)
def nothing_noted() -> None:
    noted.clear()


async def test_they_begin_in_their_order_and_others_have_turns_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "_AT_ONCE", 0.0)
    counts = set[int]()

    async def look() -> None:
        while True:
            counts.add(len(noted))
            await anyio.lowlevel.checkpoint()

    async with Worker(world, steps=[note]), anyio.create_task_group() as group:
        group.start_soon(look)
        run = await start(Workflow.from_source(ALL, filename="all.ts"), [20])
        assert await run.result(timeout=10) == 20
        group.cancel_scope.cancel()
    assert noted == list(range(20))
    assert len(counts) > 10  # with one stretch for all it would be two


async def test_the_result_of_one_is_told_while_another_waits(world: World) -> None:
    released.append(asyncio.Event())
    async with Worker(world, steps=[note, hold]):
        run = await start(Workflow.from_source(FIRST, filename="first.ts"))
        assert await run.result(timeout=10) == 8
    assert noted == [7, 100]
