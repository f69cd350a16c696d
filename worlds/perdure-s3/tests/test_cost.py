"""What things cost, in requests: counted between the world and its client."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections import Counter

import anyio
import pytest
from wrapped import Wrapped, wrapped_world

from perdure import Worker, Workflow, start, step
from perdure._runtime.run import Run
from perdure.abc import World
from perdure.model import RunId
from perdure.testing.clock import ManualClock
from perdure_s3 import S3World
from perdure_s3._client import USED, connect

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


async def test_opening_tries_the_server_and_reads_one_object(url: str) -> None:
    tries = {"PUT": 3, "DELETE": 1}
    async with wrapped_world(url) as (_, client):
        assert client.requests == {**tries, "GET": 1, "PUT": 4}  # it makes the world, too
    async with wrapped_world(url) as (_, client):
        assert client.requests == {**tries, "GET": 1}


async def test_a_client_knows_no_more_of_s3_than_is_used(url: str) -> None:
    async with connect(S3World(url)._handle.place) as client:
        described = client.meta.service_model
        assert set(described.operation_names) == {*USED}
        answer = described.operation_model("GetObject").output_shape
        assert set(answer.members) == {"Body", "ETag"}


async def test_a_thaw_reads_one_object(url: str) -> None:
    workflow = Workflow.from_source(SOURCE, name="nap")
    async with wrapped_world(url) as (world, _), Worker(world):
        run = await start(workflow, [60_000_000], world=world)
    async with wrapped_world(url) as (world, client):  # another process: it has read nothing yet
        before = Counter(client.requests)
        state = await world.storage.load_run(RunId(run.id))
        assert len(state.chain) == 1
        assert since(client, before) == {"GET": 1}


async def test_what_a_run_that_sleeps_costs(url: str) -> None:
    workflow = Workflow.from_source(SOURCE, name="nap")
    clock, month_ms = ManualClock(), 30 * 86_400_000
    async with wrapped_world(url, clock=clock) as (world, client):
        async with Worker(world, steps=[add]):
            await start(workflow, [month_ms], world=world)  # stores bundle and engine
        await world.settle()
        before = Counter(client.requests)
        async with Worker(world, steps=[add]):
            runs = [await start(workflow, [month_ms], world=world) for _ in range(10)]
        await world.settle()
        asleep = since(client, before)
        assert not world._handle.due.candidates({""})
        assert not list(world._handle.due._shelves[0].entries())
        clock.advance(month_ms + 60_000)
    # A month later, another process.
    async with wrapped_world(url, clock=clock) as (world, client):
        before = Counter(client.requests)
        async with Worker(world, steps=[add]):
            for run in runs:
                assert await world_result(world, run.id) == "rested"
        await world.settle()
        awake = since(client, before)
    print(f"10 runs fall asleep: {dict(asleep)}; wake up and end: {dict(awake)}")
    assert asleep["PUT"] <= 10 * 4  # an entry in the list, the index, the head
    assert awake["PUT"] <= 10 * 4.5  # a claim, the last commit, an entry in the list, the index


async def world_result(world: World, run_id: str) -> object:
    return await Run(RunId(run_id), world).result(timeout=30)


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
