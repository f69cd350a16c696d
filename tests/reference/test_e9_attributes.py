"""E9 of the reference: attributes at start, in workflow code and in steps, and their limits."""

from __future__ import annotations

from typing import Any, cast

import anyio
import anyio.to_thread
import pytest

from perdure import (
    RunFailedError,
    Worker,
    Workflow,
    list_runs,
    set_attributes,
    start,
    step,
)
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.steps import AnyStep
from perdure.abc import World
from perdure.errors import AttributeLimitError, GuestError, UsageError
from perdure.model import EventType
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = pytest.mark.anyio


@step(name="e9:sets")
async def sets(name: str, text: str | None) -> str:
    await set_attributes({name: text})
    return "set"


@step(name="e9:sets_plainly")
def sets_plainly(name: str, text: str) -> str:
    set_attributes({name: text})
    return "set"


@step(name="e9:sets_in_a_thread")
async def sets_in_a_thread(name: str, text: str) -> str:
    async def inside() -> None:
        await set_attributes({name: text})

    await anyio.to_thread.run_sync(anyio.run, inside)  # in a loop of its own
    return "set"


@step(name="e9:fails", max_retries=0)
async def fails() -> None:
    await set_attributes({"tried": "yes"})
    raise ValueError("no")


@step(name="e9:wrong")
async def wrong(case: str) -> str:
    try:
        await set_attributes(WRONG[case][0])
    except AttributeLimitError as exc:
        return str(exc)
    return "no error"


STEPS: list[AnyStep] = [sets, sets_plainly, sets_in_a_thread, fails, wrong]
WRONG: dict[str, tuple[Any, str]] = {
    "empty": ({"": "x"}, "must not be empty"),
    "long name": ({"a" * 257: "x"}, "key length 257 exceeds limit 256"),
    "long text": ({"a": "x" * 400}, "byte length 400 exceeds limit 256"),
    "reserved": ({"$a": "x"}, "reserved prefix"),
    "many": ({f"a{n}": "x" for n in range(65)}, "exceed limit 64"),
    "large": ({f"a{n}": "x" * 250 for n in range(40)}, "exceeds limit 8192"),
}
SOURCE = """
import { setAttributes, FatalError } from "workflow";
import { fails, sets, sets_in_a_thread, sets_plainly, wrong } from "python:e9";

export async function all() {
  "use workflow";
  setAttributes({ phase: "one", gone: "x" });
  await sets("step", "two");
  await sets("phase", "two");
  await sets("gone", null);
  await sets_plainly("plain", "3");
  await sets_in_a_thread("thread", "4");
  await Promise.all([sets("a", "1"), sets("b", "2"), sets("c", "3")]);
  try { await fails(); } catch {}
  void setAttributes({ last: "yes" });
  return "done";
}
export async function throws() {
  "use workflow";
  setAttributes({ kept: "yes" });
  throw new Error("no");
}
export async function of_steps(cases: string[]) {
  "use workflow";
  const told: string[] = [];
  for (const one of cases) told.push(await wrong(one));
  return told;
}
export async function fills(count: number) {
  "use workflow";
  for (let n = 0; n < count; n++) {
    setAttributes({ [`w${n}`]: "x" });
    if (n % 10 === 9) await sets(`s${n}`, "x");
  }
  return count;
}
"""


def flow(name: str) -> Workflow:
    return Workflow.from_source(SOURCE, name=name)


@EVERY_WORLD
async def test_they_are_set_at_start_in_the_workflow_and_in_steps(world: World) -> None:
    seeds = {"customer": "ann", "$parent": "run_1"}
    async with Worker(world, steps=STEPS):
        run = await start(
            flow("all"), world=world, attributes=seeds, allow_reserved_attributes=True
        )
        assert await run.result(timeout=30) == "done"
    texts = {
        "phase": "two",
        "step": "two",
        "plain": "3",
        "thread": "4",
        "a": "1",
        "b": "2",
        "c": "3",
        "tried": "yes",
        "last": "yes",
    }
    assert dict((await run.info()).attributes) == seeds | texts
    (found,) = (await list_runs(attributes={"plain": "3", "customer": "ann"}, world=world)).runs
    assert found.run_id == run.id
    writers = {
        str(logged.event.entity).partition("_")[0]
        async for logged in run.events()
        if logged.event.type is EventType.ATTRIBUTES_SET
    }
    assert writers == {"step", "None"}  # who has set them: a step, or the workflow
    assert (await verify_run(world, run.id)).passed


@EVERY_WORLD
async def test_they_stay_when_the_workflow_throws(world: World) -> None:
    async with Worker(world, steps=[]):
        run = await start(flow("throws"), world=world)
        with pytest.raises(RunFailedError):
            await run.result(timeout=20)
    assert dict((await run.info()).attributes) == {"kept": "yes"}


@IN_MEMORY
async def test_each_limit_is_told_at_start_and_nothing_is_started(world: World) -> None:
    for changes, text in WRONG.values():
        with pytest.raises(UsageError, match=text):
            await start(flow("all"), world=world, attributes=changes)
    assert (await list_runs(world=world)).runs == ()


@IN_MEMORY
async def test_each_limit_is_told_in_a_step(world: World) -> None:
    async with Worker(world, steps=STEPS):
        run = await start(flow("of_steps"), [list(WRONG)], world=world)
        told = cast("list[str]", await run.result(timeout=20))
    for text, (_, expected) in zip(told, WRONG.values(), strict=True):
        assert expected in text
    assert dict((await run.info()).attributes) == {}


@EVERY_WORLD
async def test_too_many_in_all_fail_the_run_from_the_workflow(world: World) -> None:
    async with Worker(world, steps=STEPS):
        seeds = {f"a{n}": "x" for n in range(50)}
        fits = await start(flow("fills"), [13], world=world, attributes=seeds)
        assert await fits.result(timeout=30) == 13
        assert len((await fits.info()).attributes) == 50 + 13 + 1
        run = await start(flow("fills"), [14], world=world, attributes=seeds)
        with pytest.raises(RunFailedError, match="exceed limit 64") as failure:
            await run.result(timeout=30)
    assert isinstance(failure.value.error, GuestError)
    assert (failure.value.error.name, failure.value.code) == ("AttributeLimitError", "USER_ERROR")


@IN_MEMORY
async def test_too_many_in_all_fail_the_call_from_a_step(world: World) -> None:
    seeds = {f"a{n}": "x" for n in range(64)}
    async with Worker(world, steps=STEPS):
        run = await start(flow("all"), world=world, attributes={"only": "one"})
        await run.result(timeout=20)
        full = Workflow.from_source(
            'import { sets } from "python:e9";\n'
            'export async function full() { "use workflow"; await sets("a0", "y");\n'
            '  try { await sets("more", "x"); } catch (e: any) { return [e.name, e.fatal]; } }'
        )
        run = await start(full, world=world, attributes=seeds)
        assert await run.result(timeout=20) == ["AttributeLimitError", True]
    assert dict((await run.info()).attributes) == seeds | {"a0": "y"}


async def test_outside_a_step_there_is_no_run() -> None:
    with pytest.raises(UsageError, match="only within a step"):
        set_attributes({"a": "b"})
