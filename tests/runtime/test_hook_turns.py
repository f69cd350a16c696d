"""Hooks in turns: their news comes in the order of the log, beside steps and when replayed."""

from __future__ import annotations

from typing import cast

import pytest

from perdure import Run, Worker, Workflow, resume_hook, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.model import EventType

pytestmark = pytest.mark.anyio

SOURCE = """
import { createHook, sleep } from "workflow";
import { note } from "python:hook_turns";

// In which order things are heard of.
const heard = (order: string[], name: string, promise: PromiseLike<unknown>) =>
  promise.then(() => order.push(name), (error) => order.push(`${name}: ${error.name}`));

export async function asks(token: string) {
  "use workflow";
  const order: string[] = [];
  const before = createHook({ token: token + " before" });
  await note(0);
  const hook = createHook({ token });
  const all = [
    heard(order, "step", note(1)),
    heard(order, "asked", hook.getConflict()),
    heard(order, "asked before", before.getConflict()),
    heard(order, "sleep", sleep(1)),
  ];
  await Promise.all(all);
  return order.indexOf("asked") < order.indexOf("step");
}

export async function loses(token: string) {
  "use workflow";
  const hook = createHook({ token });
  const order: string[] = [];
  await Promise.all([
    heard(order, "step", note(1)),
    heard(order, "hook", hook),
    heard(order, "asked", hook.getConflict()),
  ]);
  return order;
}

export async function holds(token: string) {
  "use workflow";
  const hook = createHook({ token });
  await note(0);
  return await hook;
}

export async function leaves(token: string) {
  "use workflow";
  await note(1);
  const hook = createHook({ token });
  createHook({ token: token + " kept", minRetention: 1000 });
  hook.dispose();
  createHook({ token });
  note(2);
  sleep(5);
}
"""


@step(name="hook_turns:note")
async def note(n: int) -> int:
    return n


def flow(name: str) -> Workflow:
    return Workflow.from_source(SOURCE, name=name)


async def passes(world: World, run: Run) -> None:
    report = await verify_run(world, run.id)
    assert report.passed, report.problems


async def test_an_answer_about_a_token_comes_before_what_happens_after_it(world: World) -> None:
    async with Worker(world, steps=[note]):
        run = await start(flow("asks"), ["t"], world=world)
        assert await run.result(timeout=20) is True
    kinds = [logged.event.type async for logged in run.events()]
    assert kinds.count(EventType.HOOK_REGISTERED) == 2
    await passes(world, run)


async def test_a_conflict_is_told_with_its_facts_and_again_when_it_is_replayed(
    world: World,
) -> None:
    async with Worker(world, steps=[note]):
        owner = await start(flow("holds"), ["t"], world=world)
        while not await owner.hooks():
            await note(0)
        loser = await start(flow("loses"), ["t"], world=world)
        order = await loser.result(timeout=20)
        assert isinstance(order, list)
        assert sorted(map(str, cast("list[object]", order))) == [
            "asked",
            "hook: HookConflictError",
            "step",
        ]
        await resume_hook("t", 5, world=world)
        assert await owner.result(timeout=20) == 5
    await passes(world, loser)
    await passes(world, owner)


async def test_what_a_run_asks_for_as_it_ends_is_audited(world: World) -> None:
    async with Worker(world, steps=[note]):
        run = await start(flow("leaves"), ["t"], world=world)
        await run.result(timeout=20)
    kinds = [logged.event.type async for logged in run.events()]
    assert kinds[-7:] == [
        EventType.HOOK_CREATED,
        EventType.HOOK_CREATED,
        EventType.HOOK_DISPOSED,
        EventType.HOOK_CREATED,
        EventType.STEP_CREATED,
        EventType.WAIT_CREATED,
        EventType.RUN_COMPLETED,
    ]
    await passes(world, run)
