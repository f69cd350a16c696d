"""Litestar: a lifespan manager, or the hooks ``on_startup`` and ``on_shutdown``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Request, get, post
from litestar.testing import TestClient

from perdure import Worker, get_run, open_world, start
from tests.frameworks.sums import add, sums

pytestmark = pytest.mark.slow


@post("/sums")
async def begin(request: Request[Any, Any, Any]) -> str:
    run = await start(sums, [int(request.query_params["a"]), int(request.query_params["b"])])
    return run.id


@get("/sums/{run_id:str}")
async def result(request: Request[Any, Any, Any]) -> object:
    return await get_run(request.path_params["run_id"]).result(timeout=20)


def with_a_lifespan(url: str) -> Litestar:
    @asynccontextmanager
    async def service(app: Litestar) -> AsyncGenerator[None, None]:
        async with open_world(url) as world, Worker(world, steps=[add]):
            yield

    return Litestar([begin, result], lifespan=[service], logging_config=None)


def with_hooks(url: str) -> Litestar:
    service = AsyncExitStack()

    async def open_service() -> None:
        world = await service.enter_async_context(open_world(url))
        await service.enter_async_context(Worker(world, steps=[add]))

    return Litestar(
        [begin, result],
        on_startup=[open_service],
        on_shutdown=[service.aclose],
        logging_config=None,  # the log is the process's
    )


@pytest.mark.parametrize("application", [with_a_lifespan, with_hooks])
def test_under_the_test_client(application: Callable[[str], Litestar], tmp_path: Path) -> None:
    with TestClient(application(f"sqlite:///{tmp_path}/app.db")) as client:
        run = client.post("/sums", params={"a": 1, "b": 2}).text
        assert client.get(f"/sums/{run}").json() == 3
