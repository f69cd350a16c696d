"""What things cost, in requests: counted between the world and its client."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections import Counter

import anyio
import pytest
from wrapped import Wrapped, wrapped_world

from perdure import Worker, Workflow, start, step
from perdure.model import RunId

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOURCE = """
import { add } from "python:cost";
import { sleep } from "workflow";
export async function seq(n: number): Promise<number> {
  "use workflow";
  let total = 0;
  for (let i = 0; i < n; i++) total = await add(total, 1);
  return total;
}
export async function nap(ms: number): Promise<string> {
  "use workflow";
  await sleep(ms);
  return "rested";
}
"""


@step(name="cost:add")
async def add(a: int, b: int) -> int:
    return a + b


def since(client: Wrapped, before: Counter[str]) -> Counter[str]:
    return client.requests - before


async def test_a_sequential_inline_step_costs_at_most_1_2_puts(url: str) -> None:
    workflow = Workflow.from_source(SOURCE, name="seq")
    async with wrapped_world(url) as (world, client), Worker(world, steps=[add]):
        await (await start(workflow, [1], world=world)).result()  # stores bundle and engine
        costs: dict[int, Counter[str]] = {}
        for count in (100, 300):
            await world.settle()
            before = Counter(client.requests)
            run = await start(workflow, [count], world=world)
            assert await run.result(timeout=60) == count
            await world.settle()
            costs[count] = since(client, before)
        puts = (costs[300]["PUT"] - costs[100]["PUT"]) / 200
        gets = (costs[300]["GET"] - costs[100]["GET"]) / 200
        print(f"a step: {puts:.3f} PUT, {gets:.3f} GET; a run of 100: {dict(costs[100])}")
        assert costs[300]["PUT"] <= 1.2 * 300
        assert puts <= 1.2


async def test_what_a_run_that_sleeps_costs(url: str) -> None:
    workflow = Workflow.from_source(SOURCE, name="nap")
    async with wrapped_world(url) as (world, client):
        async with Worker(world, steps=[add]):
            await (await start(workflow, [1], world=world)).result()
        async with Worker(world, steps=[add]):
            await world.settle()
            before = Counter(client.requests)
            runs = [await start(workflow, [30 * 86_400_000], world=world) for _ in range(10)]
            await world.settle()
            cost = since(client, before)
            print(f"10 runs that fall asleep: {dict(cost)}")
            assert cost["PUT"] <= 10 * 4  # two lists, the index, the head
        head = world._handle.runs.cached(RunId(runs[0].id))
        assert head is not None
        assert not world._handle.due.candidates({""})


async def test_an_idle_worker_reads_and_never_writes(url: str) -> None:
    async with wrapped_world(f"{url}&poll=0.5") as (world, client):
        async with Worker(world, steps=[add]):
            await anyio.sleep(0.5)
            before = Counter(client.requests)
            began = anyio.current_time()
            await anyio.sleep(2.5)  # what is measured is a rate
            cost, passed = since(client, before), anyio.current_time() - began
        print(f"idle for {passed:.1f} s at poll=0.5: {dict(cost)}")
        assert set(cost) == {"GET"}
        assert cost["GET"] <= passed / 0.45 + 1
