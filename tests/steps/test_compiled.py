"""Steps in JavaScript as the compiler makes them of a source, on real workers."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Worker, Workflow, start
from perdure.abc import World
from perdure.model import EventType

pytestmark = pytest.mark.anyio

SOURCE = """
import { FatalError } from "workflow";
const rate: number = 2;
export async function double(n: number): Promise<number> {
  "use step";
  return n * rate;
}
async function flaky(): Promise<void> {
  "use step";
  throw new FatalError("no");
}
flaky.maxRetries = 0;
async function apply(f: (n: number) => Promise<number>, n: number) {
  "use step";
  return await f(n);
}
async function pick(name: string) { "use step"; return name === "double" ? double : flaky; }
const tools = { math: { async cube(n: number) { "use step"; return n ** 3; } } };
async function named(this: { name: string }) { "use step"; return this.name; }
class Jobs {
  static async run(n: number) {
    "use workflow";
    let k = 10;
    const add = async (m: number) => {
      "use step";
      return n + k + m;
    };
    const first = await add(1);
    k = 20;
    const failure = await flaky().catch((error) => [error.name, error.message, error.stack]);
    const picked = await pick("double");
    return {
      sums: [first, await add(2)],
      inline: await apply(add, 3), bound: await named.call({ name: "x" }),
      picked: [await picked(4), await double(5)], cube: await tools.math.cube(3), failure,
    };
  }
}
"""


async def test_a_compiled_flow_runs(world: World) -> None:
    flow = Workflow.from_source(SOURCE, filename="jobs.ts", name="Jobs.run")
    async with Worker(world, steps=[]):
        run = await start(flow, [1], world=world)
        result: Any = await run.result(timeout=30)
        events = [logged.event async for logged in run.events()]
    name, text, stack = result.pop("failure")
    assert (name, text) == ("FatalError", "no")
    assert "flaky (jobs.ts:10:9)" in stack or "jobs.ts:10" in stack, stack
    assert result == {
        "sums": [12, 23],
        "inline": 24,
        "bound": "x",
        "picked": [8, 10],
        "cube": 27,
    }
    assert sum(event.type is EventType.STEP_COMPLETED for event in events) == 8


NODE = """
import fs, { readFile } from "node:fs"; import * as path from "node:path";
const late = () => path.join("a", "b");
async function good() { "use step"; return typeof readFile; }
async function bad(how: string) {
  "use step";
  if (how === "call") readFile("x");
  else if (how === "member") fs.readFile;
  else if (how === "new") new fs();
  else if (how === "space") late();
  else await import("node:http");
}
export async function w() {
  "use workflow";
  const told = [];
  for (const how of ["call", "member", "new", "space", "import"]) {
    bad.maxRetries = 0;
    try { await bad(how); } catch (e) { told.push((e.cause ?? e).name); }
  }
  return [await good(), ...told];
}
bad.maxRetries = 0;
"""


async def test_a_module_of_node_fails_when_it_is_reached(world: World) -> None:
    async with Worker(world, steps=[]):
        run = await start(Workflow.from_source(NODE), world=world)
        result = await run.result(timeout=30)
    assert result == ["function", *["ModuleNotAvailableError"] * 5]


PICKED = """
function adder(k: number) {
  async function plus(n: number) { "use step"; return n + k; }
  const o = { async times(n: number) { "use step"; return n * k; } };
  k += 1;
  return [plus, o.times, async (n: number) => { "use step"; return n - k; }];
}
async function pick(k: number) {
  "use step";
  const inner = async (n: number) => { "use step"; return `${n}:${k}`; };
  return [...adder(k), inner];
}
export async function w() {
  "use workflow";
  const picked = await pick(1);
  return [await Promise.all(picked.map((f) => f(10))), picked.map((f) => f.name)];
}
"""


async def test_a_step_returns_steps_with_what_they_have_captured(world: World) -> None:
    async with Worker(world, steps=[]):
        run = await start(Workflow.from_source(PICKED), world=world)
        lists: Any = await run.result(timeout=30)
        events = [logged.event async for logged in run.events()]
    assert lists == [[12, 20, 8, "10:1"], ["plus", "times", "_anonymousStep0", "inner"]]
    assert sum(event.type is EventType.STEP_COMPLETED for event in events) == 5
