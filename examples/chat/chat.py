"""A chat's back end: questions come over HTTP, answers go out token by token, as they are made.

``uvicorn chat:app``. Tokens go from a step to its run's stream, and from there to any number of
browsers, by server-sent events. An event's id is an index of the stream, so that a browser which
lost its connection, or whose server was killed, goes on where it was: it sends the last id again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import model
from perdure import Run, RunFailedError, Worker, get_run, open_world, start, workflow
from perdure.errors import RunNotFoundError, RunTimeoutError
from perdure.values import Rewind

__all__ = ("app",)

HERE = Path(__file__).parent
CHAT = workflow(HERE / "workflows" / "chat.ts")
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # no proxy holds events back


async def ask(request: Request) -> Response:
    """Ask a question; the same key again is the same chat."""
    question = (await request.json()).get("question")
    if not isinstance(question, str) or not question:
        return JSONResponse({"error": "question is a text"}, status_code=422)
    key = request.headers.get("idempotency-key")
    run = await start(CHAT, [question], idempotency_key=key)
    return JSONResponse({"id": run.id}, status_code=202)


async def events(request: Request) -> Response:
    """The answer's tokens as they come, from the one after ``Last-Event-ID``."""
    last = request.headers.get("last-event-id", "")
    if last and not last.isdecimal():
        return JSONResponse({"error": "Last-Event-ID is a number"}, status_code=422)
    run = get_run(request.path_params["chat"])
    await run.info()  # before the first byte: an unknown one is a 404
    frames = _frames(run, int(last or 0))
    return StreamingResponse(frames, media_type="text/event-stream", headers=HEADERS)


async def whole(request: Request) -> Response:
    """The whole answer, if it is there."""
    try:
        text = await get_run(request.path_params["chat"]).result(timeout=0)
    except RunTimeoutError:
        return JSONResponse({"answer": None}, status_code=202)
    except RunFailedError as exc:
        return JSONResponse({"error": str(exc)}, status_code=409)
    return JSONResponse({"answer": text})


async def page(request: Request) -> Response:
    """A chat in a browser."""
    return HTMLResponse((HERE / "chat.html").read_text(encoding="utf-8"))


async def unknown(request: Request, error: Exception) -> Response:
    """No such chat."""
    return JSONResponse({"error": str(error)}, status_code=404)


async def _frames(run: Run, start: int) -> AsyncIterator[str]:
    reader = run.readable("tokens", start=start)
    async for value in reader:
        if isinstance(value, Rewind):
            yield _frame("rewind", reader.index, value.void)
        else:
            yield _frame("token", reader.index, value)
    yield _frame("end", reader.index, None)


def _frame(kind: str, index: int, data: object) -> str:
    return f"event: {kind}\nid: {index}\ndata: {json.dumps(data)}\n\n"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    """The world and its worker, while the server runs."""
    CHAT.compile()  # a mistake ends the deploy, not the first chat
    async with (
        open_world(f"sqlite:///{HERE}/.perdure/perdure.db") as world,
        Worker(world, steps=[model.answer, model.remember], drain_timeout=1),
    ):
        yield


app = Starlette(
    routes=[
        Route("/", page),
        Route("/chats", ask, methods=["POST"]),
        Route("/chats/{chat}", whole),
        Route("/chats/{chat}/events", events),
    ],
    exception_handlers={RunNotFoundError: unknown},
    lifespan=lifespan,
)
