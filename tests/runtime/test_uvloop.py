"""In a loop that is not asyncio's own, too, a step's task or callback ends no worker."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Generator
from contextvars import copy_context
from typing import Any

import pytest

from perdure import Worker, start, step
from perdure._runtime import steps as registry
from perdure._runtime.worker.loop_guard import guarded
from perdure.worlds import open_world
from tests.runtime import test_odd_tasks as odd_tasks
from tests.runtime.endings import me
from tests.runtime.test_odd_tasks import FLOW, ODD, exits, kept, plain, result_of

uvloop = pytest.importorskip("uvloop")
pytestmark = pytest.mark.anyio
METHODS = ("stop", "shutdown_asyncgens", "shutdown_default_executor")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Generator[None, None, None]:
    monkeypatch.setattr(registry, "_registered", {})
    yield
    kept.clear()


def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ODD)
async def test_what_a_steps_task_raises_ends_no_worker(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not hasattr(loop(), "_run_once")
    body, error = ODD[name]
    assert await result_of(body) == [error, "plain", ["plain", "plain"]]
    if "exit" in name:
        record = next(one for one in caplog.records if "the worker goes on" in one.message)
        assert record.__dict__["step"] == "odd_tasks:odd"


@pytest.mark.parametrize("name", METHODS)
async def test_a_step_cannot_stop_the_loop(name: str) -> None:
    async def body() -> None:
        getattr(loop(), name)()

    assert await result_of(body) == ["UsageError", "plain", ["plain", "plain"]]


test_a_step_cannot_cancel_the_tasks_of_its_worker = (
    odd_tasks.test_a_step_cannot_cancel_the_tasks_of_its_worker
)


async def test_a_step_sees_its_tasks_as_they_are() -> None:
    @step(name="odd_tasks:odd", max_retries=0)
    async def odd() -> None:
        task: asyncio.Task[Any] = asyncio.ensure_future(exits())
        assert "exits" in repr(task)
        with pytest.raises(SystemExit) as caught:
            await task
        assert (task.done(), task.exception(), task.cancel()) == (True, caught.value, False)
        assert task not in asyncio.all_tasks()
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()  # before it has begun
        with pytest.raises(asyncio.CancelledError):
            await task
        task = asyncio.ensure_future(exits_when_cancelled())
        await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        with pytest.raises(SystemExit):
            await task
        assert await asyncio.create_task(returns(), name="n") == ("n", 7)

    async with open_world("memory://") as world, Worker(world, steps=[odd, plain]):
        result: Any = await (await start(FLOW)).result(timeout=10)
    assert result[0] is None


async def exits_when_cancelled() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        sys.exit(3)


async def returns() -> tuple[str, int]:
    await asyncio.sleep(0)
    return me().get_name(), 7


async def test_a_loop_is_as_it_was_behind_its_last_worker() -> None:
    assert not vars(loop())
    with guarded(loop()):
        with guarded(loop()):
            assert {*METHODS, "call_soon", "add_reader"} <= set(vars(loop()))
        assert {*METHODS, "call_soon", "add_reader"} <= set(vars(loop()))
    assert not vars(loop())


async def test_a_callback_of_a_step_is_shown_refused_and_cancelled_as_any() -> None:
    async def body() -> None:
        handle = loop().call_soon(odd_tasks.interrupt)
        assert "interrupt" in repr(handle)
        handle.cancel()
        loop().call_later(60, odd_tasks.interrupt).cancel()
        with pytest.raises(TypeError, match="coroutines"):
            loop().add_signal_handler(signal.SIGUSR1, returns)
        with pytest.raises(TypeError, match="callable"):
            loop().set_exception_handler(3)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(TypeError):
            loop().call_soon()  # type: ignore[call-arg]  # wrong on purpose
        loop().set_exception_handler(handler=None)
        await asyncio.sleep(0)

    assert await result_of(body) == [None, "plain", ["plain", "plain"]]


async def test_a_callback_in_a_context_of_another_is_the_others() -> None:
    caught: list[str] = []
    other = copy_context()

    async def body() -> None:
        loop().set_exception_handler(lambda _, told: caught.append(str(told["exception"])))
        loop().call_soon(lambda: 1 / 0, context=other)
        await asyncio.sleep(0.005)
        loop().set_exception_handler(None)

    assert await result_of(body) == [None, "plain", ["plain", "plain"]]
    assert caught == ["division by zero"]


async def test_what_replaces_ours_stays() -> None:
    def other() -> None: ...

    with guarded(loop()):
        vars(loop())["stop"] = other
    assert vars(loop()).pop("stop") is other
    assert not vars(loop())


@pytest.mark.parametrize("how", ["task", "callback"])
def test_the_tasks_and_callbacks_of_others_are_not_contained(how: str) -> None:
    """A program that exits in one of its own exits."""

    async def main() -> None:
        async with open_world("memory://") as world, Worker(world, steps=[]):
            if how == "task":
                await asyncio.ensure_future(exits())
            loop().call_soon(sys.exit, 3)
            await asyncio.sleep(60)

    with pytest.raises(SystemExit):
        uvloop.run(main())
