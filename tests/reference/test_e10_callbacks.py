"""E10 of the reference: a worker tells the application of runs that it has ended."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable

import anyio
import pytest

from perdure import Run, RunEnd, RunFailedError, Worker, Workflow, start
from perdure.abc import World
from perdure.errors import UsageError
from perdure.model import RunId, RunStatus
from perdure.testing.memory import MemoryWorld
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = pytest.mark.anyio

SOURCE = """
import { setAttributes, sleep } from "workflow";
export async function one_more() { "use workflow"; setAttributes({ more: "x" }); return 1; }
export async function ok(n: number) { "use workflow"; return n; }
export async function slow() { "use workflow"; await sleep(1); return 1; }
export async function throws() { "use workflow"; throw new TypeError("mine"); }
export async function patient() { "use workflow"; await sleep("1 day"); }
"""


def flow(name: str) -> Workflow:
    return Workflow.from_source(SOURCE, name=name)


@EVERY_WORLD
async def test_each_end_is_told_once_with_its_run_and_error(world: World) -> None:
    completed: list[RunEnd] = []
    failed: list[RunEnd] = []

    async def note(end: RunEnd) -> None:
        await anyio.lowlevel.checkpoint()
        assert await end.run.status() == end.record.status
        completed.append(end)

    async with Worker(world, steps=[], on_run_completed=note, on_run_failed=failed.append):
        ok = await start(flow("ok"), [7], world=world, attributes={"a": "b"})
        slow, throws = [await start(flow(name), world=world) for name in ("slow", "throws")]
        patient = await start(flow("patient"), world=world)
        assert await ok.result(timeout=20) == 7
        await slow.result(timeout=20)
        with pytest.raises(RunFailedError) as failure:
            await throws.result(timeout=20)
        await patient.cancel()
    # A worker that drains has waited for them; nobody is told of what a caller has cancelled.
    assert {end.run.id for end in completed} == {ok.id, slow.id}
    (first,) = [end for end in completed if end.run.id == ok.id]
    assert (first.error, first.record.workflow, first.record.status) == (
        None,
        "ok",
        RunStatus.COMPLETED,
    )
    assert first.record.attributes == {"a": "b"}
    (last,) = failed
    assert last.run.id == throws.id
    assert last.error is not None
    assert (str(last.error), last.error.code) == (str(failure.value), "USER_ERROR")


@IN_MEMORY
async def test_a_run_that_is_given_up_is_told_of_as_others_are(world: World) -> None:
    failed: list[RunEnd] = []
    full = {f"a{n}": "x" for n in range(64)}
    async with Worker(world, steps=[], on_run_failed=failed.append):
        run = await start(flow("one_more"), world=world, attributes=full)
        with pytest.raises(RunFailedError):
            await run.result(timeout=20)
    (end,) = failed
    assert (end.run.id, end.record.code) == (run.id, "USER_ERROR")
    assert "exceed limit 64" in str(end.error)


async def raises(end: RunEnd) -> None:
    raise KeyError(end.run.id)


def exits(end: RunEnd) -> None:
    sys.exit(3)


async def cancels_itself(end: RunEnd) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def leaves_a_scope(end: RunEnd) -> None:
    anyio.CancelScope().__enter__()


@IN_MEMORY
@pytest.mark.parametrize("callback", [raises, exits, cancels_itself, leaves_a_scope])
async def test_whatever_a_callback_does_the_worker_goes_on(
    world: World, callback: Callable[[RunEnd], object], caplog: pytest.LogCaptureFixture
) -> None:
    async with Worker(world, steps=[], on_run_completed=callback):
        for n in range(3):
            run = await start(flow("ok"), [n], world=world)
            assert await run.result(timeout=20) == n
    if callback is not leaves_a_scope:
        messages = [record.getMessage() for record in caplog.records]
        assert sum("on_run_completed raised" in text for text in messages) == 3


@IN_MEMORY
async def test_a_run_that_is_gone_by_then_is_told_of_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends: list[RunEnd] = []
    caplog.set_level(logging.WARNING, "perdure")
    async with MemoryWorld() as world:
        get_run = world.storage.get_run

        async def gone(run_id: RunId) -> object:
            await world.catalogue.delete_run(run_id)
            return await get_run(run_id)

        world.storage.get_run = gone  # type: ignore[method-assign,assignment]  # the callback's look
        async with Worker(world, steps=[], on_run_completed=ends.append):
            await start(flow("ok"), [1], world=world)
    assert ends == []
    assert "its end is told to no callback" in caplog.text


@pytest.mark.parametrize("wrong", [5, "name", Run])
def test_what_cannot_be_called_is_refused(wrong: object) -> None:
    for option in ("on_run_completed", "on_run_failed"):
        with pytest.raises(UsageError, match=option):
            Worker(MemoryWorld("memory://callbacks"), **{option: wrong})  # type: ignore[arg-type]  # wrong on purpose
