"""However a step's task or callback ends, and whatever it does to the loop, the worker goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from perdure import Worker, Workflow, start, step
from perdure._runtime import steps as registry
from perdure._runtime.metadata import entered
from perdure._runtime.worker.loop_guard import guarded
from perdure.errors import UsageError
from perdure.worlds import open_world
from tests.runtime.endings import Panic, me

pytestmark = pytest.mark.anyio

FLOW = Workflow.from_source("""
import { odd, plain } from "python:odd_tasks";
export async function flow(): Promise<any> {
  "use workflow";
  let error: any = null;
  try { await odd() } catch (e: any) { error = e.cause?.name ?? e.name }
  return [error, await plain(), await Promise.all([plain(), plain()])];
}
""")
LOOP_METHODS = ("_run_once", "stop", "shutdown_asyncgens", "shutdown_default_executor")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Generator[None, None, None]:
    monkeypatch.setattr(registry, "_registered", {})
    yield
    kept.clear()


kept: list[object] = []  # what a step leaves behind


@step(name="odd_tasks:plain")
async def plain() -> str:
    await asyncio.sleep(0)
    return "plain"


async def exits() -> None:
    sys.exit(3)


async def exits_later() -> None:
    await asyncio.sleep(0)
    sys.exit(3)


async def interrupts() -> None:
    raise KeyboardInterrupt


async def panics() -> None:
    raise Panic("p")


class Hidden(SystemExit):
    """Whoever looks at it gets another one."""

    def __getattribute__(self, name: str) -> object:
        raise SystemExit(name)


async def raises_what_hides() -> None:
    raise Hidden


async def hides_itself() -> None:
    entered.set(lambda: 1 / 0)  # type: ignore[arg-type]  # wrong on purpose
    loop().call_soon(sys.exit, 3)
    await asyncio.sleep(0.005)


def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def in_task(body: Callable[[], Any]) -> Callable[[], Awaitable[object]]:
    return lambda: asyncio.ensure_future(body())


def in_callback(ask: Callable[[Callable[[], object]], object]) -> Callable[[], Awaitable[object]]:
    """A step that has ``sys.exit`` called back, and waits for a round that comes after that."""

    async def body() -> None:
        ask(sys.exit)
        await asyncio.sleep(0.005)

    return body


async def in_group(body: Callable[[], Any]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(body())


async def in_anyio_group(body: Callable[[], Any]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(body)


async def in_threads_task() -> None:
    await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(exits))


def when_done(callback: Callable[[], object]) -> None:
    future: asyncio.Future[None] = loop().create_future()
    future.add_done_callback(lambda _: callback())
    future.set_result(None)


async def in_a_reader() -> None:
    read, write = os.pipe()

    def exit_once() -> None:
        loop().remove_reader(read)
        sys.exit(3)

    loop().add_reader(read, exit_once)
    os.write(write, b"x")
    await asyncio.sleep(0.005)
    os.close(read)
    os.close(write)


async def in_a_writer() -> None:
    read, write = os.pipe()

    def exit_once() -> None:
        loop().remove_writer(write)
        sys.exit(3)

    loop().add_writer(write, exit_once)
    await asyncio.sleep(0.005)
    os.close(read)
    os.close(write)


async def in_a_signals_handler() -> None:
    loop().add_signal_handler(signal.SIGUSR1, sys.exit, 3)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(0.005)
    loop().remove_signal_handler(signal.SIGUSR1)


def interrupt() -> None:
    raise KeyboardInterrupt


def from_a_thread(callback: Callable[[], object]) -> None:
    ask = partial(loop().call_soon_threadsafe, callback)
    thread = threading.Thread(target=copy_context().run, args=(ask,))
    thread.start()
    thread.join()


async def in_the_loops_error_handler() -> None:
    def handle(loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        sys.exit(3)

    loop().set_exception_handler(handle)
    loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.005)
    loop().set_exception_handler(None)


async def in_a_left_generator() -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            sys.exit(3)

    async for _ in numbers():
        break
    await asyncio.sleep(0.005)


async def not_awaited() -> None:
    kept.append(asyncio.ensure_future(exits()))
    await asyncio.sleep(0.005)


async def stops_the_loop_soon() -> None:
    loop().set_exception_handler(lambda _, told: kept.append(told["exception"]))
    loop().call_soon(loop().stop)
    await asyncio.sleep(0.005)
    loop().set_exception_handler(None)
    assert isinstance(kept[0], UsageError)


ODD: dict[str, tuple[Callable[[], Awaitable[object]], str | None]] = {
    "exit": (in_task(exits), "SystemExit"),
    "exit later": (in_task(exits_later), "SystemExit"),
    "KeyboardInterrupt": (in_task(interrupts), "KeyboardInterrupt"),
    "panic": (in_task(panics), "Panic"),
    "exit in a group": (lambda: in_group(exits), "SystemExit"),
    "interrupt in a group": (lambda: in_group(interrupts), "KeyboardInterrupt"),
    "exit in anyio's group": (lambda: in_anyio_group(exits_later), "BaseExceptionGroup"),
    "exit gathered": (lambda: asyncio.gather(exits(), asyncio.sleep(60)), "SystemExit"),
    "exit with a timeout": (
        lambda: asyncio.wait_for(asyncio.ensure_future(exits_later()), 60),
        "SystemExit",
    ),
    "exit in a thread's task": (in_threads_task, "SystemExit"),
    "exit in a callback": (in_callback(lambda f: loop().call_soon(f)), None),
    "exit in a timer": (in_callback(lambda f: loop().call_later(0, f)), None),
    "exit in a timer by the clock": (
        in_callback(lambda f: loop().call_at(when=loop().time(), callback=f)),
        None,
    ),
    "interrupt in a callback": (in_callback(lambda f: loop().call_soon(interrupt)), None),
    "exit in a callback from a thread": (in_callback(from_a_thread), None),
    "exit in a writer": (in_a_writer, None),
    "exit in a signal's handler": (in_a_signals_handler, None),
    "exit in a future's callback": (in_callback(when_done), None),
    "exit in a reader": (in_a_reader, None),
    "exit in the handler of errors": (in_the_loops_error_handler, None),
    "exit in a generator that was left": (in_a_left_generator, None),
    "exit that nobody awaits": (not_awaited, None),
    "stop soon": (stops_the_loop_soon, None),
    "what hides in a task": (in_task(raises_what_hides), "Hidden"),
    "what hides in a step": (raises_what_hides, "Hidden"),
    "a step that hides itself": (hides_itself, None),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ODD)
async def test_what_a_steps_task_raises_ends_no_worker(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, error = ODD[name]
    assert await result_of(body) == [error, "plain", ["plain", "plain"]]
    if "exit" in name:
        record = next(one for one in caplog.records if "the worker goes on" in one.message)
        assert record.__dict__["step"] == "odd_tasks:odd"


async def result_of(body: Callable[[], Awaitable[object]]) -> object:
    """Of a run with that step."""

    @step(name="odd_tasks:odd", max_retries=0)
    async def odd() -> None:
        await body()

    async with open_world("memory://") as world, Worker(world, steps=[odd, plain]):
        return await (await start(FLOW)).result(timeout=10)


@pytest.mark.parametrize("name", LOOP_METHODS[1:])
async def test_a_step_cannot_stop_the_loop(name: str) -> None:
    async def body() -> None:
        getattr(loop(), name)()

    assert await result_of(body) == ["UsageError", "plain", ["plain", "plain"]]


async def test_a_loop_is_guarded_as_long_as_somebody_asks_for_it() -> None:
    assert not set(LOOP_METHODS) & set(vars(loop()))
    with guarded(loop()):
        with guarded(loop()):
            assert set(LOOP_METHODS) < set(vars(loop()))
        assert set(LOOP_METHODS) < set(vars(loop()))
        await loop().shutdown_default_executor()  # no step does
    assert not set(LOOP_METHODS) & set(vars(loop()))


# --- what a step does to its own task -------------------------------------------------------------


async def closes_itself() -> None:
    await asyncio.sleep(0)
    me().get_coro().close()


async def is_closed_by_its_child() -> None:
    parent = me()

    async def child() -> None:
        parent.get_coro().close()

    kept.append(asyncio.ensure_future(child()))
    await asyncio.sleep(60)


async def is_closed_and_raises() -> None:
    try:
        await is_closed_by_its_child()
    finally:
        raise Panic("while it is closed")


async def ends_its_task() -> None:
    # asyncio tells of a task that is done already
    loop().set_exception_handler(lambda _, told: kept.append(told))
    asyncio.Future[None].set_result(me(), None)
    try:
        await asyncio.sleep(60)
    finally:
        loop().set_exception_handler(None)


async def ends_its_task_later() -> None:
    await asyncio.sleep(0)
    await ends_its_task()


async def leaves_its_task() -> None:
    asyncio.tasks._leave_task(loop(), me())


async def enters_another_task() -> None:
    async def other() -> None: ...

    task = asyncio.ensure_future(other())
    asyncio.tasks._leave_task(loop(), me())
    asyncio.tasks._enter_task(loop(), task)


async def awaits_a_future_of_another_loop() -> None:
    other = asyncio.new_event_loop()
    try:
        await other.create_future()
    finally:
        other.close()


async def sends_to_itself() -> None:
    await asyncio.sleep(0)
    me().get_coro().send(None)


async def awaits_itself() -> None:
    await asyncio.sleep(0)
    await me()


async def stop_iteration() -> None:
    raise StopIteration


async def stop_async_iteration() -> None:
    raise StopAsyncIteration


async def unregisters_itself() -> None:
    asyncio.tasks._unregister_task(me())
    await asyncio.sleep(0)


async def closes_the_loop() -> None:
    loop().close()


TO_ITSELF: dict[str, tuple[Callable[[], Awaitable[object]], str | None]] = {
    "closes itself": (closes_itself, "ValueError"),
    "is closed by its child": (is_closed_by_its_child, "RuntimeError"),
    "raises as it is closed": (is_closed_and_raises, "Panic"),
    "ends its task": (ends_its_task, "RuntimeError"),
    "ends its task later": (ends_its_task_later, "RuntimeError"),
    "leaves its task": (leaves_its_task, None),
    "enters another task": (enters_another_task, None),
    "awaits a future of another loop": (awaits_a_future_of_another_loop, "RuntimeError"),
    "sends to itself": (sends_to_itself, "RuntimeError"),
    "awaits itself": (awaits_itself, "RuntimeError"),
    "StopIteration": (stop_iteration, "RuntimeError"),
    "StopAsyncIteration": (stop_async_iteration, "StopAsyncIteration"),
    "unregisters itself": (unregisters_itself, None),
    "closes the loop": (closes_the_loop, "RuntimeError"),
}


@pytest.mark.parametrize("name", TO_ITSELF)
async def test_a_step_may_do_anything_to_its_task(name: str) -> None:
    body, error = TO_ITSELF[name]
    assert await result_of(body) == [error, "plain", ["plain", "plain"]]


def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


async def cancels_in_its_body(tasks: set[asyncio.Task[Any]]) -> None:
    cancel(tasks)
    await asyncio.sleep(0)


async def cancels_in_a_task(tasks: set[asyncio.Task[Any]]) -> None:
    async def child() -> None:
        cancel(tasks)

    await asyncio.gather(child(), asyncio.sleep(60))


async def cancels_in_a_callback(tasks: set[asyncio.Task[Any]]) -> None:
    loop().call_soon(cancel, tasks)
    await asyncio.sleep(60)


async def cancels_again_and_again(tasks: set[asyncio.Task[Any]]) -> None:
    for _ in range(100):
        cancel(tasks - {me()})
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("cancels", "error"),
    [
        (cancels_in_its_body, "CancelledError"),
        (cancels_in_a_task, "CancelledError"),
        (cancels_in_a_callback, "CancelledError"),
        (cancels_again_and_again, None),
    ],
)
async def test_a_step_cannot_cancel_the_tasks_of_its_worker(
    cancels: Callable[[set[asyncio.Task[Any]]], Awaitable[None]],
    error: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = asyncio.all_tasks()

    async def body() -> None:
        tasks = asyncio.all_tasks() - before
        assert len(tasks) > 3  # the worker's, and this one
        await cancels(tasks)

    assert await result_of(body) == [error, "plain", ["plain", "plain"]]
    records = [one for one in caplog.records if "cancels tasks of its worker" in one.message]
    assert [record.__dict__["step"] for record in records] == ["odd_tasks:odd"]


async def test_a_worker_whose_tasks_others_cancel_says_so() -> None:
    """Nothing of it is lost."""
    before = asyncio.all_tasks()

    async def work() -> None:
        async with Worker(world, steps=[plain]):
            await anyio.wait_all_tasks_blocked()
            cancel(asyncio.all_tasks() - before)
            await asyncio.sleep(10)

    async with open_world("memory://") as world:
        with pytest.raises(UsageError, match="go on in another worker"):
            await work()
    assert me().cancelling() == 0


async def test_a_step_may_drain_and_close_workers() -> None:
    """They cancel tasks of their own then, though a step asked for it."""
    others: list[Worker] = []

    @step(name="odd_tasks:odd", max_retries=0)
    async def odd() -> None:
        await others[0].aclose()
        others[1].drain()
        with anyio.fail_after(20):  # one that a step makes, which is then its own
            async with Worker(world, steps=[]):
                await asyncio.sleep(0)
        mine.drain()

    async with open_world("memory://") as world:
        others += [Worker(world, steps=[], drain_timeout=0.01) for _ in range(2)]
        for other in others:
            await other.start()
        mine = Worker(world, steps=[odd, plain], drain_timeout=10)
        await mine.start()
        run = await start(FLOW)
        with anyio.fail_after(20):
            await mine.aclose()
            await others[1].aclose()
        async with Worker(world, steps=[odd, plain]):
            assert await run.result(timeout=10) == [None, "plain", ["plain", "plain"]]


async def test_a_drain_that_a_step_asks_for_ends_in_time() -> None:
    """Past its time it cancels what runs, which is that step, too."""

    @step(name="odd_tasks:odd", max_retries=1)
    async def odd() -> None:
        if drained.is_set():
            return
        drained.set()
        mine.drain()
        await asyncio.sleep(60)

    drained = asyncio.Event()
    async with open_world("memory://") as world:
        mine = Worker(world, steps=[odd, plain], drain_timeout=0.01)
        await mine.start()
        run = await start(FLOW)
        with anyio.fail_after(20):
            await drained.wait()
            await mine.aclose()
        async with Worker(world, steps=[odd, plain]):
            assert await run.result(timeout=10) == [None, "plain", ["plain", "plain"]]


# --- a real Ctrl-C ends the program ---------------------------------------------------------------

PROGRAM = """
import asyncio, os, sys, time
from perdure import Worker, Workflow, open_world, start, step

