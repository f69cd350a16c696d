"""Guests that never end: their runs fail by name, others go on, and the worker can be left."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, start, step
from perdure._runtime import (
    check as check_module,
)
from perdure._runtime.carrier.slow_runs import MAX_RUNS, SlowRuns
from perdure._runtime.inspect.audit import measure_run, verify_run
from perdure._runtime.timing import Timing
from perdure._vm import pool as pool_module, rehearsal as rehearsal_module
from perdure._vm.guest import default_engine
from perdure.abc import World
from perdure.errors import CompileError, GuestError, RunFailedError
from perdure.model import Digest, EventType, NewRun, RunId, RunStatus
from perdure.testing.memory import MemoryWorld

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SORT = "Array.prototype.sort.call({ length: 2 ** 53 - 1 })"
LONG_TO_READ = f"[{300_000 * '9'}n, {300_000 * '8'}n, {300_000 * '7'}n].length"


@pytest.fixture
async def world() -> AsyncIterator[MemoryWorld]:
    async with MemoryWorld() as world:
        yield world


@step(name="busy:add")
async def add(a: int, b: int) -> int:
    return a + b


def flow(body: str, before: str = "") -> Workflow:
    return Workflow.from_source(
        f'import {{ add }} from "python:busy";\n{before}\n'
        f'export async function flow() {{ "use workflow"; {body} }}\n',
        filename="flow.js",
    )


async def begun(world: World, *bodies: str) -> list[Run]:
    return [await start(flow(body), world=world) for body in bodies]


async def error_name(run: Run) -> str:
    with pytest.raises(RunFailedError) as caught:
        await run.result(timeout=60)
    assert isinstance(caught.value.error, GuestError)
    return caught.value.error.name


async def failures(run: Run) -> int:
    return [logged.event.type async for logged in run.events()].count(EventType.RUN_FAILED)


# --- ending the run ------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["for (;;) {}", SORT, f"await add(1, 2); {SORT}"])
async def test_the_guest_of_a_run_that_was_cancelled_is_stopped(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """Else it has its 30 s of a processor, which take the longer the more of them there are."""
    monkeypatch.setattr(Worker, "_timing", Timing(renew_every=0.05))
    async with Worker(world, steps=[add]) as worker:
        watches = worker._leases.watches  # pyright: ignore[reportPrivateUsage]  # what is looked at
        (run,) = await begun(world, body)
        with anyio.fail_after(20):
            seen = None
            while seen is None or watches.get(run.id) is not seen:
                seen = watches.get(run.id)
                await anyio.sleep(0.1)
            await run.cancel()
            while worker.statistics()["runs"]:  # noqa: ASYNC110  # no event tells
                await anyio.sleep(0.01)
    assert await run.status() is RunStatus.CANCELLED


# --- leaving the worker ---------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["for (;;) {}", SORT, f"await add(1, 2); {SORT}"])
async def test_a_worker_is_left_whatever_guests_do_and_their_runs_are_unharmed(
    world: MemoryWorld, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "_timing", Timing(guests_end=0.2))
    async with Worker(world, steps=[add]) as worker:
        runs = await begun(world, *[body] * 4)
        with anyio.fail_after(30):
            # A loop that never sleeps would have the interpreter lock, which guests need to pause.
            while worker._pool.statistics()["aside"] < 4:  # noqa: ASYNC110
                await anyio.sleep(0.005)
        began = time.monotonic()
    assert time.monotonic() - began < 8
    for run in runs:
        assert await run.status() in (RunStatus.PENDING, RunStatus.RUNNING)
        assert await failures(run) == 0
    assert (await world.queue.count_waiting())[""] == 4  # given back at once


async def test_a_worker_that_is_cancelled_is_left_at_once(world: MemoryWorld) -> None:
    runs: list[Run] = []
    began = 0.0
    with anyio.CancelScope() as scope:
        async with Worker(world, steps=[add]):
            runs += await begun(world, SORT, "for (;;) {}", SORT)
            began = time.monotonic()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert time.monotonic() - began < 5
    assert [await failures(run) for run in runs] == [0, 0, 0]


async def test_a_turn_that_ends_in_time_is_taken_while_the_worker_drains(
    world: MemoryWorld,
) -> None:
    run = Run("run_drains", world)
    async with Worker(world, steps=[add]) as worker, anyio.create_task_group() as group:
        body = "for (let i = 0; i < 1e6; i++); return 1"
        group.start_soon(partial(start, flow(body), world=world, run_id=run.id))
        with anyio.fail_after(30):
            while not worker._carriers:
                await anyio.lowlevel.checkpoint()
    assert await run.result(timeout=5) == 1


PROGRAM = """
import asyncio, sys
from perdure import Worker, Workflow, start
from perdure.testing.memory import MemoryWorld

SORT = "Array.prototype.sort.call({ length: 2 ** 53 - 1 })"
FLOW = Workflow.from_source(
    f'export async function flow() {{ "use workflow"; {SORT} }}', filename="flow.js"
)

async def main():
    async with MemoryWorld() as world, Worker(world):
        for _ in range(3):
            await start(FLOW, world=world)
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_a_program_with_busy_guests_ends_by_an_interrupt(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(path)], stdout=-1, stderr=-1) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        os.kill(program.pid, signal.SIGINT)
        try:
            program.communicate(timeout=10)
        finally:
            program.kill()
        assert program.returncode != -9


