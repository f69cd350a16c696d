"""Replies: the answer of a step to the caller of a webhook that waits for it.

The caller waits at a stream of the run that has the webhook; the first response there counts. So a
step that is run again after it answered answers nothing anew. A request that was passed on names
that run.
"""

from __future__ import annotations

import asyncio
from typing import Final

from .._model.ids import RunId
from .._protocol.codec import decode, encode
from ..errors import StreamClosedError, UsageError
from ..values import Request, Response
from .metadata import Entered, entered

__all__ = ("MAX_REPLY_BYTES", "REPLIES", "respond")

REPLIES: Final = "$reply/"  # names of streams that callers wait at begin so
MAX_REPLY_BYTES: Final = 1 << 20


async def respond(request: Request, response: Response) -> Response | None:
    """See ``Request.respond_with``."""
    step, run_id, name = _place(request)
    answer = _answer(step, run_id, name, _encoded(response))
    if asyncio.get_running_loop() is step.loop:
        return await answer
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer, step.loop))


async def _answer(step: Entered, run_id: RunId, name: str, data: bytes) -> Response | None:
    """Append the response, unless there is one; the one that is there. In the worker's loop."""
    streams = step.outputs.world.streams
    try:
        # Of one attempt, whichever it is: a later one is to change nothing.
        await streams.append(run_id, name, [data], writer=step()[1].id, sequence=0)
    except StreamClosedError:
        pass  # someone has answered, or the caller waits no more
    else:
        await streams.close(run_id, name)
    page = await streams.read(run_id, name, limit=1)
    answer: object = decode(page.chunks[0]) if page.chunks else None
    return answer if isinstance(answer, Response) else None


def _place(request: Request) -> tuple[Entered, RunId, str]:
    """The step that is running, and the run and stream at which the caller waits."""
    step = entered.get(None)
    if step is None:
        raise UsageError(
            "request.respond_with() works only within a step; let the workflow pass the request to"
            " one"
        )
    if request.reply is None:
        raise UsageError(
            "nobody waits for a response to this request: its webhook is one of"
            ' createWebhook({ respondWith: "manual" }) only then'
        )
    run_id, blank, name = request.reply.rpartition(" ")
    if not name.startswith(REPLIES):
        raise UsageError(f"{request.reply!r} is no place for an answer: no webhook made it")
    return step, RunId(run_id) if blank else step.run_id, name


def _encoded(response: object) -> bytes:
    if not isinstance(response, Response):
        raise UsageError(
            f"respond_with() takes a perdure.values.Response, not a {type(response).__name__}"
        )
    if not response.status:
        raise UsageError("Response.error() is no answer to a webhook's caller; give it a status")
    data = encode(response, where="response")
    if len(data) > MAX_REPLY_BYTES:
        raise UsageError(
            f"a response of {len(data)} bytes: {MAX_REPLY_BYTES} are the most that a webhook's"
            " caller is sent; send the rest where the caller finds it"
        )
    return data
