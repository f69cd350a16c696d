"""A run that is deleted while a worker is busy with it is no trouble of the worker's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from perdure import RetryableError, Run, Worker, Workflow, get_run, start, step
from perdure._runtime.steps import AnyStep
from perdure.abc import World
from perdure.errors import RunEndedError, RunNotFoundError
from perdure.model import EventType, RunStatus
from tests.runtime.meddling import MeddledWorld
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

BUSY = """
import { sleep } from "workflow";
import { plain, waits, threaded, fails } from "python:gone";
"""
began, go_on = anyio.Event(), anyio.Event()
may_end = threading.Event()


def flow(body: str) -> Workflow:
    return Workflow.from_source(
        f'{BUSY}export async function flow(): Promise<any> {{ "use workflow"; {body} }}\n'
    )


PLAIN = flow('console.log("plain"); return await plain(7);')


@step(name="gone:plain")
async def plain(n: int) -> int:
    await anyio.lowlevel.checkpoint()
    return n


@step(name="gone:waits")
async def waits() -> str:
    began.set()
    await go_on.wait()
    return "waited"


@step(name="gone:threaded")
def threaded() -> str:
    anyio.from_thread.run_sync(began.set)
    may_end.wait(10)
    return "threaded"


@step(name="gone:fails", max_retries=1, retry_delay=0.2)
async def fails() -> None:
    if not began.is_set():
        began.set()
        await go_on.wait()
    raise RetryableError("again")


STEPS: list[AnyStep] = [plain, waits, threaded, fails]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("began", "go_on"):
        monkeypatch.setitem(globals(), name, anyio.Event())
    may_end.clear()
    yield
    may_end.set()


async def erase(world: World, run_id: str, how: str) -> None:
    """Have no such run in the world any more, ended or not."""
    run = get_run(run_id, world)
    try:
        await run.cancel("gone")
    except RunEndedError:
        pass
    except RunNotFoundError:
        return
    if how == "delete":
        await world.catalogue.delete_run((await run.info()).run_id)
    else:
        await world.catalogue.purge(ended_before_ms=world.now_ms() + 60_000)
    with pytest.raises(RunNotFoundError):
        await run.status()


async def goes_on(worker: Worker, world: World) -> None:
    """The worker is done with what is gone, and serves another run."""
    with anyio.fail_after(20):
        while worker.statistics()["runs"]:
            await anyio.lowlevel.checkpoint()
    again = await start(PLAIN, world=world)
    assert await again.result(timeout=20) == 7


@pytest.mark.parametrize("how", ["delete", "purge"])
@pytest.mark.parametrize(
    "body",
    [
        "await waits();",
        "await Promise.race([waits(), plain(1)]); return 1;",
        "await Promise.all([waits(), plain(1), plain(2)]);",
        "await threaded();",
        "await fails();",
    ],
)
async def test_it_may_go_while_its_steps_run(
    world: World, body: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Worker(world, steps=STEPS) as worker:
        run = await start(flow(body), world=world)
        with anyio.fail_after(10):
            await began.wait()
        await erase(world, run.id, how)
        go_on.set()
        may_end.set()
        await goes_on(worker, world)
        assert worker.statistics()["free_slots"] == 1000
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("how", ["delete", "purge"])
@pytest.mark.parametrize("body", ["await waits();", "await threaded();", "await fails();"])
async def test_it_may_go_while_a_step_of_the_queue_runs(world: World, body: str, how: str) -> None:
    async with Worker(world, steps=[]):
        run = await start(flow(body), world=world)
        with anyio.fail_after(10):
            while await run.status() is RunStatus.PENDING:
                await anyio.lowlevel.checkpoint()
    async with Worker(world, steps=STEPS) as worker:
        with anyio.fail_after(10):
            await began.wait()
        await erase(world, run.id, how)
        go_on.set()
        may_end.set()
        await goes_on(worker, world)


async def test_it_may_go_while_a_step_waits_for_its_retry(world: World) -> None:
    async with Worker(world, steps=STEPS) as worker:
        run = await start(flow("await fails();"), world=world)
        go_on.set()
        with anyio.fail_after(10):
            while EventType.STEP_RETRYING not in [e.event.type async for e in run.events()]:
                await anyio.lowlevel.checkpoint()
        await erase(world, run.id, "delete")
        await goes_on(worker, world)


EVERYTHING = flow("""
  console.log("one");
  await plain(1);
  await Promise.all([plain(2), plain(3)]);
  await sleep(1);
  console.log("two");
  try { await fails() } catch (e) { console.log("three") }
  await sleep(1);
  return await plain(4);
""")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["delete", "purge"])
async def test_it_may_go_before_any_call_of_the_world(world: World, how: str) -> None:
    """Each call that a worker makes for a run is the one before which the run goes."""
    left, went, number = -1, True, 0
    target = ""

    async def meddle(call: str) -> None:
        nonlocal left, went
        if call.startswith(("queue.claim", "catalogue", "blobs.has")) or not target or went:
            return
        left -= 1
        if left < 0:
            went = True
            await erase(world, target, how)

    meddled = MeddledWorld(world, meddle)
    go_on.set()
    began.set()
    async with Worker(meddled, steps=STEPS) as worker:
        for number in range(200):
            left, went, target = number, False, f"run_{number}"
            await start(EVERYTHING, world=meddled, run_id=target)
            run = Run(target, world)
            with anyio.fail_after(20):
                while not went and not await ended(run):
                    await anyio.lowlevel.checkpoint()
            if not went:
                break
            await goes_on(worker, meddled)
    assert number > 8  # so many calls there were


async def ended(run: Run) -> bool:
    """Whether it is over, or gone."""
    try:
        return (await run.status()).is_ended
    except RunNotFoundError:
        return True
