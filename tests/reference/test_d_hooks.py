"""D3, D4, D8, D10 of the reference: hooks as their callers see them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import cast

import anyio
import pytest

from perdure import Hook, Run, Worker, Workflow, get_hook, get_run, resume_hook, start
from perdure.abc import World
from perdure.errors import HookNotFoundError, UsageError, ValueNotCarriableError
from perdure.model import Append, EntityId, Event, EventType
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { createHook, sleep } from "workflow";

export async function talk(token: string, metadata?: unknown) {
  "use workflow";
  const hook = createHook<any>({ token, metadata });
  const said: unknown[] = [];
  while (true) {
    const payload = await hook;
    if (payload?.done) return said;
    said.push(payload);
  }
}

export async function keeps(token: string) {
  "use workflow";
  const hook = createHook({ token, minRetention: "1 day" });
  return await hook;
}

export async function waits_for_all(token: string, isTaker: boolean) {
  "use workflow";
  const hook = createHook<number>({ token, force: isTaker }), said: number[] = [];
  try {
    for await (const payload of hook) {
      if (payload < 0) break;
      said.push(payload);
    }
  } catch (error: any) {
    return [error.name, said];
  }
  return ["", said];
}

export async function several(tokens: string[]) {
  "use workflow";
  const hooks = tokens.map((token) => createHook({ token }));
  hooks[1].dispose();
  await Promise.all([hooks[0], hooks[2]]);
}
"""
TALK = Workflow.from_source(SOURCE, name="talk")
KEEPS = Workflow.from_source(SOURCE, name="keeps")
ALL = Workflow.from_source(SOURCE, name="waits_for_all")
SEVERAL = Workflow.from_source(SOURCE, name="several")
DONE = {"done": True}


@asynccontextmanager
async def talking(world: World, token: str, *more: object) -> AsyncGenerator[Run, None]:
    """A run that waits at a hook."""
    async with Worker(world, steps=[]):
        run = await start(TALK, [token, *more], world=world)
        await until_live(world, token)
        yield run


async def until_live(world: World, token: str) -> Hook:
    async def found() -> Hook | None:
        with contextlib.suppress(HookNotFoundError):
            return await get_hook(token, world)
        return None

    return await until(found)


async def received(run: Run) -> int:
    kinds = [logged.event.type async for logged in run.events()]
    return kinds.count(EventType.HOOK_RECEIVED)


async def test_payloads_arrive_in_order_and_are_durable_when_the_call_returns(
    world: World,
) -> None:
    values: Sequence[object] = [1, "two", {"three": [3.5, None]}, b"4"]
    async with talking(world, "d3") as run:
        for n, value in enumerate(values, 1):
            hook = await resume_hook("d3", value, world=world)
            assert (hook.run_id, hook.token) == (run.id, "d3")
            assert await received(run) == n
        await resume_hook("d3", DONE, world=world)
        assert await run.result(timeout=20) == values


async def test_a_hook_tells_its_run_and_its_metadata(world: World) -> None:
    async with talking(world, "d4", {"customer": 7}) as run:
        hook = await get_hook("d4", world)
        assert (hook.run_id, hook.token, hook.metadata) == (run.id, "d4", {"customer": 7})
        assert hook.is_webhook is False
        (own,) = await run.hooks()
        assert replace(own, created_at=hook.created_at) == hook
        assert abs(own.created_at - hook.created_at) < timedelta(seconds=5)  # to the turn's time
        await resume_hook(hook, DONE, world=world)
        await run.result(timeout=20)
        assert await run.hooks() == ()


async def test_a_repeated_resume_id_counts_once(world: World) -> None:
    async with talking(world, "once") as run:
        async with anyio.create_task_group() as group:
            for n in range(8):
                group.start_soon(_resume, world, n)
        assert await received(run) == 1
        hook = await resume_hook("once", DONE, resume_id="end", world=world)
        (payload,) = cast("list[int]", await run.result(timeout=20))
        assert payload in range(8)
        # The run has ended, and its hook knows that this was received.
        assert await resume_hook(hook, DONE, resume_id="end", world=world) == hook


async def _resume(world: World, n: int) -> None:
    await resume_hook("once", n, resume_id="order-17", world=world)