async def busy():
    print("began", flush=True)  # here: no other task runs any more, so the signal comes to this one
    while True:
        time.sleep(0.001)

@step(name="endings:stays", max_retries=0)
async def stays() -> None:
    await (busy() if sys.argv[1] == "body" else asyncio.ensure_future(busy()))

FLOW = Workflow.from_source('''
import { stays } from "python:endings";
export async function flow() { "use workflow"; await stays(); }
''')

async def main() -> None:
    async with open_world("memory://") as world, Worker(world, steps=[stays]):
        await (await start(FLOW)).result()

if sys.argv[2] == "runner":
    asyncio.run(main())
else:
    loops = __import__("uvloop" if sys.argv[2] == "uvloop" else "asyncio")
    try:
        loops.new_event_loop().run_until_complete(main())
    except KeyboardInterrupt:  # threads of a worker that nobody left keep the process
        print("KeyboardInterrupt", file=sys.stderr, flush=True)
        os._exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("signals", ["runner", "bare", "uvloop"])
@pytest.mark.parametrize("where", ["body", "task"])
def test_an_interrupt_ends_a_step_that_never_waits(
    where: str, signals: str, tmp_path: Path
) -> None:
    if signals == "uvloop":
        pytest.importorskip("uvloop")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), where, signals],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"began\n"
        try:
            process.send_signal(signal.SIGINT)
            if signals == "runner":  # asyncio.run cancels at the first one, raises at the second
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=0.2)
                process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode not in (0, None)
    assert b"KeyboardInterrupt" in told
