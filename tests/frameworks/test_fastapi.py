"""FastAPI: the lifespan has the world and the worker; handlers name neither."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from perdure import Worker, get_run, open_world, start
from tests.frameworks.sums import add, sums

pytestmark = pytest.mark.slow


def application(url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with open_world(url) as world, Worker(world, steps=[add]):
            yield

    app = FastAPI(lifespan=lifespan)
    app.post("/sums")(begin)
    app.get("/sums/{run_id}")(result)
    return app


async def begin(a: int, b: int) -> str:
    return (await start(sums, [a, b])).id


async def result(run_id: str) -> object:
    return await get_run(run_id).result(timeout=20)


def test_under_the_test_client(tmp_path: Path) -> None:
    for _ in range(2):  # the application is started anew by each block
        with TestClient(application(f"sqlite:///{tmp_path}/app.db")) as client:
            run = client.post("/sums", params={"a": 1, "b": 2}).json()
            assert client.get(f"/sums/{run}").json() == 3


@pytest.mark.anyio
async def test_under_uvicorn(tmp_path: Path) -> None:
    app = application(f"sqlite:///{tmp_path}/app.db")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
                run = (await client.post("/sums", params={"a": 1, "b": 2})).json()
                assert (await client.get(f"/sums/{run}")).json() == 3
            server.should_exit = True
