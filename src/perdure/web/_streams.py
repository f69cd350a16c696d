"""Streams: those of runs over HTTP, as events that a browser follows, or as plain bytes.

An event's id is its chunk's index, so a client that lost its connection goes on behind the last one
that it has. A response is held for as long as its client is there, and for no longer than a limit;
then the client comes again. Nothing is buffered here but one page of the stream.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Final, cast, final

import anyio
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._model.ids import RunId
from .._protocol.json_values import Json, as_json
from .._runtime.run import Run
from .._runtime.streams.readable import Readable
from ..errors import PerdureError
from ..values import Rewind
from ._operations import Call, Fields, Operation, answer_json
from ._presence import ClientGone, while_present
from ._problems import Problem, as_problem

__all__ = ("STREAM_OPERATIONS",)

_EVENTS: Final = "text/event-stream"
_BYTES: Final = "application/octet-stream"
_PAUSE: Final = 15.0  # seconds between signs of life: proxies close what is silent
_ALIVE: Final = b": alive\n\n"
_OUT: Final = "out"
_MAX_POSITION: Final = 2**53 - 1
_STREAM: Json = {
    "type": "object",
    "required": ["name", "length", "closed"],
    "properties": {
        "name": {"type": "string"},
        "length": {"type": "integer"},
        "closed": {"type": "boolean"},
    },
}
_EVENT: Json = {
    "description": "each event; its data is JSON, and its id the index of its chunk",
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["message", "bytes", "rewind", "end", "error"]},
        "id": {"type": "string"},
        "data": {"type": "string"},
    },
}
_CONTENT: Json = {
    _EVENTS: {"schema": _EVENT},
    _BYTES: {"schema": {"type": "string", "format": "binary"}},
}


async def list_streams(call: Call) -> Response:
    """List a run's streams."""
    streams = await Run(call.run, call.world).streams()
    shown = [{"name": one.name, "length": one.length, "closed": one.closed} for one in streams]
    return answer_json({"streams": shown})


class Follow(Fields):
    """Where to begin."""

    start: Annotated[int, Field(ge=-_MAX_POSITION, le=_MAX_POSITION)] = Field(
        default=0, description="the first chunk's index; below 0 it counts from the end"
    )


async def follow(call: Call) -> Response:
    """Follow a stream of a run, from any chunk on, until it ends."""
    await call.world.storage.get_run(call.run)
    last = _last_index(call.request)
    start = cast(Follow, call.query).start if last is None else last + 1
    run, namespace = Run(call.run, call.world), _namespace(call.request.path_params["name"])
    seconds = call.site.limits.stream_seconds
    if _wants_bytes(call.request):
        reader = run.readable_bytes(namespace, start=start)
        head = await reader.page(1)  # what is no bytes is told before the answer has begun
        return _Streaming(_bytes_of(head, reader), _BYTES, call.run, seconds, ends_early=False)
    events = run.readable(namespace, start=start)
    if last is not None and not await _goes_on(events):
        return Response(status_code=204)  # a browser asks no more then
    return _Streaming(_events_of(events), _EVENTS, call.run, seconds, ends_early=True)


def _namespace(name: str) -> str | None:
    """The namespace of a stream's name, as it is listed or without ``out/``."""
    return None if name == _OUT else name.removeprefix(f"{_OUT}/")


def _wants_bytes(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return _BYTES in accept and _EVENTS not in accept


def _last_index(request: Request) -> int | None:
    """The index in the header that browsers come again with.

    Raises:
        Problem: it is none.
    """
    text = request.headers.get("last-event-id")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(_MAX_POSITION))):
        raise Problem(422, "invalid_request", "Last-Event-ID is the index of a chunk.")
    return int(text)


async def _goes_on(reader: Readable[object]) -> bool:
    """Whether there are chunks, or may be some."""
    info = await reader.tail_index()
    if info >= reader.index:
        return True
    await reader.page(1)
    return not reader.done


async def _bytes_of(head: Iterable[bytes], reader: Readable[bytes]) -> AsyncIterator[bytes]:
    for chunk in head:
        yield chunk
    async for chunk in reader:
        yield chunk


async def _events_of(reader: Readable[object]) -> AsyncIterator[bytes]:
    """The stream as events; errors are one, since the answer has begun."""
    yield b"retry: 1000\n\n"
    try:
        async for value in reader:
            yield _event(value, reader.index - 1)
    except PerdureError as exc:
        problem = as_problem(exc)
        yield _encoded("error", {"code": problem.code, "detail": problem.detail})
        return
    yield _encoded("end", {"index": reader.index})


def _event(value: object, index: int) -> bytes:
    match value:
        case bytes():
            return _encoded("bytes", base64.b64encode(value).decode(), index)
        case Rewind():
            spans = [list(span) for span in value.void]
            return _encoded("rewind", {"attempt": value.attempt, "void": spans}, index)
        case _:
            return _encoded("", as_json(value), index)


def _encoded(kind: str, data: object, index: int | None = None) -> bytes:
    lines = [f"event: {kind}"] if kind else []
    if index is not None:
        lines.append(f"id: {index}")
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)  # has no line end
    return "\n".join([*lines, f"data: {text}", "", ""]).encode("utf-8", "backslashreplace")


@final
class _Streaming(Response):
    """An answer that is sent while it comes to be."""

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        media_type: str,
        run_id: RunId,
        seconds: float,
        *,
        ends_early: bool,
    ) -> None:
        super().__init__(media_type=media_type)
        self.raw_headers = [
            (b"content-type", media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would keep events back
        ]
        self._parts = parts
        self._run_id = run_id
        self._seconds = seconds
        self._ends_early = ends_early  # an end without a sign of it is no mistake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_present(receive, lambda: self._send(send))
        except ClientGone:
            return

    async def _send(self, send: Send) -> None:
        """Send all of it.

        Raises:
            PerdureError: the rest cannot be sent; raised to the server, which cuts the connection.
            TimeoutError: likewise, it took too long.
        """
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with anyio.move_on_after(self._seconds) as limit:
            await self._send_rest(send)
        if limit.cancelled_caught and not self._ends_early:
            raise TimeoutError(f"a stream of run {self._run_id} was read for too long")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_rest(self, send: Send) -> None:
        lock = anyio.Lock()

        async def send_part(part: bytes) -> None:
            async with lock:
                await send({"type": "http.response.body", "body": part, "more_body": True})

        async def stay_alive() -> None:
            while True:
                await anyio.sleep(_PAUSE)
                await send_part(_ALIVE)

        async with anyio.create_task_group() as group:
            if self._ends_early:
                group.start_soon(stay_alive)
            async for part in self._parts:
                await send_part(part)
            group.cancel_scope.cancel()


STREAM_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="list_streams",
        action="streams",
        method="GET",
        path="/runs/{run_id}/streams",
        summary="List a run's streams",
        handle=list_streams,
        result={
            "type": "object",
            "required": ["streams"],
            "properties": {"streams": {"type": "array", "items": _STREAM}},
        },
        refusals=(404,),
    ),
    Operation(
        name="follow_stream",
        action="streams",
        method="GET",
        path="/runs/{run_id}/streams/{name:path}",
        summary="Follow a stream of a run, as server-sent events or as bytes",
        handle=follow,
        query=Follow,
        headers={"Last-Event-ID": {"type": "string", "description": "the last event's id"}},
        content=_CONTENT,
        result={},
        others={204: "The stream has ended, and the client has all of it"},
        refusals=(404, 409),
    ),
)
