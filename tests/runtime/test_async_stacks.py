"""The stack of an error names who awaits the function that threw it, over files and awaits."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import Worker, start, step, workflow
from perdure.errors import RunFailedError
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio

SHOP = """\
import { fine, refuse } from "python:stacks";

export async function thrown(): Promise<void> {
  await fine();
  throw new RangeError("sold out");
}

export async function refused(): Promise<void> {
  await fine();
  await refuse();
}

export async function refusedLater(): Promise<void> {
  await fine();
  const refusal = refuse();
  await fine();
  await refusal;
}

export async function nested(depth: number): Promise<void> {
  await fine();
  if (depth) await nested(depth - 1);
  else await thrown();
}

export async function* numbers(): AsyncGenerator<number> {
  await fine();
  yield 1;
  await thrown();
}

export async function* failing(): AsyncGenerator<number> {
  await fine();
  throw new RangeError("none left");
}

export class Till {
  async pay(): Promise<void> {
    await fine();
    await this.charge();
  }
  charge = async () => {
    await fine();
    await thrown();
  };
}
"""
FLOW = """\
import { middle } from "./lib/middle";
import { Till, failing, nested, numbers, refused, refusedLater, thrown } from "./lib/shop";
import { fine } from "python:stacks";

export async function threeFiles() { "use workflow"; await middle(thrown); }
export async function ofStep() { "use workflow"; await middle(refused); }
export async function ofStepLater() { "use workflow"; await middle(refusedLater); }
export async function recursive() { "use workflow"; await nested(2); }
export async function generator() { "use workflow"; for await (const _ of numbers()) await fine(); }
export async function inGenerator() { "use workflow"; await failing().next(); }
export async function methods() { "use workflow"; await new Till().pay(); }
export async function all() { "use workflow"; await fine(); await Promise.all([fine(), thrown()]); }
export async function settled() { "use workflow"; throw (await reasons())[0].reason; }
const reasons = () => Promise.allSettled([thrown()]);
export async function chained() { "use workflow"; await thrown().then(() => 1).finally(() => 2); }
export async function returned() { "use workflow"; await fine(); await handedOn(); }
async function handedOn() { await fine(); return thrown(); }
export async function constructed() { "use workflow"; await new Promise((done) => done(thrown())); }
export async function twoWait() { "use workflow"; const p = thrown(); p.catch(() => {}); await p; }
export async function callback() { "use workflow"; await fine().then(() => { throw Error("x"); }); }
export async function limited() { "use workflow"; await nested(20); }
"""
MIDDLE = """\
export async function middle(inner: () => Promise<void>): Promise<void> {
  await inner();
}
"""
THROWN = "thrown (lib/shop.ts:5"
# What each workflow's failure shows. A function that hands a promise on without awaiting it has
# gone; where several wait for one promise, and behind a callback of then(), nobody is named.
STACKS = {
    "threeFiles": [THROWN, "async middle (lib/middle.ts:2", "async threeFiles (flow.ts:5"],
    "ofStep": [
        "refused (lib/shop.ts:10",
        "async middle (lib/middle.ts:2",
        "async ofStep (flow.ts:6",
    ],
    "ofStepLater": [
        "refusedLater (lib/shop.ts:15",
        "async middle (lib/middle.ts:2",
        "async ofStepLater (flow.ts:7",
    ],
    "recursive": [
        THROWN,
        "async nested (lib/shop.ts:23",
        "async nested (lib/shop.ts:22",
        "async nested (lib/shop.ts:22",
        "async recursive (flow.ts:8",
    ],
    "generator": [THROWN, "async numbers (lib/shop.ts:29", "async generator (flow.ts:9"],
    "inGenerator": ["failing (lib/shop.ts:34", "async inGenerator (flow.ts:10"],
    "methods": [
        THROWN,
        "async charge (lib/shop.ts:44",
        "async pay (lib/shop.ts:40",
        "async methods (flow.ts:11",
    ],
    "all": [THROWN, "async all (flow.ts:12"],
    "settled": [THROWN, "async settled (flow.ts:13"],
    "chained": [THROWN, "async chained (flow.ts:15"],
    "returned": [THROWN, "async returned (flow.ts:16"],
    "constructed": [THROWN, "async constructed (flow.ts:18"],
    "twoWait": [THROWN],
    "callback": ["<anonymous> (flow.ts:20"],
    "limited": [THROWN, "async nested (lib/shop.ts:23", *["async nested (lib/shop.ts:22"] * 8],
}


@step(name="stacks:fine")
async def fine() -> None: ...


@step(name="stacks:refuse", max_retries=0)
async def refuse() -> None:
    raise ValueError("no")


def frames(stack: str) -> list[str]:
    """Function, file and line of each frame."""
    lines = [line.strip() for line in stack.splitlines()]
    return [line[3:].rpartition(":")[0] for line in lines if line.startswith("at ")]


@pytest.mark.parametrize("name", STACKS)
async def test_an_error_names_who_waits_for_the_function_that_threw_it(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/shop.ts").write_text(SHOP)
    (tmp_path / "lib/middle.ts").write_text(MIDDLE)
    (tmp_path / "flow.ts").write_text(FLOW)
    async with MemoryWorld() as world, Worker(world, steps=[fine, refuse]):
        run = await start(workflow(tmp_path / f"flow.ts#{name}"), [], world=world)
        with pytest.raises(RunFailedError) as caught:
            await run.result(timeout=10)
    assert frames(caught.value.stack) == STACKS[name]
