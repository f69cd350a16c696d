# ruff: noqa: E501  # one program a line
"""E8: a run that waits for nothing but an abort waits, where others can abort; else it has stalled."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Run, Worker, Workflow, get_run, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.inspect.inspection import inspect_run
from perdure.abc import World
from perdure.errors import RunFailedError
from perdure.model import EventType
from perdure.values import AbortController
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, EVERY_WORLD]
HEAD = 'import { keep, look } from "python:awaited"; const heard = (s) => new Promise((r) => s.addEventListener("abort", () => r(s.reason))); export async function w() { "use workflow"; const c = new AbortController(), s = c.signal; '
# Where a listener stands, by a name for it.
WAITS = {
    "after it crossed": "await keep(c); return await heard(s);",
    "before it crossed": "const told = heard(s); await keep(c); return await told;",
    "by its property": "await keep(c); return await new Promise((r) => { s.onabort = () => r(s.reason); });",
    "on one of any": "await keep(c); return await heard(AbortSignal.any([s, new AbortController().signal]));",
    "on any before it crossed": "const told = heard(AbortSignal.any([AbortSignal.any([s])])); await keep(c); return await told;",
    "twice": "await keep(c); return (await Promise.all([heard(s), heard(s)]))[1];",
}
STALLS = {
    "nobody has the controller": "await look(s); return await heard(s);",
    "it never crossed": "return await heard(s);",
    "nobody listens": "await keep(c); await new Promise(() => {});",
    "it is aborted": "await keep(c); c.abort(); return await heard(s);",
    "of any, nobody has one": "await keep(c); return await heard(AbortSignal.any([new AbortController().signal]));",
    "other kinds of event": 'await keep(c); s.addEventListener("other", () => 1); await new Promise(() => {});',
    "it listens no more once it came": "const told = heard(s); await keep(c); c.abort(); await told; await new Promise(() => {});",
}


def steps_of(kept: list[AbortController]) -> list[Any]:
    @step(name="awaited:keep")
    async def keep(controller: AbortController) -> None:
        kept.append(controller)

    @step(name="awaited:look")
    async def look(signal: object) -> None: ...

    return [keep, look]


async def kinds_of(run: Run) -> list[EventType]:
    return [logged.event.type async for logged in run.events()]


async def until_awaited(run: Run) -> None:
    """The step has the controller, and the run waits for nothing else."""

    async def look() -> bool:
        return {EventType.ABORT_AWAITED, EventType.STEP_COMPLETED} <= set(await kinds_of(run))

    await until(look)


@pytest.mark.parametrize("where", WAITS)
async def test_a_run_waits_for_an_abort_that_others_can_make(world: World, where: str) -> None:
    kept: list[AbortController] = []
    async with Worker(world, steps=steps_of(kept)):
        run = await start(Workflow.from_source(HEAD + WAITS[where] + "}"), world=world)
        await until_awaited(run)
        (aborts,) = (await inspect_run(world, run.id)).as_json()["aborts"]
        assert (aborts["status"], aborts["id"]) == ("awaited", kept[0].id)
        assert aborts["at"].startswith("workflow.ts:1:")
        await kept[0].abort("now")
        assert await run.result(timeout=20) == "now"
        assert (await verify_run(world, run.id)).problems == []


@pytest.mark.parametrize("why", STALLS)
@IN_MEMORY
async def test_a_run_that_nobody_can_abort_has_stalled(world: World, why: str) -> None:
    async with Worker(world, steps=steps_of([])):
        run = await start(Workflow.from_source(HEAD + STALLS[why] + "}"), world=world)
        with pytest.raises(RunFailedError, match="RunStalledError"):
            await run.result(timeout=20)


async def test_it_waits_on_from_its_snapshot_and_from_its_log(world: World) -> None:
    """The worker that it waits with goes; the next thaws it, or makes it anew from its log."""
    for keeps in (True, False):
        kept: list[AbortController] = []
        async with Worker(world, steps=steps_of(kept)):
            run = await start(
                Workflow.from_source(HEAD + WAITS["before it crossed"] + "}"), world=world
            )
            await until_awaited(run)
        if not keeps:
            await world.snapshots.delete(run.id)
        async with Worker(world, steps=steps_of(kept)):
            await kept[0].abort("later")
            assert await get_run(run.id, world).result(timeout=20) == "later"
            assert (await verify_run(world, run.id)).problems == []
