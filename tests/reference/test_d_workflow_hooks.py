"""D1, D2, D5, D6, D7, D9, D13 of the reference: hooks as workflow code sees them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from perdure import Hook, Run, Worker, Workflow, get_hook, resume_hook, start, step
from perdure.abc import World
from perdure.errors import GuestError, HookNotFoundError, RunFailedError
from perdure.model import EventType
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { createHook, sleep } from "workflow";
import { HookConflictError, HookDisposedError } from "workflow/errors";
import { note } from "python:hooks_of_workflows";

export async function registers(token: string) {
  "use workflow";
  const step = note("first");
  const hook = createHook<number>({ token, metadata: { about: token } });
  return [await step, await hook];
}

export async function loops(token: string) {
  "use workflow";
  const hook = createHook<number>({ token }), got: number[] = [];
  for await (const item of hook) {
    got.push(item);
    if (got.length === 2) break;
  }
  got.push(await hook);
  for await (const item of hook) {
    if (item === 0) break;
    got.push(item);
  }
  return got;
}

export async function races(token: string, rounds: number) {
  "use workflow";
  const hook = createHook<number>({ token }), got: number[] = [];
  let late = 0;
  while (got.length < rounds) {
    const item = await Promise.race([hook, sleep(20)]);
    if (item === undefined) late++;
    else got.push(item);
    if (late === 3) await note("late"); // nobody waits for the hook meanwhile
  }
  return [got, late > 0];
}

export async function conflicts(token: string) {
  "use workflow";
  const hook = createHook({ token });
  const errors = [];
  for (let k = 0; k < 2; k++) {
    try {
      await hook;
    } catch (error) {
      if (!HookConflictError.is(error)) throw error;
      errors.push([error.token, error.conflictingRunId]);
    }
  }
  return errors;
}

export async function uncaught(token: string) {
  "use workflow";
  await createHook({ token });
}

export async function mutex(token: string) {
  "use workflow";
  const hook = createHook({ token });
  const conflict = await hook.getConflict();
  if (conflict === null) await note("held");
  return { owner: conflict?.runId ?? null, same: conflict === await hook.getConflict() };
}

export async function reuses(token: string) {
  "use workflow";
  const got: unknown[] = [];
  for (let k = 0; k < 3; k++) {
    using hook = createHook({ token });
    got.push(await hook);
  }
  const last = createHook({ token });
  const waiting = last.then(() => "never", (error) => error);
  last.dispose();
  const error = await waiting;
  got.push(error.name, HookDisposedError.is(error), error.token);
  return got;
}

export async function takes(token: string, force: boolean) {
  "use workflow";
  const hook = createHook({ token, force });
  try {
    return [await hook, null];
  } catch (error) {
    return [error.name, error.forceClaimedBy];
  }
}

export async function ends(token: string) {
  "use workflow";
  const kept = createHook({ token, minRetention: "1 hour" });
  createHook({ token: token + " too" });
  note("never run");
  sleep("1 day");
  return kept.token;
}
"""


@step(name="hooks_of_workflows:note")
async def note(text: str) -> str:
    return text


def flow(name: str) -> Workflow:
    return Workflow.from_source(SOURCE, name=name)


@asynccontextmanager
async def running(world: World, name: str, *args: object) -> AsyncGenerator[Run, None]:
    """A run of one of the workflows, with a worker."""
    async with Worker(world, steps=[note]):
        yield await start(flow(name), args, world=world)


async def until_live(world: World, token: str) -> Hook:
    async def found() -> Hook | None:
        with contextlib.suppress(HookNotFoundError):
            return await get_hook(token, world)
        return None

    return await until(found)


async def kinds(run: Run) -> list[EventType]:
    return [logged.event.type async for logged in run.events()]


async def test_d1_a_hook_is_registered_in_the_write_of_its_turn(world: World) -> None:
    async with running(world, "registers", "d1") as run:
        hook = await until_live(world, "d1")
        assert (hook.run_id, hook.metadata) == (run.id, {"about": "d1"})
        await resume_hook("d1", 5, world=world)
        assert await run.result(timeout=20) == ["first", 5]
        assert (await kinds(run)).count(EventType.HOOK_CREATED) == 1


