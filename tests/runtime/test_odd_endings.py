"""However a step ends, its worker goes on; only the worker's own cancellation ends the worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, start, step
from perdure._runtime import steps as registry
from perdure._runtime.worker import bodies
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from perdure.model import EventType
from perdure.worlds import open_world
from tests.runtime.endings import Panic, me
from tests.runtime.test_bodies import (
    cancels_itself,
    cancels_itself_and_awaits_a_task,
    is_cancelled_later,
    leaves_a_cancelled_scope,
    leaves_a_generator,
    leaves_a_scope,
    leaves_a_timeout,
    swallows_its_cancellation,
    takes_a_cancellation_back,
)
from tests.worlds import IN_MEMORY

pytestmark = pytest.mark.anyio

executed: list[str] = []
FLOW = Workflow.from_source("""
import { odd, plain } from "python:endings";
export async function flow(): Promise<any> {
  "use workflow";
  const before = await plain();
  let found: any = null;
  try { await odd() } catch (e: any) { found = e.cause?.name ?? e.name }
  return [before, found, await plain(), await Promise.all([plain(), plain()])];
}
""")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    executed.clear()
    monkeypatch.setattr(registry, "_registered", {})


@step(name="endings:plain")
async def plain() -> str:
    await asyncio.sleep(0)
    with anyio.CancelScope():
        await anyio.lowlevel.checkpoint()
    return "plain"


def raises(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def body() -> None:
        raise error

    return body


async def raises_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(raises(Panic("p"))())  # type: ignore[arg-type] # a coroutine


async def of(run: Run) -> list[EventType]:
    return [logged.event.type async for logged in run.events()]


ODD: dict[str, tuple[Callable[[], Awaitable[object]], str | None]] = {
    "a panic": (raises(Panic("p")), "Panic"),
    "a panic in a group": (raises_in_a_group, "BaseExceptionGroup"),
    "a group of such": (raises(BaseExceptionGroup("g", [Panic("p")])), "BaseExceptionGroup"),
    "GeneratorExit": (raises(GeneratorExit()), "GeneratorExit"),
    "KeyboardInterrupt": (raises(KeyboardInterrupt()), "KeyboardInterrupt"),
    "sys.exit": (raises(SystemExit(3)), "SystemExit"),
    "CancelledError": (raises(asyncio.CancelledError()), "CancelledError"),
    "StopIteration": (raises(StopIteration()), "RuntimeError"),
    "a cancel that nobody noticed": (cancels_itself, None),
    "a cancel": (cancels_itself_and_awaits_a_task, "CancelledError"),
    "a swallowed cancel": (swallows_its_cancellation, None),
    "a cancel taken back": (takes_a_cancellation_back, None),
    "a cancel to come": (is_cancelled_later, None),
    "a timeout to come": (leaves_a_timeout, None),
    "a scope": (leaves_a_scope, None),
    "a cancelled scope": (leaves_a_cancelled_scope, None),
    "a generator": (leaves_a_generator, None),
}


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("name", ODD)
async def test_a_body_may_end_oddly(world: World, name: str, retries: int) -> None:
    body, error = ODD[name]

    @step(name="endings:odd", max_retries=retries, retry_delay=0.001)
    async def odd() -> None:
        executed.append(name)
        await body()

    async with Worker(world, steps=[odd, plain]):
        for _ in range(2):
            run = await start(FLOW, world=world)
            found = await run.result(timeout=10)
            assert found == ["plain", error, "plain", ["plain", "plain"]]
            kinds = await of(run)
            ends = retries + 1 if error else 1
            assert kinds.count(EventType.STEP_RETRYING) == ends - 1
            assert executed == [name] * ends
            executed.clear()


@IN_MEMORY
@pytest.mark.parametrize(
    "error",
    [Panic("p"), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()],
)
async def test_so_may_a_function_in_a_thread(world: World, error: BaseException) -> None:
    @step(name="endings:odd", max_retries=0)
    def odd() -> None:
        raise error

    async with Worker(world, steps=[odd, plain]):
        found = await (await start(FLOW, world=world)).result(timeout=10)
        assert found == ["plain", type(error).__name__, "plain", ["plain", "plain"]]


@IN_MEMORY
async def test_so_may_what_a_thread_runs_in_the_loop(world: World) -> None:
    async def cancels() -> None:
        me().cancel()
        await asyncio.sleep(0)

    @step(name="endings:odd", max_retries=0)
    def odd() -> None:
        anyio.from_thread.run(cancels)

    async with Worker(world, steps=[odd, plain]):
        found = await (await start(FLOW, world=world)).result(timeout=10)
        assert found == ["plain", "CancelledError", "plain", ["plain", "plain"]]


@IN_MEMORY
@pytest.mark.parametrize("where", ["arguments", "result"])
async def test_so_may_the_conversion_of_its_values(
    world: World, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's own code, that of pydantic's core for one, may panic."""

    class Model:
        def model_dump(self) -> dict[str, object]:
            me().cancel()
            raise Panic("in the model")

    @step(name="endings:odd", max_retries=0)
    async def odd() -> object:
        return Model()

    def convert(args: object) -> list[Any]:
        raise Panic("in the model")

    if where == "arguments":
        monkeypatch.setattr(odd.parameters, "convert", convert)
    async with Worker(world, steps=[odd, plain]):
        found = await (await start(FLOW, world=world)).result(timeout=10)
        assert found == ["plain", "Panic", "plain", ["plain", "plain"]]


# --- the worker's own cancellation ----------------------------------------------------------------


