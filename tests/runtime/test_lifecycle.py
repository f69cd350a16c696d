"""A worker and a world begin in one task and end in another, whatever becomes of either task."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import anyio
import pytest
from files_world import FilesWorld

from perdure import Run, Worker, Workflow, get_run, list_runs, open_world, start, step
from perdure.abc import World
from perdure.errors import UsageError, WorldClosedError
from perdure.model import RunFilter, RunId
from perdure.worlds import make_world
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio
T = TypeVar("T")
Entered: TypeAlias = "AbstractAsyncContextManager[Any]"


def flow_of(name: str) -> Workflow:
    """One that returns what its step returns."""
    return Workflow.from_source(
        f'import {{ {name} }} from "python:lifecycle";\n'
        f'export async function flow() {{ "use workflow"; return await {name}(); }}\n'
    )


FLOW, WAITING, CLOSING = flow_of("work"), flow_of("wait"), flow_of("closing")


@step(name="lifecycle:work")
async def work() -> str:
    return "done"


async def in_task(main: Coroutine[Any, Any, T], *, own_context: bool = False) -> T:
    """Its answer from a task of its own, which has ended by then."""
    context = contextvars.Context() if own_context else None
    return await asyncio.create_task(main, context=context)


@asynccontextmanager
async def started(world: World) -> AsyncGenerator[Worker, None]:
    worker = Worker(world, steps=[work])
    await in_task(worker.start())
    try:
        yield worker
    finally:
        await in_task(worker.aclose())


@asynccontextmanager
async def entered(world: World) -> AsyncGenerator[Worker, None]:
    """By a stack that is opened in one task and closed in another, as frameworks have it."""
    stack, worker = AsyncExitStack(), Worker(world, steps=[work])
    await in_task(stack.enter_async_context(worker))
    try:
        yield worker
    finally:
        await in_task(stack.aclose(), own_context=True)


@asynccontextmanager
async def generated(world: World) -> AsyncGenerator[Worker, None]:
    """By an asynchronous generator, each piece of which is run in a task, as fixtures are."""

    async def fixture() -> AsyncIterator[Worker]:
        async with Worker(world, steps=[work]) as worker:
            yield worker

    async def piece() -> Worker | None:
        return await anext(pieces, None)

    pieces = fixture()
    worker = await in_task(piece())
    assert worker is not None
    try:
        yield worker
    finally:
        assert await in_task(piece(), own_context=True) is None


WAYS = (started, entered, generated)


@EVERY_WORLD
@pytest.mark.parametrize("way", WAYS)
async def test_a_worker_begins_in_one_task_and_ends_in_another(
    url: str, way: Callable[[World], AbstractAsyncContextManager[Worker]]
) -> None:
    opening = open_world(url)
    world = await in_task(opening.__aenter__())
    async with way(world) as worker:
        run = await start(FLOW, world=world)
        assert await run.result(timeout=20) == "done"
        assert repr(worker).startswith("<Worker")
    await in_task(opening.__aexit__(None, None, None), own_context=True)
    with pytest.raises(WorldClosedError):
        await run.info()
    tasks = [task for task in asyncio.all_tasks() if "worker" in task.get_name()]
    assert tasks == []


async def test_a_world_of_an_author_of_their_own_does_so_too(tmp_path: Path) -> None:
    stack = AsyncExitStack()
    world = await in_task(stack.enter_async_context(FilesWorld(f"files://{tmp_path}?sync=no")))
    async with entered(world):
        assert await (await start(FLOW)).result(timeout=20) == "done"
    await in_task(stack.aclose(), own_context=True)
    with pytest.raises(WorldClosedError):
        await world.settle()


async def test_a_world_that_was_left_elsewhere_is_meant_by_no_call(tmp_path: Any) -> None:
    """Though the context it was entered in is not the one it was left in."""
    opening = open_world("memory://")
    one = await opening.__aenter__()
    async with open_world(f"sqlite:///{tmp_path}/two.db") as two:
        await in_task(opening.__aexit__(None, None, None), own_context=True)
        assert (await start(FLOW))._world is two
    opening = open_world("memory://")
    three = await opening.__aenter__()
    assert (await start(FLOW))._world is three is not one
    await in_task(opening.__aexit__(None, None, None))


async def test_blocks_are_left_in_any_order() -> None:
    first, second = open_world("memory://"), open_world("memory://")
    await first.__aenter__()
    inner = await second.__aenter__()
    await first.__aexit__(None, None, None)
    assert (await start(FLOW))._world is inner
    await second.__aexit__(None, None, None)


# --- once, and in good order --------------------------------------------------------------------


async def twice_started(world: World) -> None:
    worker = Worker(world)
    await worker.start()
    try:
        await worker.start()
    finally:
        await worker.aclose()


async def entered_when_started(world: World) -> None:
    worker = Worker(world)
    async with worker, worker:
        pass


async def started_when_closed(world: World) -> None:
    worker = Worker(world)
    await worker.aclose()
    await worker.start()


async def entered_when_left(world: World) -> None:
    worker = Worker(world)
    for _ in range(2):
        async with worker:
            pass


@pytest.mark.parametrize(
    ("use", "before"),
    [
        (twice_started, "started"),
        (entered_when_started, "started"),
        (started_when_closed, "closed"),
        (entered_when_left, "closed"),
    ],
)
async def test_a_worker_works_once(
    world: World, use: Callable[[World], Awaitable[None]], before: str
) -> None:
    with pytest.raises(UsageError, match=f"was {before} before.*make another Worker"):
        await use(world)


async def test_closing_is_idempotent_and_needs_no_start(world: World) -> None:
    worker = Worker(world, steps=[work])
    await worker.aclose()
    await worker.aclose()
    worker = Worker(world, steps=[work])
    await worker.start()
    run = await start(FLOW, world=world)
    await asyncio.gather(worker.aclose(), worker.aclose())
    await worker.aclose()
    assert not (await run.info()).status.is_ended or await run.result() == "done"


async def in_turn(url: str) -> None:
    opening = open_world(url)
    async with opening:
        pass
    async with opening:
        pass


async def at_once(url: str) -> None:
    opening = open_world(url)
    async with opening, opening:
        pass


@pytest.mark.parametrize("use", [in_turn, at_once])
async def test_an_opening_opens_once(url: str, use: Callable[[str], Awaitable[None]]) -> None:
    with pytest.raises(UsageError, match=r"entered before.*call open_world\(\) for each block"):
        await use(url)
    assert "open_world(" in repr(open_world(url))


async def test_a_step_does_not_close_its_own_worker(world: World) -> None:
    """It would wait for itself."""

    @step(name="lifecycle:closing")
    async def closing() -> str:
        with pytest.raises(UsageError, match="would wait for itself"):
            await worker.aclose()
        return "done"

    async with Worker(world, steps=[closing]) as worker:
        run = await start(CLOSING)
        assert await run.result(timeout=10) == "done"


# --- cancelled ----------------------------------------------------------------------------------


@asynccontextmanager
async def waiting_step() -> AsyncGenerator[tuple[Any, asyncio.Event, asyncio.Event], None]:
    """A step that tells when it has begun, and waits to be told to end, the first time."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    @step(name="lifecycle:wait")
    async def wait() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    yield wait, begun, go_on