async def test_d2_payloads_come_in_order_and_break_leaves_the_hook_open(world: World) -> None:
    async with running(world, "loops", "d2") as run:
        await until_live(world, "d2")
        for payload in (1, 2, 3, 4, 5, 0):
            await resume_hook("d2", payload, world=world)
        assert await run.result(timeout=20) == [1, 2, 3, 4, 5]
        assert EventType.HOOK_DISPOSED not in await kinds(run)


async def test_d5_a_token_that_another_run_has_is_a_conflict_each_time(world: World) -> None:
    async with running(world, "registers", "d5") as owner:
        await until_live(world, "d5")
        other = await start(flow("conflicts"), ["d5"], world=world)
        assert await other.result(timeout=20) == [["d5", owner.id]] * 2
        failing = await start(flow("uncaught"), ["d5"], world=world)
        with pytest.raises(RunFailedError, match="already in use by another workflow") as failure:
            await failing.result(timeout=20)
        error = failure.value.error
        assert isinstance(error, GuestError)
        assert error.props == {"token": "d5", "conflictingRunId": owner.id}
        assert EventType.HOOK_CREATED not in await kinds(failing)
        await resume_hook("d5", 1, world=world)
        assert await owner.result(timeout=20) == ["first", 1]


async def test_d6_get_conflict_says_who_has_the_token_without_a_payload(world: World) -> None:
    async with running(world, "registers", "d6") as owner:
        await until_live(world, "d6")
        loser = await start(flow("mutex"), ["d6"], world=world)
        assert await loser.result(timeout=20) == {"owner": owner.id, "same": True}
        winner = await start(flow("mutex"), ["d6 of its own"], world=world)
        assert await winner.result(timeout=20) == {"owner": None, "same": True}
        assert EventType.HOOK_RECEIVED not in await kinds(winner)
        await owner.cancel()


async def test_d7_a_disposed_token_is_free_at_once_for_the_same_run(world: World) -> None:
    async with running(world, "reuses", "d7") as run:
        for n in range(1, 4):

            async def another(n: int = n) -> Hook | None:
                hook = await until_live(world, "d7")
                return hook if hook.id == f"hook_{n}" else None

            await resume_hook(await until(another), n, world=world)
        assert await run.result(timeout=20) == [1, 2, 3, "HookDisposedError", True, "d7"]
        assert (await kinds(run)).count(EventType.HOOK_DISPOSED) == 4


async def test_d9_a_token_that_is_taken_by_force_moves_and_its_hook_hears_of_it(
    world: World,
) -> None:
    async with running(world, "takes", "d9", False) as first:
        await until_live(world, "d9")
        second = await start(flow("takes"), ["d9", True], world=world)
        assert await first.result(timeout=20) == ["HookForceClaimedError", second.id]
        assert (await kinds(first)).count(EventType.HOOK_REVOKED) == 1
        hook = await resume_hook("d9", 5, world=world)
        assert hook.run_id == second.id
        assert await second.result(timeout=20) == [5, None]


async def test_d13_a_hook_that_lost_to_a_sleep_takes_no_payload(world: World) -> None:
    async with running(world, "races", "d13", 8) as run:
        await until_live(world, "d13")

        async def has_slept() -> bool:
            return (await kinds(run)).count(EventType.WAIT_COMPLETED) >= 3

        await until(has_slept)
        for n in range(8):
            await resume_hook("d13", n, world=world)
        assert await run.result(timeout=20) == [[0, 1, 2, 3, 4, 5, 6, 7], True]


async def test_the_end_of_a_run_has_what_nobody_awaited_and_sends_nothing(world: World) -> None:
    async with running(world, "ends", "end") as run:
        assert await run.result(timeout=20) == "end"
        assert await kinds(run) == [
            EventType.RUN_CREATED,
            EventType.HOOK_CREATED,
            EventType.HOOK_CREATED,
            EventType.STEP_CREATED,
            EventType.WAIT_CREATED,
            EventType.RUN_COMPLETED,
        ]
        assert (await get_hook("end", world)).run_id == run.id  # kept for an hour
        with pytest.raises(HookNotFoundError):
            await get_hook("end too", world)
        later = await start(flow("conflicts"), ["end"], world=world)
        assert await later.result(timeout=20) == [["end", run.id]] * 2
