"""Sanic: a listener opens the world and starts the worker, another one closes both.

Run by ``test_sanic.py`` as a process: ``python sanic_service.py URL FILE_DESCRIPTOR``.
"""

from __future__ import annotations

import socket
import sys
from typing import Any, TypeAlias

from sanic import HTTPResponse, Request, Sanic, text

from perdure import Worker, get_run, open_world, start
from tests.frameworks.sums import add, sums

App: TypeAlias = "Sanic[Any, Any]"
app: App = Sanic("sums", configure_logging=False)


@app.before_server_start
async def open_service(app: App) -> None:
    app.ctx.opening = open_world(sys.argv[1])
    app.ctx.worker = Worker(await app.ctx.opening.__aenter__(), steps=[add])
    await app.ctx.worker.start()


@app.after_server_stop
async def close_service(app: App) -> None:
    await app.ctx.worker.aclose()
    await app.ctx.opening.__aexit__(None, None, None)
    print("closed", flush=True)


@app.post("/sums")
async def begin(request: Request) -> HTTPResponse:
    run = await start(sums, [int(request.args["a"][0]), int(request.args["b"][0])])
    return text(run.id)


@app.get("/sums/<run_id>")
async def result(request: Request, run_id: str) -> HTTPResponse:
    return text(str(await get_run(run_id).result(timeout=20)))


if __name__ == "__main__":
    app.run(  # pyright: ignore[reportUnknownMemberType]  # partly typed
        sock=socket.socket(fileno=int(sys.argv[2])), single_process=True, motd=False
    )