@pytest.mark.parametrize("turns", range(6))
async def test_a_worker_that_is_closed_while_it_starts_runs_nothing(
    world: World, turns: int
) -> None:
    worker = Worker(world, steps=[work])
    starting = asyncio.create_task(worker.start())
    for _ in range(turns):
        await asyncio.sleep(0)
    await worker.aclose()
    await asyncio.wait({starting})
    error = starting.exception()
    assert error is None or (isinstance(error, UsageError) and "was closed before" in str(error))
    await worker.aclose()
    assert not [task for task in asyncio.all_tasks() if "worker of" in task.get_name()]
    assert worker.statistics()["runs"] == 0


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_start_leaves_nothing_behind(world: World, turns: int) -> None:
    """Wherever it is by then."""
    worker = Worker(world, steps=[work])
    starting = asyncio.create_task(worker.start())
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait({starting})
    await worker.aclose()
    assert not [task for task in asyncio.all_tasks() if "worker of" in task.get_name()]
    async with Worker(world, steps=[work]):
        assert await (await start(FLOW, world=world)).result(timeout=10) == "done"


async def native(closing: asyncio.Task[None], scope: anyio.CancelScope) -> None:
    closing.cancel()


async def often(closing: asyncio.Task[None], scope: anyio.CancelScope) -> None:
    for _ in range(3):
        closing.cancel()
        await asyncio.sleep(0)


async def by_scope(closing: asyncio.Task[None], scope: anyio.CancelScope) -> None:
    scope.cancel()


