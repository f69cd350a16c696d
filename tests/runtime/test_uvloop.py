"""In a loop that is not asyncio's own, too, what a step's task raises ends no worker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
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
# A callback has no task to end: docs/limits.md.
IN_CALLBACKS = {
    "exit in a callback",
    "exit in a timer",
    "exit in a future's callback",
    "exit in a reader",
    "exit in the handler of errors",
    "a step that hides itself",
}


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
@pytest.mark.parametrize("name", sorted(ODD.keys() - IN_CALLBACKS))
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


async def test_a_factory_of_the_application_makes_the_tasks() -> None:
    made: list[str] = []

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **named: Any
    ) -> asyncio.Task[Any]:
        made.append(getattr(coroutine, "__name__", "?"))
        return asyncio.Task(coroutine, loop=loop, **named)

    loop().set_task_factory(factory)  # type: ignore[arg-type]  # in each release another type
    try:
        with guarded(loop()):
            assert await asyncio.create_task(returns(), name="x") == ("x", 7)
            with guarded(loop()):
                assert set(METHODS) <= set(vars(loop()))
        assert made == ["returns"]
        assert loop().get_task_factory() is factory
    finally:
        loop().set_task_factory(None)
    assert not set(METHODS) & set(vars(loop()))


async def test_what_replaces_ours_stays() -> None:
    def other() -> None: ...

    with guarded(loop()):
        loop().set_task_factory(None)
        vars(loop())["stop"] = other
    assert loop().get_task_factory() is None
    assert vars(loop()).pop("stop") is other


def test_the_tasks_of_others_are_not_contained() -> None:
    """A program that exits in a task of its own exits."""

    async def main() -> None:
        async with open_world("memory://") as world, Worker(world, steps=[]):
            await asyncio.ensure_future(exits())

    with pytest.raises(SystemExit):
        uvloop.run(main())
