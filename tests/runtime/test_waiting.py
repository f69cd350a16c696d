"""Waiting for a run that a worker beside the waiter carries."""

from __future__ import annotations

import anyio
import pytest

from perdure import Worker, Workflow, start, step
from perdure.abc import World
from perdure.errors import RunCancelledError, RunTimeoutError
from perdure.model import RunId, RunRecord
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

let_go: list[anyio.Event] = []

FLOW = Workflow.from_source(
    'import { hold } from "python:waiting";\n'
    'export async function flow(): Promise<number> { "use workflow"; return await hold(); }\n',
    filename="flow.ts",
)


@step(name="waiting:hold")
async def hold() -> int:
    await let_go[0].wait()
    return 3


@pytest.fixture(autouse=True)
def _event() -> None:
    let_go[:] = [anyio.Event()]


async def test_whoever_waits_again_and_again_leaves_nothing_behind(world: World) -> None:
    async with Worker(world, steps=[hold]) as worker:
        run = await start(FLOW)
        listeners = worker._carriers[RunId(run.id)]._listeners
        for _ in range(3):
            with pytest.raises(RunTimeoutError):
                await run.result(timeout=0.06)
        assert listeners == []
        let_go[0].set()
        assert await run.result(timeout=10) == 3


async def test_a_run_that_is_cancelled_while_its_step_runs_is_told_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, wait_ended = anyio.Event(), world.storage.wait_ended

    async def noted(run_id: RunId, *, wait_ms: int) -> RunRecord:
        waits.set()
        return await wait_ended(run_id, wait_ms=wait_ms)

    monkeypatch.setattr(world.storage, "wait_ended", noted)
    async with Worker(world, steps=[hold]):
        run = await start(FLOW)

        async def cancel() -> None:
            await waits.wait()  # the waiter has come to wait for the store, too
            await run.cancel("enough")

        async with anyio.create_task_group() as group:
            group.start_soon(cancel)
            with anyio.fail_after(5), pytest.raises(RunCancelledError):
                await run.result()
        let_go[0].set()