@pytest.mark.parametrize("cancel", [native, often, by_scope])
async def test_a_cancelled_closing_ends_the_worker_and_loses_no_step(
    world: World, cancel: Callable[[asyncio.Task[None], anyio.CancelScope], Awaitable[None]]
) -> None:
    scope = anyio.CancelScope()
    async with waiting_step() as (wait, begun, go_on):
        worker = Worker(world, steps=[wait])
        await worker.start()
        run = await start(WAITING, world=world)
        await begun.wait()

        async def close() -> None:
            with scope:
                await worker.aclose()

        closing = asyncio.create_task(close())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await cancel(closing, scope)
        await asyncio.wait({closing}, timeout=5)
        assert closing.done()
        assert closing.cancelled() is (cancel is not by_scope)
        assert not [task for task in asyncio.all_tasks() if "worker of" in task.get_name()]
        go_on.set()
        async with Worker(world, steps=[wait]):
            assert await run.result(timeout=5) == "done"  # half as long as a lease


async def test_a_cancelled_block_ends_its_worker_and_loses_no_step(world: World) -> None:
    async with waiting_step() as (wait, begun, go_on):

        async def serve() -> None:
            async with Worker(world, steps=[wait]):
                await asyncio.Event().wait()

        serving = asyncio.create_task(serve())
        run = await start(WAITING, world=world)
        await begun.wait()
        serving.cancel()
        await asyncio.wait({serving}, timeout=5)
        assert serving.cancelled()
        go_on.set()
        async with Worker(world, steps=[wait]):
            assert await run.result(timeout=5) == "done"


# --- failures of the inside ---------------------------------------------------------------------


