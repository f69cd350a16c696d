"""D8, D9 of the reference: tokens that are kept, and tokens that are taken by force."""

from __future__ import annotations

import contextlib
from typing import cast

import anyio
import pytest

from perdure import Hook, Run, Worker, Workflow, get_hook, resume_hook, start
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.errors import HookConflictError, HookNotFoundError
from perdure.model import EventType, RunId
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { createHook } from "workflow";
import { HookForceClaimedError } from "workflow/errors";

export async function victim(token: string) {
  "use workflow";
  const hook = createHook<number>({ token }), got: unknown[] = [];
  try {
    for await (const item of hook) got.push(item);
  } catch (error) {
    got.push([error.name, HookForceClaimedError.is(error), error.token, error.forceClaimedBy]);
  }
  return got;
}

export async function taker(token: string, count: number) {
  "use workflow";
  const hook = createHook<number>({ token, force: true }), got: number[] = [];
  while (got.length < count) got.push(await hook);
  return got;
}

export async function keeper(token: string) {
  "use workflow";
  const hook = createHook<number>({ token, minRetention: "1 hour" });
  return await hook;
}
"""
VICTIM = Workflow.from_source(SOURCE, name="victim")
TAKER = Workflow.from_source(SOURCE, name="taker")
KEEPER = Workflow.from_source(SOURCE, name="keeper")


async def until_held(world: World, token: str, run_id: str) -> None:
    async def held() -> Hook | None:
        with contextlib.suppress(HookNotFoundError):
            hook = await get_hook(token, world)
            return hook if hook.run_id == run_id else None
        return None

    await until(held)


async def test_a_token_taken_by_force_rejects_its_holder_and_is_the_takers(world: World) -> None:
    async with Worker(world):
        victim = await start(VICTIM, ["d-force"], world=world)
        await until_held(world, "d-force", victim.id)
        await resume_hook("d-force", 1, world=world)
        taker = await start(TAKER, ["d-force", 2], world=world)
        error = ["HookForceClaimedError", True, "d-force", taker.id]
        assert await victim.result(timeout=20) == [1, error]
        for number in (2, 3):
            await resume_hook("d-force", number, world=world)
        assert await taker.result(timeout=20) == [2, 3]
    for run in (victim, taker):
        assert (await verify_run(world, run.id)).passed


async def send(world: World, number: int) -> None:
    await resume_hook("d-race", number, world=world)


@pytest.mark.slow
async def test_payloads_that_race_a_forced_claim_are_received_once(world: World) -> None:
    async with Worker(world):
        victim = await start(VICTIM, ["d-race"], world=world)
        await until_held(world, "d-race", victim.id)
        takers: list[Run] = []

        async def take() -> None:
            takers.append(await start(TAKER, ["d-race", 25], world=world))

        async with anyio.create_task_group() as group:
            for number in range(24):
                group.start_soon(send, world, number)
                if number == 8:
                    group.start_soon(take)
        results = cast("list[object]", await victim.result(timeout=30))
        (taker,) = takers
        await taker.cancel()
    numbers = [item for item in results if not isinstance(item, list)]
    events = await world.storage.read_events(RunId(taker.id))
    at_taker = [e for e in events if e.event.type is EventType.HOOK_RECEIVED]
    assert len({*map(repr, numbers)}) == len(numbers)
    assert len(numbers) + len(at_taker) == 24
    assert (await verify_run(world, victim.id)).passed


async def test_a_token_is_kept_past_the_end_and_takes_no_payload(world: World) -> None:
    async with Worker(world):
        keeper = await start(KEEPER, ["d-keep"], world=world)
        await until_held(world, "d-keep", keeper.id)
        await resume_hook("d-keep", 7, world=world)
        assert await keeper.result(timeout=20) == 7
        log = await world.storage.read_events(RunId(keeper.id))
        assert (await get_hook("d-keep", world)).run_id == keeper.id
        with pytest.raises(HookNotFoundError):
            await resume_hook("d-keep", 8, world=world)
        with pytest.raises(HookConflictError) as caught:
            await start(KEEPER, ["other"], world=world, hook="d-keep")
        assert caught.value.run_id == keeper.id
        taker = await start(TAKER, ["d-keep", 1], world=world)
        await until_held(world, "d-keep", taker.id)
        await resume_hook("d-keep", 9, world=world)
        assert await taker.result(timeout=20) == [9]
        assert await world.storage.read_events(RunId(keeper.id)) == log
