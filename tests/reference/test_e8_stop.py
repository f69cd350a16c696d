"""E8: steps are told that they are not wanted any more: by an abort, their run's end, a timeout."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from perdure import Run, Worker, Workflow, start, step, stop_event, timeout_event
from perdure._runtime import aborts
from perdure.abc import World
from perdure.errors import UsageError
from perdure.model import RunId
from perdure.values import AbortController
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, EVERY_WORLD]
Told = list[object]


def steps_of(begun: threading.Event, told: Told, timeout: float | None) -> dict[str, Any]:
    """Steps of each kind that go on until they are told."""
    options: dict[str, Any] = {"timeout": timeout, "max_retries": 0}

    @step(name="told:plain", **options)
    def plain(controller: AbortController | None) -> None:
        begun.set()
        told.append(stop_event().wait(20))

    @step(name="told:both", **options)
    def both(controller: AbortController | None) -> Awaitable[None]:
        event = stop_event()

        async def rest() -> None:
            begun.set()
            told.append(await anyio.to_thread.run_sync(event.wait, 20))

        return rest()

    @step(name="told:cut", cancellable=True, **options)
    async def cut(controller: AbortController | None) -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            told.append(True)
            raise

    @step(name="told:threads", **options)
    async def threads(controller: AbortController | None) -> None:
        assert stop_event() is stop_event()
        begun.set()
        told.append(await anyio.to_thread.run_sync(stop_event().wait, 20))

    return {"plain": plain, "both": both, "cut": cut, "threads": threads}


async def by_abort(run: Run, world: World) -> None:
    (hook,) = await run.hooks()
    metadata: Any = hook.metadata
    await metadata.abort("enough")


async def by_cancel(run: Run, world: World) -> None:
    await run.cancel()


async def by_timeout(run: Run, world: World) -> None:
    """It passes by itself."""


async def by_deletion(run: Run, world: World) -> None:
    await run.cancel()
    await world.catalogue.delete_run(RunId(run.id))


CAUSES = [by_abort, by_cancel, by_timeout, by_deletion]


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("kind", ["plain", "both", "cut", "threads"])
async def test_a_step_of_each_kind_is_told_by_each_cause(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    cause: Callable[[Run, World], Awaitable[None]],
) -> None:
    monkeypatch.setattr(aborts, "_LOOK", 0.02)
    begun, told = threading.Event(), list[object]()
    steps = steps_of(begun, told, 0.05 if cause is by_timeout else None)
    source = (
        f'import {{ createHook }} from "workflow"; import {{ {kind} }} from "python:told";'
        'export async function w(aborts) { "use workflow"; const c = new AbortController();'
        "if (aborts) createHook({ metadata: c });"
        f"try {{ await {kind}(aborts ? c : null); }} catch {{ }} }}"
    )
    async with Worker(world, steps=list(steps.values())):
        run = await start(Workflow.from_source(source), [cause is by_abort], world=world)
        await anyio.to_thread.run_sync(begun.wait, 20)
        await cause(run, world)

        async def look() -> Told:
            return told

        assert await until(look) == [True]


@IN_MEMORY
async def test_nothing_is_looked_at_for_a_step_that_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aborts, "_LOOK", 0.0)
    events: list[threading.Event] = []
    looks: list[aborts.AbortWatch] = []
    look = aborts.AbortWatch.look

    async def noted(self: aborts.AbortWatch) -> None:
        looks.append(self)
        await look(self)

    monkeypatch.setattr(aborts.AbortWatch, "look", noted)

    @step(name="told:brief")
    async def brief() -> None:
        events.append(stop_event())

    source = (
        'import { brief } from "python:told";'
        'export async function w() { "use workflow"; await brief(); }'
    )
    async with Worker(world, steps=[brief]):
        run = await start(Workflow.from_source(source), world=world)
        await run.result(timeout=20)
        for _ in range(9):
            await anyio.lowlevel.checkpoint()
    assert [event.is_set() for event in events] == [False]
    assert looks == []


@IN_MEMORY
async def test_an_abort_is_no_timeout(world: World) -> None:
    seen: list[tuple[bool, bool]] = []

    @step(name="told:both_events")
    def both_events(signal: object) -> None:
        seen.append((stop_event().is_set(), timeout_event().is_set()))

    source = (
        'import { both_events } from "python:told"; export async function w() {'
        '"use workflow"; await both_events(AbortSignal.abort()); }'
    )
    async with Worker(world, steps=[both_events]):
        await (await start(Workflow.from_source(source), world=world)).result(timeout=20)
    assert seen == [(True, False)]


def test_outside_a_step_there_is_none() -> None:
    with pytest.raises(UsageError, match="stop_event"):
        stop_event()
