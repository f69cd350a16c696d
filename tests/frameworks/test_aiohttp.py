"""aiohttp: a cleanup context has the world and the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from perdure import Worker, get_run, open_world, start
from tests.frameworks.sums import add, sums

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def begin(request: web.Request) -> web.Response:
    run = await start(sums, [int(request.query["a"]), int(request.query["b"])])
    return web.Response(text=run.id)


async def result(request: web.Request) -> web.Response:
    value = await get_run(request.match_info["run_id"]).result(timeout=20)
    return web.json_response(value)


def application(url: str) -> web.Application:
    async def service(app: web.Application) -> AsyncIterator[None]:
        async with open_world(url) as world, Worker(world, steps=[add]):
            yield

    app = web.Application()
    app.cleanup_ctx.append(service)
    app.router.add_post("/sums", begin)
    app.router.add_get("/sums/{run_id}", result)
    return app


async def test_under_its_server(tmp_path: Path) -> None:
    server = TestServer(application(f"sqlite:///{tmp_path}/app.db"), host="127.0.0.1", port=0)
    async with TestClient(server) as client:
        run = await (await client.post("/sums", params={"a": 1, "b": 2})).text()
        assert await (await client.get(f"/sums/{run}")).json() == 3