@IN_MEMORY
@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("native", [False, True])
async def test_the_cancellation_of_a_worker_ends_it_at_once(
    world: World, swallows: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "GRACE", 0.05)
    began = anyio.Event()

    @step(name="endings:odd", max_retries=0)
    async def odd() -> None:
        began.set()
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if not swallows:
                    raise

    async def work() -> None:
        async with Worker(world, steps=[odd, plain]):
            await start(FLOW, world=world)
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        if native:
            task = asyncio.ensure_future(work())
            await began.wait()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(work)
                await began.wait()
                group.cancel_scope.cancel()
    with anyio.fail_after(5):
        while any("endings:odd" in task.get_name() for task in asyncio.all_tasks()):
            await anyio.lowlevel.checkpoint()


@IN_MEMORY
async def test_an_error_of_the_block_ends_a_worker_whose_step_waits(world: World) -> None:
    began = anyio.Event()

    @step(name="endings:odd", max_retries=0)
    async def odd() -> None:
        began.set()
        await anyio.sleep_forever()

    async def work() -> None:
        async with Worker(world, steps=[odd, plain]):
            await start(FLOW, world=world)
            await began.wait()
            raise KeyError("x")

    with anyio.fail_after(5), pytest.raises(KeyError):
        await work()


PROGRAM = """
import asyncio, sys
from perdure import Worker, Workflow, open_world, start, step

@step(name="endings:stays", max_retries=0)
async def stays() -> None:
    print("began", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if sys.argv[1] == "honest":
                raise

FLOW = Workflow.from_source('''
import { stays } from "python:endings";
export async function flow() { "use workflow"; await stays(); }
''')

async def main() -> None:
    async with open_world("memory://") as world, Worker(world, steps=[stays]):
        await start(FLOW)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["honest", "stubborn"])
def test_an_interrupt_ends_the_program(kind: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"began\n"
        process.send_signal(signal.SIGINT)
        try:
            _, told = process.communicate(timeout=10)
        finally:
            process.kill()
    assert told.rstrip().endswith(b"KeyboardInterrupt")
    assert (b"left behind" in told) is (kind == "stubborn")


@IN_MEMORY
async def test_a_failed_run_names_what_its_step_raised(world: World) -> None:
    @step(name="endings:odd", max_retries=0)
    async def odd() -> None:
        raise Panic("the extension panicked")

    flow = Workflow.from_source(
        'import { odd } from "python:endings";\n'
        'export async function flow() { "use workflow"; await odd(); }\n'
    )
    async with Worker(world, steps=[odd]):
        run = await start(flow, world=world)
        with pytest.raises(RunFailedError) as caught:
            await run.result(timeout=10)
    assert isinstance(caught.value.error, GuestError)
    assert isinstance(caught.value.error.cause, GuestError)
    assert caught.value.error.cause.name == "Panic"
    assert "the extension panicked" in caught.value.error.text


@IN_MEMORY
async def test_a_step_that_swallows_the_cancellation_of_its_timeout_is_left_behind(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bodies, "GRACE", 0.05)

    @step(name="endings:odd", max_retries=0, timeout=0.05)
    async def odd() -> None:
        executed.append("odd")
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                executed.append("swallowed")

    with anyio.fail_after(10):
        async with Worker(world, steps=[odd, plain]) as worker:
            found = await (await start(FLOW, world=world)).result(timeout=10)
            assert found == ["plain", "StepTimeoutError", "plain", ["plain", "plain"]]
        assert worker.statistics()["leases"] == 0
        while any("endings:odd" in task.get_name() for task in asyncio.all_tasks()):
            await anyio.lowlevel.checkpoint()
    assert executed.count("odd") == 1
    assert "swallowed" in executed
    assert "left behind" in caplog.text


@IN_MEMORY
async def test_a_result_that_is_in_time_takes_as_long_to_cross_as_it_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout is for the body."""
    monkeypatch.setattr(bodies, "GRACE", 0.01)
    monkeypatch.setattr(bodies, "LOOK_EVERY", 0.005)

    class Model:
        rows = 2000

        def __init__(self) -> None:
            self.list = [1] * self.rows  # so it crosses in a thread

        def model_dump(self) -> dict[str, object]:
            threading.Event().wait(0.15)
            return {"rows": self.rows}

    @step(name="endings:odd", max_retries=0, timeout=0.05)
    async def odd() -> object:
        await asyncio.sleep(0)
        return Model()

    async with Worker(world, steps=[odd, plain]):
        found = await (await start(FLOW, world=world)).result(timeout=10)
        assert found == ["plain", None, "plain", ["plain", "plain"]]


UNREADABLE = {
    "a Map that is its own key": "const m = new Map([[{ a: 1 }, 1]]); m.set(m, 2);",
    "keys that are one in Python": "const m = new Map([[1, 1], [true, 2]]);",
    "an error with one in it": (
        "const m = new Error('x', { cause: new Map([[1, 1], [true, 2]]) }); "
    ),
}


@pytest.mark.parametrize("code", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_run_that_throws_what_python_cannot_have_has_failed(code: str) -> None:
    flow = Workflow.from_source(
        f'export async function flow() {{ "use workflow"; {code} throw m }}'
    )
    async with open_world("memory://") as world, Worker(world):
        run = await start(flow, world=world)
        with pytest.raises(RunFailedError) as caught:
            await run.result(timeout=20)
    assert isinstance(caught.value.error, GuestError)
    assert caught.value.error.name == "ValueNotCarriableError"
    assert "pass a list of pairs" in caught.value.error.text
