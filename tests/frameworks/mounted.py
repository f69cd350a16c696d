"""Services of seven frameworks, each with a route of its own and the HTTP app; run as a process.

``python -m tests.frameworks.mounted FRAMEWORK WORLD_URL FD FD worker|alone``: the second socket is
for the app where it cannot be mounted, and ``alone`` leaves the runs to other workers.
"""

# Django has no types, and hypercorn not all.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure import Worker, open_world
from perdure.web import HttpLimits, app, beside
from tests.frameworks.reached import STEPS, WORKFLOWS, authorize

LIMITS = HttpLimits(body_bytes=100_000, reply_seconds=20)


@asynccontextmanager
async def service() -> AsyncGenerator[None, None]:
    """The world, and a worker unless others do its work: as long as the application lives."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_world(sys.argv[2]))
        if sys.argv[5] == "worker":
            await stack.enter_async_context(Worker(world, steps=STEPS))
        yield


def site() -> Any:
    """The app to mount; it finds the world that the service has open."""
    return app(authorize=authorize, workflows=WORKFLOWS, limits=LIMITS)


def under_uvicorn(application: ASGIApp) -> None:
    config = uvicorn.Config(
        application, log_level="warning", lifespan="on", timeout_graceful_shutdown=2
    )
    uvicorn.Server(config).run([socket.socket(fileno=int(sys.argv[3]))])


def starlette() -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def own(request: Request) -> PlainTextResponse:
        return PlainTextResponse("own")

    routes = [Route("/own", own), Mount("/", site())]
    under_uvicorn(Starlette(routes=routes, lifespan=lambda _: service()))


def fastapi() -> None:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    application = FastAPI(lifespan=lambda _: service())

    @application.get("/own")
    async def own() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction] # a route
        return PlainTextResponse("own")

    application.mount("/", site())
    under_uvicorn(application)


def litestar() -> None:
    from litestar import Litestar, get

    @get("/own", media_type="text/plain")
    async def own() -> str:
        return "own"

    application = Litestar([own], lifespan=[lambda _: service()], logging_config=None)
    under_uvicorn(beside(site(), application))  # type: ignore[arg-type]  # its own ASGI types


def quart() -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from quart import Quart

    application, config = Quart(__name__), Config()
    config.bind = [f"fd://{sys.argv[3]}"]
    config.graceful_timeout = 2

    @application.get("/own")
    async def own() -> str:
        return "own"

    @application.while_serving
    async def lifespan() -> AsyncGenerator[None, None]:
        async with service():
            yield

    asyncio.run(serve(beside(site(), application), config))  # type: ignore[arg-type]  # as above


def django() -> None:
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    async def own(request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"own")

    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
    globals()["urlpatterns"] = [path("own", own)]
    both = beside(site(), get_asgi_application())

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            return await both(scope, receive, send)
        await receive()
        async with service():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return None

    under_uvicorn(application)


def sanic() -> None:
    from sanic import HTTPResponse, Request, Sanic, text

    application: Sanic[Any, Any] = Sanic("mounted", configure_logging=False)
    stack = AsyncExitStack()

    @application.before_server_start
    async def begin(_: Any) -> None:
        await stack.enter_async_context(service())

    @application.after_server_stop
    async def end(_: Any) -> None:
        await stack.aclose()

    @application.get("/own")
    async def own(request: Request) -> HTTPResponse:
        return text("own")

    under_uvicorn(beside(site(), application))


def aiohttp() -> None:
    from aiohttp import web

    from perdure.web.server import Server

    async def own(request: web.Request) -> web.Response:
        return web.Response(text="own")

    async def lifespan(_: web.Application) -> AsyncIterator[None]:
        server = Server(site())
        async with service():
            serving = asyncio.create_task(server.serve([socket.socket(fileno=int(sys.argv[4]))]))
            yield
            server.stop()
            await serving

    application = web.Application()
    application.cleanup_ctx.append(lifespan)
    application.router.add_get("/own", own)
    web.run_app(application, sock=socket.socket(fileno=int(sys.argv[3])), print=None)


FRAMEWORKS: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (starlette, fastapi, litestar, quart, django, sanic, aiohttp)
}

if __name__ == "__main__":
    FRAMEWORKS[sys.argv[1]]()