async def test_a_token_that_nobody_holds_is_named(world: World) -> None:
    with pytest.raises(HookNotFoundError, match=r"'nobody'.*perdure hooks") as failure:
        await resume_hook("nobody", 1, world=world)
    assert failure.value.token == "nobody"
    with pytest.raises(HookNotFoundError, match="nobody"):
        await get_hook("nobody", world)
    async with Worker(world, steps=[]):
        run = await start(SEVERAL, [["a", "b", "c"]], world=world)
        await until_live(world, "c")
        assert [hook.token for hook in await run.hooks()] == ["a", "c"]
        with pytest.raises(HookNotFoundError, match="'b'"):  # disposed
            await resume_hook("b", 1, world=world)
        hook = await get_hook("a", world)
        await run.cancel()
        for address in ("a", hook):  # ended
            with pytest.raises(HookNotFoundError, match="'a'"):
                await resume_hook(address, 1, world=world)
        assert await received(run) == 0


async def test_a_token_is_free_once_its_run_has_ended(world: World) -> None:
    async with Worker(world, steps=[]):
        for _ in range(2):
            run = await start(TALK, ["again"], world=world)
            await until_live(world, "again")
            await resume_hook("again", DONE, world=world)
            assert await run.result(timeout=20) == []


async def test_a_hook_that_went_leads_to_the_one_that_has_its_token(world: World) -> None:
    async with talking(world, "moves") as first:
        gone = await get_hook("moves", world)
        await first.cancel()
        second = await start(TALK, ["moves"], world=world)
        await until_live(world, "moves")
        hook = await resume_hook(gone, DONE, world=world)
        assert hook.run_id == second.id
        assert await second.result(timeout=20) == []


async def test_a_token_that_moves_while_a_payload_is_on_its_way_is_looked_up_again(
    world: World,
) -> None:
    async with talking(world, "storm") as first:
        stale = await get_hook("storm", world)
        event = Event(
            type=EventType.HOOK_DISPOSED, key=f"{stale.id}/end", at_ms=1, entity=EntityId(stale.id)
        )
        await world.storage.append(Append(run_id=first.id, event=event))
        second = await start(TALK, ["storm"], world=world)
        await until_live(world, "storm")
        for n in range(3):
            hook = await resume_hook(replace(stale, id=f"hook_{n}"), n, world=world)
            assert hook.run_id == second.id
        await resume_hook("storm", DONE, world=world)
        assert await second.result(timeout=20) == [0, 1, 2]
        assert await received(first) == 0


@pytest.mark.worlds("memory")
async def test_payloads_and_names_are_checked_before_anything_is_sent(world: World) -> None:
    with pytest.raises(ValueNotCarriableError, match=r"payload\.when"):
        await resume_hook("t", {"when": object()}, world=world)
    for resume_id in ("", "x" * 201, "a\0b"):
        with pytest.raises(UsageError, match="resume_id"):
            await resume_hook("t", 1, resume_id=resume_id, world=world)
    with pytest.raises(UsageError, match="token is a text"):
        await resume_hook(7, 1, world=world)  # type: ignore[arg-type]  # a caller without types
    with pytest.raises(UsageError, match="token is a text"):
        await get_hook(None, world)  # type: ignore[arg-type]  # likewise
    async with talking(world, "t") as run:
        assert await received(get_run(run.id, world)) == 0


async def test_a_kept_token_is_readable_and_takes_no_more(world: World) -> None:
    """D8: it stays with a run that has ended, for as long as that asked for."""
    async with Worker(world, steps=[]):
        run = await start(KEEPS, ["kept"], world=world)
        await until_live(world, "kept")
        hook = await resume_hook("kept", "last", world=world)
        assert await run.result(timeout=20) == "last"
        assert (await get_hook("kept", world)).run_id == run.id
        count = await received(run)
        for address in ("kept", hook):
            with pytest.raises(HookNotFoundError, match="'kept'"):
                await resume_hook(address, "late", world=world)
        assert await received(run) == count
        assert await run.hooks() == ()


@pytest.mark.slow
async def test_no_payload_is_lost_or_doubled_while_a_token_is_taken_over(world: World) -> None:
    """D9: callers that race with a forced claim reach the one run or the other."""
    async with Worker(world, steps=[]):
        first = await start(ALL, ["taken", False], world=world)
        await until_live(world, "taken")
        holders: list[str] = []
        takers: list[Run] = []

        async def send(n: int) -> None:
            holders.append((await resume_hook("taken", n, world=world)).run_id)

        async with anyio.create_task_group() as group:
            for n in range(12):
                group.start_soon(send, n)
            takers.append(await start(ALL, ["taken", True], world=world))
            for n in range(12, 24):
                group.start_soon(send, n)
        (second,) = takers
        name, early = cast("tuple[str, list[int]]", await first.result(timeout=30))
        assert name == "HookForceClaimedError"
        await resume_hook("taken", -1, world=world)
        _, late = cast("tuple[str, list[int]]", await second.result(timeout=30))
        assert sorted([*early, *late]) == list(range(24))
        assert len(early) == holders.count(first.id)
        assert len(late) == holders.count(second.id)
