"""Quart: the hooks ``before_serving`` and ``after_serving``, or ``while_serving``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from hypercorn.asyncio import serve  # pyright: ignore[reportUnknownVariableType] # partly typed
from hypercorn.config import Config
from quart import Quart, request

from perdure import Worker, get_run, open_world, start
from tests.frameworks.sums import add, sums

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def begin() -> str:
    return (await start(sums, [int(request.args["a"]), int(request.args["b"])])).id


async def result(run_id: str) -> str:
    return str(await get_run(run_id).result(timeout=20))


def with_hooks(url: str) -> Quart:
    app, service = Quart(__name__), AsyncExitStack()

    @app.before_serving
    async def open_service() -> None:  # pyright: ignore[reportUnusedFunction] # a hook
        world = await service.enter_async_context(open_world(url))
        await service.enter_async_context(Worker(world, steps=[add]))

    app.after_serving(service.aclose)
    return app


def with_a_generator(url: str) -> Quart:
    app = Quart(__name__)

    @app.while_serving
    # Quart calls it.
    async def service() -> AsyncGenerator[None, None]:  # pyright: ignore[reportUnusedFunction]
        async with open_world(url) as world, Worker(world, steps=[add]):
            yield

    return app


@pytest.fixture(params=[with_hooks, with_a_generator])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Quart:
    make: Callable[[str], Quart] = request.param
    app = make(f"sqlite:///{tmp_path}/app.db")
    app.post("/sums")(begin)
    app.get("/sums/<run_id>")(result)
    return app


async def test_under_the_test_app(app: Quart) -> None:
    async with app.test_app() as running:
        client = running.test_client()
        run = await (await client.post("/sums?a=1&b=2")).get_data(as_text=True)
        assert await (await client.get(f"/sums/{run}")).get_data(as_text=True) == "3"


async def test_under_hypercorn(app: Quart) -> None:
    config, stop = Config(), asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config.bind = [f"fd://{listener.detach()}"]
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        run = (await client.post("/sums?a=1&b=2")).text
        assert (await client.get(f"/sums/{run}")).text == "3"
    stop.set()
    await serving
