"""E1, E6, E11 and E12 of the reference: how runs begin, the states that they have, and their end.

Rows that have no test of their own: E2, since a start is one write, which lands or does not; E3,
since a run executes the code that it was started with, and there is one deployment; E13, since a
log has no greatest length here: limits that there are stand in docs/limits.md, and their tests
beside their code. E4 and E5 are in test_e4_run.py.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from perdure import Run, Worker, Workflow, get_run, list_runs, start, step
from perdure._runtime.inspect.inspection import inspect_run
from perdure._runtime.start import start_again
from perdure.abc import World
from perdure.errors import RunFailedError, RunLiveError, RunNotFoundError, UsageError
from perdure.model import RunStatus
from tests.reference.waiting import until
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { createHook, sleep } from "workflow";
import { fails, work } from "python:e_runs";
export async function ok(value: unknown) { "use workflow"; return value; }
export async function throws() { "use workflow"; await fails(); }
export async function waits() {
  "use workflow";
  await work("a");
  await fails().catch(() => 1);
  await sleep(1);
  createHook({ token: "old" }).dispose();
  await Promise.all([work("hold"), sleep("1 day"), createHook({ token: "e6" })]);
}
"""


def flow(name: str) -> Workflow:
    return Workflow.from_source(SOURCE, name=name)


async def test_e1_a_run_is_there_once_start_returns(world: World) -> None:
    """Without any worker; and what is no workflow starts nothing."""
    run = await start(flow("ok"), [{"a": 1}], world=world, attributes={"of": "e1"})
    assert (await run.status(), await get_run(run.id, world).exists()) == ("pending", True)
    same = await start(flow("ok"), ["key"], world=world, idempotency_key="e1")
    assert (await start(flow("ok"), ["key"], world=world, idempotency_key="e1")).id == same.id
    odd: Any = flow
    with pytest.raises(UsageError, match=r"start\(\) takes a workflow"):
        await start(odd, [], world=world)
    assert {record.run_id for record in (await list_runs(world=world)).runs} == {run.id, same.id}


async def test_e6_runs_and_what_is_in_them_have_their_states(world: World) -> None:
    may_end = anyio.Event()

    @step(name="e_runs:work")
    async def work(name: str) -> None:
        if name == "hold":
            await may_end.wait()

    @step(name="e_runs:fails", max_retries=0)
    async def fails() -> None:
        raise ValueError("as planned")

    runs = {name: await start(flow(name), [1], world=world) for name in ("ok", "throws", "waits")}
    assert {await run.status() for run in runs.values()} == {"pending"}
    async with Worker(world, steps=[work, fails]):
        assert await runs["ok"].result(timeout=20) == 1
        with pytest.raises(RunFailedError):
            await runs["throws"].result(timeout=20)

        async def held() -> Any:
            shown = (await inspect_run(world, runs["waits"].id)).as_json()
            return shown if [hook["token"] for hook in shown["hooks"]][-1:] == ["e6"] else None

        shown = await until(held)
        kinds = ("steps", "waits", "hooks")
        states = {kind: [entity["status"] for entity in shown[kind]] for kind in kinds}
        assert states == {
            "steps": ["completed", "failed", "running"],
            "waits": ["completed", "waiting"],
            "hooks": ["disposed", "live"],
        }
        assert await runs["waits"].status() == "running"
        await runs["waits"].cancel()
        may_end.set()
    assert [await run.status() for run in runs.values()] == ["completed", "failed", "cancelled"]


async def test_e11_an_ended_run_is_started_anew(world: World) -> None:
    run = await start(flow("ok"), [[1, 2]], world=world, attributes={"of": "e11"})
    with pytest.raises(RunLiveError):
        await start_again(world, run.id)
    async with Worker(world, steps=[]):
        await run.result(timeout=20)
        again: Run = await start_again(world, run.id)
        assert await again.result(timeout=20) == [1, 2]
    assert again.id != run.id
    assert (await again.info()).attributes == {"of": "e11"}


async def test_e12_a_run_that_was_purged_is_unknown_by_name(world: World) -> None:
    """Nothing of it is left that could be shown as expired."""
    live = await start(flow("waits"), world=world)
    async with Worker(world, steps=[]):
        run = await start(flow("ok"), [1], world=world)
        await run.result(timeout=20)
    assert await world.catalogue.purge(ended_before_ms=world.now_ms() + 1000) == 1
    with pytest.raises(RunNotFoundError, match=run.id):
        await run.result(timeout=1)
    assert (await run.exists(), await live.exists()) == (False, True)
    statuses = [record.status for record in (await list_runs(world=world)).runs]
    assert statuses in ([RunStatus.PENDING], [RunStatus.RUNNING])
