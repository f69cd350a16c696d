"""Ambient: a call without ``world=`` goes to the world that is meant, or says it cannot tell."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from perdure import Run, Worker, Workflow, cancel_runs, get_run, list_runs, open_world, start
from perdure._opened import opened_elsewhere, opened_here
from perdure.abc import World
from perdure.errors import UsageError
from perdure.worlds import make_world
from tests.systems import needs_forks

pytestmark = pytest.mark.anyio
T = TypeVar("T")
FLOW = Workflow.from_source('export async function w() { "use workflow"; return 1 }')


@pytest.fixture(autouse=True)
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the default world's database would be."""
    monkeypatch.delenv("PERDURE_WORLD", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".perdure" / "perdure.db"


def is_there(path: Path) -> bool:
    return path.exists()


async def elsewhere(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Its answer in a context that knows of no block, as a web framework's handlers have it."""
    return await asyncio.create_task(main(), context=contextvars.Context())


async def first_event() -> object:
    async for logged in get_run("mine").events():
        return logged
    return None


CALLS: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "start": lambda: start(FLOW, run_id="mine"),
    "info": lambda: get_run("mine").info(),
    "status": lambda: get_run("mine").status(),
    "moved_to": lambda: get_run("mine").moved_to(),
    "result": lambda: get_run("mine").result(timeout=10),
    "cancel": lambda: get_run("mine").cancel(),
    "log_lines": lambda: get_run("mine").log_lines(),
    "events": lambda: first_event(),
    "wake": lambda: get_run("mine").wake(),
    "hooks": lambda: get_run("mine").hooks(),
    "cancel_runs": lambda: cancel_runs(["mine"]),
    "list_runs": list_runs,
}


@pytest.mark.parametrize("name", CALLS)
async def test_the_one_open_world_is_used_outside_its_block(name: str, default: Path) -> None:
    async def call() -> Any:
        return await CALLS[name]()

    async with open_world("sqlite:///app.db") as world, AsyncExitStack() as stack:
        if name not in ("start", "list_runs"):
            await start(FLOW, run_id="mine", world=world)
        if name == "result":
            await stack.enter_async_context(Worker(world))
        await elsewhere(call)
        if name == "start":
            assert (await get_run("mine", world).info()).run_id == "mine"
    assert not is_there(default)


@pytest.mark.parametrize("name", CALLS)
async def test_of_several_open_worlds_a_call_says_which(name: str, default: Path) -> None:
    async def call() -> Any:
        return await CALLS[name]()

    async with open_world("sqlite:///one.db") as one, open_world("sqlite:///two.db"):
        with pytest.raises(UsageError, match=r"sqlite:///one\.db, sqlite:///two\.db.*world=") as e:
            await elsewhere(call)
        run = await start(FLOW, world=one)

        async def told() -> object:
            return await get_run(run.id, one).info()

        assert await elsewhere(told)
    assert "several worlds" in str(e.value)
    assert not is_there(default)


async def test_where_one_of_several_is_closed_the_other_is_meant() -> None:
    async def begin() -> Run:
        return await start(FLOW)

    async with open_world("sqlite:///one.db") as one:
        async with open_world("sqlite:///two.db"):
            pass
        run = await elsewhere(begin)
        assert (await get_run(run.id, one).info()).run_id == run.id


async def test_two_handles_of_one_store_are_one_world_and_the_workers_is_used() -> None:
    async def begin() -> Run:
        return await start(FLOW)

    async with (
        open_world("sqlite:///app.db") as world,
        Worker(world),
        open_world("sqlite:///app.db"),
    ):
        run = await elsewhere(begin)
        assert run._world is world
        assert await run.result(timeout=10) == 1


async def test_two_memory_worlds_are_two_though_their_urls_are_one() -> None:
    async with open_world("memory://"), open_world("memory://"):
        with pytest.raises(UsageError, match="several worlds are open here"):
            await elsewhere(list_runs)


async def enter_with(world: World) -> AsyncExitStack:
    stack = AsyncExitStack()
    await stack.enter_async_context(world)
    return stack


async def open_and_serve(world: World) -> AsyncExitStack:
    stack = AsyncExitStack()
    await world.open()
    stack.push_async_callback(world.aclose)
    await stack.enter_async_context(Worker(world))
    return stack


@pytest.mark.parametrize("enter", [enter_with, open_and_serve])
async def test_a_world_counts_as_open_however_it_was_opened(
    enter: Callable[[World], Awaitable[AsyncExitStack]], default: Path
) -> None:
    async def begin() -> Run:
        return await start(FLOW)

    world = make_world("sqlite:///app.db")
    async with await enter(world):
        assert opened_here() == [world]
        run = await elsewhere(begin)
        assert (await get_run(run.id, world).info()).run_id == run.id
    assert opened_here() == []
    assert not is_there(default)


async def test_a_world_is_open_until_the_last_of_its_blocks_ends() -> None:
    async with open_world("sqlite:///app.db") as world:
        async with Worker(world):
            pass
        assert opened_here() == [world]
    assert opened_here() == []


async def test_a_block_may_be_left_in_another_context_and_loop() -> None:
    stack = AsyncExitStack()

    async def enter() -> None:
        await stack.enter_async_context(make_world("memory://"))

    async def leave() -> None:
        assert len(opened_elsewhere()) == 1
        await stack.aclose()

    await elsewhere(enter)
    assert len(opened_here()) == 1
    await asyncio.to_thread(asyncio.run, leave())
    assert opened_here() == []


async def test_a_password_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_WORLD", "s3://user:secret@bucket/prefix")
    async with open_world("sqlite:///one.db"), open_world("sqlite:///two.db"):
        with pytest.raises(UsageError) as several:
            await elsewhere(list_runs)

    async def begin() -> None:
        await list_runs()

    monkeypatch.setenv("PERDURE_WORLD", "mongodb://user:secret@localhost:1/db")
    async with open_world("sqlite:///one.db"):
        with pytest.raises(UsageError) as other:
            await asyncio.to_thread(lambda: contextvars.Context().run(asyncio.run, begin()))
    assert "mongodb://***@localhost:1/db" in str(other.value)
    assert "secret" not in f"{several.value}{other.value}"


# --- the default world ---------------------------------------------------------------------


async def test_without_an_open_world_the_default_one_is_used_and_told(
    default: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="perdure"):
        run = await start(FLOW)
        await start(FLOW)
    assert is_there(default)
    assert len([text for text in caplog.messages if "default one is used" in text]) == 1
    assert (await get_run(run.id).info()).run_id == run.id
    async with open_world("sqlite:///.perdure/perdure.db") as world:
        assert (await elsewhere(lambda: list_runs())).runs  # the same store
        assert (await get_run(run.id, world).info()).run_id == run.id


async def test_calls_at_once_open_one_default_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of memory:// each handle is a store of its own: what one call starts others must see."""
    monkeypatch.setenv("PERDURE_WORLD", "memory://")
    runs = await asyncio.gather(*(start(FLOW) for _ in range(5)))
    page = await list_runs()
    assert {run.run_id for run in page.runs} == {run.id for run in runs}


async def test_a_default_world_that_was_used_and_an_open_one_are_two() -> None:
    await start(FLOW)
    async with open_world("sqlite:///app.db"):
        with pytest.raises(UsageError, match=r"perdure\.db, sqlite:///app\.db"):
            await elsewhere(list_runs)
    assert len((await list_runs()).runs) == 1


async def test_a_default_that_changes_is_no_other_database_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await start(FLOW)
    monkeypatch.setenv("PERDURE_WORLD", "sqlite:///other.db")
    with pytest.raises(UsageError, match=r"other\.db, but .*perdure\.db was used by calls before"):
        await start(FLOW)
    assert not is_there(Path("other.db"))


# --- several event loops -------------------------------------------------------------------


async def test_another_loop_does_not_get_another_database_in_silence(default: Path) -> None:
    async def begin() -> None:
        await start(FLOW)

    async with open_world("sqlite:///app.db"):
        with pytest.raises(UsageError, match=r"app\.db is open in another event loop"):
            await asyncio.to_thread(lambda: contextvars.Context().run(asyncio.run, begin()))
    assert not is_there(default)


async def test_another_loop_has_the_default_world_where_that_is_the_open_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def begin() -> str:
        return (await start(FLOW)).id

    monkeypatch.setenv("PERDURE_WORLD", "sqlite:///app.db")
    async with open_world() as world:
        # One expression.
        main = lambda: contextvars.Context().run(asyncio.run, begin())  # noqa: E731
        run_id = await asyncio.to_thread(main)
        assert (await get_run(run_id, world).info()).run_id == run_id


async def test_each_loop_has_its_own_open_world(tmp_path: Path) -> None:
    """Two services in two threads: neither is told of the other's."""
    both = threading.Barrier(2, timeout=30)
    found: dict[str, list[str]] = {}

    async def serve(name: str) -> None:
        async with open_world(f"sqlite:///{tmp_path}/{name}.db") as world:
            both.wait()
            run = await elsewhere(lambda: start(FLOW, run_id=name))
            assert run._world is world
            both.wait()
            found[name] = [record.run_id for record in (await list_runs(world=world)).runs]

    names = ("one", "two")
    await asyncio.gather(*(asyncio.to_thread(asyncio.run, serve(name)) for name in names))
    assert found == {name: [name] for name in names}


async def test_a_loop_that_is_closed_has_nothing_open(default: Path) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    kept: list[World] = []

    async def leave_open() -> None:
        world = make_world("memory://")
        await world.__aenter__()
        kept.append(world)
        loops.append(asyncio.get_running_loop())

    await asyncio.to_thread(asyncio.run, leave_open())
    assert opened_elsewhere() == []
    await start(FLOW)
    assert is_there(default)
    await kept[0].__aexit__(None, None, None)


CHILD = """
import asyncio, os
from perdure._opened import opened_elsewhere
from perdure.worlds import make_world

async def look():
    return len(opened_elsewhere())

async def main():
    async with make_world("memory://"):
        pid = os.fork()
        if pid:
            return os.waitpid(pid, 0)[1]
        asyncio._set_running_loop(None)
        os._exit(asyncio.new_event_loop().run_until_complete(look()))

print(asyncio.run(main()))
"""


@needs_forks
@pytest.mark.slow
async def test_a_forked_child_has_none_of_its_parents_worlds() -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "ignore", "-c", CHILD],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "0", done.stderr