async def test_a_worker_that_fails_stops_and_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that waits is told by the log, and by what closes the worker, once."""
    worker = Worker(world, steps=[work])
    await in_task(worker.start())
    (life,) = [task for task in asyncio.all_tasks() if "worker of" in task.get_name()]
    await world.aclose()
    await asyncio.wait({life}, timeout=10)
    (record,) = [one for one in caplog.records if "has stopped" in one.getMessage()]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    with pytest.raises(BaseExceptionGroup) as caught:
        await worker.aclose()
    assert caught.value.split(WorldClosedError)[1] is None
    await worker.aclose()


async def test_a_failing_worker_cancels_its_block_which_raises_why(world: World) -> None:
    async def serve() -> None:
        async with Worker(world, steps=[work]):
            await world.aclose()
            await asyncio.Event().wait()

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve()
    assert caught.value.split(WorldClosedError)[1] is None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # nor is a cancellation on its way


async def test_a_block_that_swallows_that_it_is_cancelled_raises_why_all_the_same(
    world: World,
) -> None:
    async def serve() -> None:
        async with Worker(world, steps=[work]):
            try:
                await world.aclose()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

    with pytest.raises(BaseExceptionGroup):
        await serve()
    await asyncio.sleep(0)


async def test_what_the_block_raises_is_told_beside_what_ended_the_worker(world: World) -> None:
    async def serve() -> None:
        async with Worker(world, steps=[work]):
            try:
                await world.aclose()
                await asyncio.Event().wait()
            finally:
                raise ValueError("of the block")

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve()
    assert caught.value.subgroup(ValueError) is not None
    assert caught.value.subgroup(WorldClosedError) is not None


async def test_what_a_block_raises_leaves_it_as_it_is(world: World) -> None:
    with pytest.raises(ValueError, match="of the block"):
        async with Worker(world, steps=[work]):
            raise ValueError("of the block")


# --- loops --------------------------------------------------------------------------------------


CALLS: dict[str, Callable[[World, str], Coroutine[Any, Any, object]]] = {
    "start": lambda world, run_id: start(FLOW, world=world),
    "info": lambda world, run_id: get_run(run_id, world).info(),
    "result": lambda world, run_id: get_run(run_id, world).result(timeout=1),
    "cancel": lambda world, run_id: get_run(run_id, world).cancel(),
    "list_runs": lambda world, run_id: list_runs(world=world),
    "a worker": lambda world, run_id: Worker(world).start(),
    "a worker's block": lambda world, run_id: Worker(world).__aenter__(),
}


def in_other_loop(main: Coroutine[Any, Any, T]) -> list[T | BaseException]:
    """Its answer, or error, in a loop of another thread, in a copy of this context."""
    answers: list[T | BaseException] = []

    def call() -> None:
        try:
            answers.append(asyncio.run(main))
        except BaseException as exc:
            answers.append(exc)

    thread = threading.Thread(target=contextvars.copy_context().run, args=[call])
    thread.start()
    thread.join(20)
    return answers


@EVERY_WORLD
@pytest.mark.parametrize("name", CALLS)
async def test_a_world_of_another_loop_is_refused(world: World, name: str) -> None:
    run = await start(FLOW, world=world)
    (error,) = in_other_loop(CALLS[name](world, run.id))
    assert isinstance(error, UsageError)
    assert "is open in another event loop" in str(error)


CONTRACTS: dict[str, Callable[[World, RunId], Awaitable[object]]] = {
    "storage": lambda world, run_id: world.storage.get_run(run_id),
    "a write": lambda world, run_id: world.queue.wake(run_id, due_ms=1),
    "a wait": lambda world, run_id: world.storage.wait_ended(run_id, wait_ms=10_000),
    "the catalogue": lambda world, run_id: world.catalogue.list_runs(RunFilter(), limit=1),
    "closing": lambda world, run_id: world.aclose(),
}
ANYWHERE = {"closing": pytest.mark.never_on("memory", "sqlite")}  # a file is closed in any loop


@EVERY_WORLD
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=ANYWHERE.get(name, ())) for name in CONTRACTS]
)
async def test_a_contract_of_a_world_of_another_loop_is_refused(world: World, name: str) -> None:
    run = await start(FLOW, world=world)

    async def call() -> object:
        return await CONTRACTS[name](world, run.id)

    (error,) = in_other_loop(call())
    assert isinstance(error, UsageError)
    assert "is open in another event loop" in str(error)
    assert (await run.info()).run_id == run.id


async def test_a_context_that_is_copied_to_another_loop_does_not_take_its_world_along(
    url: str,
) -> None:
    async with open_world(url):
        (error,) = in_other_loop(start(FLOW))
    assert isinstance(error, UsageError)


@EVERY_WORLD
@pytest.mark.never_on("s3")  # aiohttp's transports warn at some later time, in another test
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_world_of_a_closed_loop_is_refused(url: str) -> None:
    """Clients of stores warn that nobody closed them."""
    openings: list[Entered] = []

    async def open_and_leave_open() -> tuple[World, Run]:
        openings.append(open_world(url))
        world = await openings[0].__aenter__()
        return world, await start(FLOW, world=world)

    (answer,) = in_other_loop(open_and_leave_open())
    assert isinstance(answer, tuple)
    world, run = answer
    with pytest.raises(UsageError, match="event loop that is closed by now"):
        await get_run(run.id, world).info()
    await world.aclose()
    async with world:  # opened again here, it is as good as new
        assert await list_runs(world=world) is not None
    openings.clear()
    gc.collect()


async def test_a_worker_is_closed_in_its_own_loop(world: World) -> None:
    async with Worker(world, steps=[work]) as worker:
        (error,) = in_other_loop(worker.aclose())
        assert isinstance(error, UsageError)
        assert "started in another event loop" in str(error)
        assert await (await start(FLOW)).result(timeout=10) == "done"


async def test_a_worker_of_a_closed_loop_is_closed_anywhere() -> None:
    async def start_one() -> Worker:
        world = make_world("memory://")
        await world.open()
        worker = Worker(world, steps=[work])
        await worker.start()
        return worker

    (worker,) = in_other_loop(start_one())
    assert isinstance(worker, Worker)
    await worker.aclose()
    await worker.aclose()


async def test_what_runs_without_asyncio_is_told_so() -> None:
    """By coroutines that another scheduler drives, such as trio's."""
    world = make_world("memory://")
    for main in (
        open_world("memory://").__aenter__(),
        make_world("sqlite:///never.db").open(),
        make_world("mongodb://127.0.0.1:1/never").open(),
        make_world("s3://never").open(),
        Worker(world).start(),
        Worker(world).__aenter__(),
        start(FLOW),
        start(FLOW, world=world),
        get_run("none", world).info(),
        list_runs(),
    ):
        (error,) = await asyncio.to_thread(driven_by_hand, main)
        assert isinstance(error, UsageError)
        assert "no asyncio event loop runs here" in str(error)


def driven_by_hand(main: Coroutine[Any, Any, object]) -> list[BaseException]:
    try:
        main.send(None)
    except BaseException as exc:
        return [exc]
    return []


def test_trio_is_told_so() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        async with open_world("memory://"):
            pass

    with pytest.raises(UsageError, match="under trio, run such a loop in a thread"):
        trio.run(main)