# --- what fails, and what does not ----------------------------------------------------------------


async def test_module_scope_that_never_ends_fails_its_run_by_name(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rehearsal_module, "_SECONDS", 0.05)
    async with Worker(world, steps=[add], turn_deadline=0.1):
        run = await start(flow("return 1", f"const x = {SORT};"), world=world)
        assert await error_name(run) == "TurnDeadlineError"
        assert await (await begun(world, "return await add(1, 2)"))[0].result(timeout=10) == 3
    assert caplog.text.count("passed the deadline") == 2


async def test_a_bundle_that_takes_long_to_load_fails_its_run_by_name(
    world: MemoryWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """It came to the world without the check of ``start``."""
    bundle, engine = flow(f"return {LONG_TO_READ}").compile(), default_engine()
    await world.blobs.put(Digest(bundle.digest), bundle.encoded)
    await world.blobs.put(Digest(engine.digest), engine.wasm)
    new = NewRun(
        run_id=RunId("run_long"),
        workflow=bundle.name,
        bundle=Digest(bundle.digest),
        engine=Digest(engine.digest),
        input=b"\x80",
        created_at_ms=world.now_ms(),
    )
    await world.storage.create_run(new)
    async with Worker(world, steps=[add], turn_deadline=0.1):
        assert await error_name(Run("run_long", world)) == "TurnDeadlineError"
    assert caplog.text.count("passed the deadline") == 2
    found = await verify_run(world, "run_long")
    assert found.passed or "cannot be loaded" in found.problems[0]


async def test_start_refuses_a_bundle_that_takes_long_to_compile(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "SECONDS", 0.1)
    with pytest.raises(CompileError, match=r"more than 0\.1 s to compile"):
        await start(flow(f"return {LONG_TO_READ}"), world=world)


async def test_a_start_that_is_cancelled_does_not_wait_for_the_compiler(
    world: MemoryWorld,
) -> None:
    with anyio.move_on_after(0.3) as scope:
        await start(flow(f"return {LONG_TO_READ}"), world=world)
    assert anyio.current_time() - scope.deadline < 4


async def test_verify_stops_what_takes_too_long(world: MemoryWorld) -> None:
    async with Worker(world, steps=[add]):
        (run,) = await begun(world, "await add(1, 2); for (let i = 0; i < 3e7; i++); return 1")
        assert await run.result(timeout=60) == 1
    (problem,) = (await verify_run(world, run.id, turn_deadline=0.05)).problems[:1]
    assert "TurnDeadlineError: took more than 0.05 s" in problem
    assert len(await measure_run(world, run.id)) == 1


async def test_a_run_for_which_there_is_no_room_comes_again_and_is_not_failed(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool_module, "MAX_ASIDE", 1)
    caplog.set_level(logging.DEBUG, "perdure")
    monkeypatch.setattr(Worker, "_timing", Timing(guests_end=0.2))
    long = "for (let i = 0; i < 12e6; i++); return 7"
    async with Worker(world, steps=[add], turn_deadline=1):
        (busy,) = await begun(world, "for (;;) {}")
        slow = await begun(world, long, long)
        assert [await run.result(timeout=120) for run in slow] == [7, 7]
        assert await error_name(busy) in ("TurnDeadlineError", "InstructionLimitError")
    assert "too many others took long" in caplog.text


async def test_a_healthy_run_does_not_wait_for_busy_ones(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are those of ``benchmarks/bench_fairness.py``; these bounds are generous."""
    monkeypatch.setattr(Worker, "_timing", Timing(guests_end=0.2))
    seconds: list[float] = []
    late: list[float] = []

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await anyio.sleep(0.001)
            late.append(time.perf_counter() - began)

    monotonic = time.perf_counter
    async with Worker(world, steps=[add]), anyio.create_task_group() as group:
        await begun(world, *["for (;;) {}", SORT] * 8)
        healthy = flow("return await add(1, 2)")
        await (await start(healthy, world=world)).result(timeout=60)
        group.start_soon(beat)
        for _ in range(60):
            began = monotonic()
            assert await (await start(healthy, world=world)).result(timeout=60) == 3
            seconds.append(monotonic() - began)
            await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    assert sorted(seconds)[58] < 1
    assert sorted(late)[len(late) * 98 // 100] < 0.2


# --- which runs are slow --------------------------------------------------------------------------


def test_a_run_without_room_comes_later_each_time() -> None:
    slow, run_id = SlowRuns(), RunId("run_a")
    assert run_id not in slow.refusals
    assert [slow.refuse(run_id) for _ in range(8)] == [
        *(500, 1000, 2000, 4000, 8000, 16000, 30000, 30000)
    ]
    slow.forget(run_id)
    slow.forget(run_id)
    assert run_id not in slow.refusals


def test_runs_that_went_elsewhere_are_forgotten_in_time() -> None:
    slow = SlowRuns()
    for number in range(MAX_RUNS + 1):
        slow.note(RunId(f"run_{number}"))
    assert RunId("run_0") not in slow.refusals
    assert RunId("run_1") in slow.refusals
    assert repr(slow) == f"<SlowRuns {MAX_RUNS}>"
