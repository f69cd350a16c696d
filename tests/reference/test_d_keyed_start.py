"""Keyed starts: of several runs that are started with one token, one begins."""

from __future__ import annotations

import anyio
import pytest

from perdure import (
    HookConflictError,
    Run,
    Worker,
    Workflow,
    get_hook,
    list_runs,
    resume_hook,
    start,
)
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.start import start_again
from perdure.abc import World
from perdure.errors import HookNotFoundError, UsageError
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = pytest.mark.anyio

SOURCE = """
import { createHook, sleep } from "workflow";
export async function order(token: string) {
  "use workflow";
  await sleep(1);
  const hook = createHook<any>({ token });
  return [await hook, await hook];
}
export async function other() {
  "use workflow";
  return await createHook({ token: "another" });
}
"""
ORDER = Workflow.from_source(SOURCE, name="order")


@EVERY_WORLD
async def test_the_loser_learns_who_won_and_nothing_of_it_exists(world: World) -> None:
    winners: list[Run] = []
    losers: list[HookConflictError] = []

    async def try_it() -> None:
        try:
            winners.append(await start(ORDER, ["one"], hook="one", world=world))
        except HookConflictError as exc:
            losers.append(exc)

    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(try_it)
    (run,) = winners
    assert {(error.token, error.run_id) for error in losers} == {("one", run.id)}
    assert len(losers) == 11
    assert [record.run_id for record in (await list_runs(world=world)).runs] == [run.id]
    hook = await get_hook("one", world)
    assert (hook.run_id, hook.id) == (run.id, "hook_0")
    assert [one.token for one in await run.hooks()] == ["one"]


@EVERY_WORLD
async def test_payloads_wait_for_the_hook_that_the_code_creates(world: World) -> None:
    run = await start(ORDER, ["early"], hook="early", world=world)
    assert (await resume_hook("early", "first", world=world)).run_id == run.id
    async with Worker(world, steps=[]):
        await resume_hook("early", "second", world=world)
        assert await run.result(timeout=20) == ["first", "second"]
        with pytest.raises(HookNotFoundError):
            await get_hook("early", world)  # free again
        again = await start_again(world, run.id)  # which claims it again
        with pytest.raises(HookConflictError) as conflict:
            await start_again(world, run.id)
        assert conflict.value.run_id == again.id
        await again.cancel()
        await (await start(ORDER, ["early"], hook="early", world=world)).cancel()
    assert (await verify_run(world, run.id)).passed


@EVERY_WORLD
async def test_the_same_start_asked_for_again_is_the_same_run(world: World) -> None:
    async def begin() -> Run:
        return await start(ORDER, ["key"], hook="key", idempotency_key="order-17", world=world)

    assert (await begin()).id == (await begin()).id


@IN_MEMORY
async def test_a_worker_beside_it_creates_it_whole(world: World) -> None:
    async with Worker(world, steps=[]):
        run = await start(ORDER, ["beside"], hook="beside", world=world)
        with pytest.raises(HookConflictError):
            await start(ORDER, ["beside"], hook="beside", world=world)
        for n in range(2):
            await resume_hook("beside", n, world=world)
        assert await run.result(timeout=20) == [0, 1]


@IN_MEMORY
@pytest.mark.parametrize("token", ["", "x" * 501, "\U0001f600" * 251, 7])
async def test_what_no_hook_can_have_is_refused(world: World, token: str) -> None:
    with pytest.raises(UsageError, match="hook"):
        await start(ORDER, ["x"], hook=token, world=world)
    assert (await list_runs(world=world)).runs == ()
