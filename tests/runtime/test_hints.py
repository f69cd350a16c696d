"""What ``run.result()`` says when nothing works on a run, and that it is silent otherwise."""

from __future__ import annotations

import logging

import anyio
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, start, step
from perdure._runtime import run as handles
from perdure._runtime.inspect import hints
from perdure._runtime.inspect.hints import why_waiting
from perdure.abc import World
from perdure.errors import RunTimeoutError
from perdure.model import RunRecord

pytestmark = pytest.mark.anyio


@step(name="hinted:add")
async def add(a: int, b: int) -> int:
    return a + b


def flow(body: str) -> Workflow:
    return Workflow.from_source(
        'import { sleep } from "workflow"; import { add } from "python:hinted";\n'
        f'export async function w() {{ "use workflow"; {body} }}\n'
    )


async def said(world: World, run: Run, caplog: pytest.LogCaptureFixture) -> str:
    """The hint, which is in the warning as it is in the error."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "perdure"), pytest.raises(RunTimeoutError) as caught:
        await run.result(timeout=0.01)
    hint = await why_waiting(world, await run.info())
    assert hint in str(caught.value)
    assert hint in caplog.text
    return hint


async def parked(world: World, body: str) -> Run:
    async with Worker(world, steps=[]):
        run = await start(flow(body))
        with anyio.fail_after(10):
            while not (await run.info()).turn:
                await anyio.lowlevel.checkpoint()
    return run


async def test_no_worker_has_begun_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    run = await start(flow("return 1"), world=world)
    hint = await said(world, run, caplog)
    assert f"perdure worker --world {world.url}" in hint
    assert "async with Worker(world)" in hint


async def test_a_worker_that_is_full_is_not_said_to_be_missing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    @step(name="hinted:busy")
    async def busy() -> None:
        begun.set()
        await go_on.wait()

    async with Worker(world, steps=[busy], max_turns=1):
        await start(busy_flow())
        await begun.wait()
        await start(busy_flow())  # which a claim that is under way may still take
        run = await start(flow("return 1"))
        assert "each carries as many runs as it may" in await said(world, run, caplog)
        go_on.set()
        assert await run.result(timeout=10) == 1


def busy_flow() -> Workflow:
    return Workflow.from_source(
        'import { busy } from "python:hinted";\n'
        'export async function w() { "use workflow"; await busy(); return 1; }\n'
    )


async def test_no_worker_has_its_step(world: World, caplog: pytest.LogCaptureFixture) -> None:
    run = await parked(world, "return await add(1, 2)")
    assert f"perdure worker --steps hinted --world {world.url}" in await said(world, run, caplog)


async def test_no_worker_wakes_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    run = await parked(world, "await sleep(200)")
    with anyio.fail_after(10):
        while not await why_waiting(world, await run.info()):
            await anyio.lowlevel.checkpoint()
    assert "no worker has claimed it" in await said(world, run, caplog)


async def test_what_others_wait_for_is_no_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sleeping = await parked(world, 'await sleep("1 day")')
    await parked(world, "return await add(1, 2)")  # another run's step has no worker
    await start(flow("return 1"), world=world)  # nor has another run
    assert await said(world, sleeping, caplog) == ""
    assert caplog.text == ""


async def test_the_log_of_a_run_that_goes_on_is_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes as long as the log is; a waiter looks every two seconds."""
    run = await parked(world, "return await add(1, 2)")
    position = (await run.info()).position
    looks: list[int] = []

    async def looked(world: World, record: RunRecord) -> str:
        looks.append(record.position)
        return await why_waiting(world, record)

    monkeypatch.setattr(hints, "why_waiting", looked)
    assert await run._warn(world, "", position - 1, pause=0) == ("", position)
    assert looks == []
    hint, end = await run._warn(world, "", position, pause=0)
    assert ("hinted:add" in hint, end) == (True, position)
    assert set(looks) == {position}


async def test_a_waiter_looks_again_from_where_it_looked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await parked(world, "return await add(1, 2)")
    lasts: list[int | None] = []

    async def warn(
        self: Run, world: World, before: str, last: int | None, *, pause: float
    ) -> tuple[str, int]:
        lasts.append(last)
        return "", 10 + len(lasts)

    monkeypatch.setattr(handles, "_SLICE_MS", 10)
    monkeypatch.setattr(Run, "_warn", warn)
    with pytest.raises(RunTimeoutError):
        await run.result(timeout=0.03)
    assert lasts == [None, 11, 12]
