"""A service of FastAPI under uvicorn: its lifespan opens the world, its handlers do not name it."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import httpx
import pytest
import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import JSONResponse

from perdure import Worker, Workflow, get_run, list_runs, open_world, start
from perdure.errors import UsageError

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FLOW = Workflow.from_source('export async function w(n: number) { "use workflow"; return n + 1 }')
Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@pytest.fixture(autouse=True)
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the default world's database would be."""
    monkeypatch.delenv("PERDURE_WORLD", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".perdure" / "perdure.db"


def is_there(path: Path) -> bool:
    return path.exists()


async def begin(run_id: str) -> None:
    await start(FLOW, [1], run_id=run_id)


def begin_in_thread(run_id: str) -> None:
    anyio.from_thread.run(begin, run_id)


async def start_async(run_id: str) -> None:
    await begin(run_id)


def start_in_thread(run_id: str) -> None:
    begin_in_thread(run_id)


async def start_in_background(run_id: str, request: Request, tasks: BackgroundTasks) -> None:
    tasks.add_task(begin, run_id)
    tasks.add_task(set_begun, request.app)


async def start_in_a_thread_in_background(
    run_id: str, request: Request, tasks: BackgroundTasks
) -> None:
    tasks.add_task(begin_in_thread, run_id)
    tasks.add_task(set_begun, request.app)


async def set_begun(app: FastAPI) -> None:
    app.state.begun.set()


async def result(run_id: str) -> object:
    return await get_run(run_id).result(timeout=20)


async def runs() -> list[str]:
    return [run.run_id for run in (await list_runs()).runs]


def application(lifespan: Lifespan) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.post("/async/{run_id}")(start_async)
    app.post("/sync/{run_id}")(start_in_thread)
    app.post("/background/{run_id}")(start_in_background)
    app.post("/background-sync/{run_id}")(start_in_a_thread_in_background)
    app.get("/runs")(runs)
    app.get("/runs/{run_id}")(result)

    def told(request: Request, exc: Exception) -> JSONResponse:
        return JSONResponse({"error": str(exc)}, status_code=409)

    app.add_exception_handler(UsageError, told)
    return app


@asynccontextmanager
async def one_world(app: FastAPI) -> AsyncGenerator[None, None]:
    async with open_world("sqlite:///app.db") as world, Worker(world):
        yield


@asynccontextmanager
async def two_worlds(app: FastAPI) -> AsyncGenerator[None, None]:
    async with open_world("sqlite:///one.db"), open_world("sqlite:///two.db"):
        yield


@asynccontextmanager
async def served(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient, None]:
    """The application behind a real server, on a socket that is bound before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="warning", lifespan="on")
        server = uvicorn.Server(config)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
                yield client
            server.should_exit = True


@pytest.mark.parametrize("way", ["async", "sync", "background", "background-sync"])
async def test_a_handler_starts_runs_in_the_world_of_the_lifespan(way: str, default: Path) -> None:
    app = application(one_world)
    app.state.begun = anyio.Event()
    async with served(app) as client:
        answer = await client.post(f"/{way}/mine")
        assert answer.status_code == 200, answer.text
        if way.startswith("background"):  # it goes on when the answer has come
            with anyio.fail_after(20):
                await app.state.begun.wait()
        answer = await client.get("/runs/mine")
        assert (answer.status_code, answer.json()) == (200, 2), answer.text
        assert (await client.get("/runs")).json() == ["mine"]
    assert not is_there(default)


@pytest.mark.parametrize("way", ["async", "sync"])
async def test_with_two_worlds_a_handler_is_told_to_say_which(way: str, default: Path) -> None:
    async with served(application(two_worlds)) as client:
        answers: list[Any] = [
            await client.post(f"/{way}/mine"),
            await client.get("/runs"),
            await client.get("/runs/mine"),
        ]
        for answer in answers:
            assert answer.status_code == 409
            assert "sqlite:///one.db, sqlite:///two.db" in answer.json()["error"]
    assert not is_there(default)
