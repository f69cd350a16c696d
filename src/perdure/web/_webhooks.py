"""Webhooks: HTTP requests as payloads of hooks, and the answers that workflows chose for them.

A request is durable before it is answered. Each refusal, for whatever reason, is 404 without a
body: a stranger learns neither which tokens there are nor how the service is. The log has the
reason where it is the service's own.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final, cast, final
from urllib.parse import quote

from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from .._model.ids import RunId
from .._protocol.codec import decode
from .._protocol.frames import MAX_TOKEN
from .._runtime.fresh_ids import fresh_id
from .._runtime.hooks import Hook, get_hook, resume_hook
from ..abc import World
from ..errors import HookNotFoundError, RunNotFoundError, UsageError
from ..values import Request, Response
from ._addresses import public_url
from ._answers import http_response
from ._bodies import read_body, unread
from ._presence import ClientGone, while_present
from ._problems import Problem
from ._replies import Reply
from ._site import Site

__all__ = ("METHODS", "ROOT", "Webhook")

_log = logging.getLogger("perdure")

ROOT: Final = "/.well-known/workflow/v1/webhook"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_MANUAL: Final = "manual"


@final
class Webhook:
    """The ASGI app of the route."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __repr__(self) -> str:
        return f"<Webhook of {self._site.base_url or 'any URL'}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(HttpRequest(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: HttpRequest) -> HttpResponse:
        token = request.path_params.get("token", "")
        if not token:
            return HttpResponse(status_code=400)
        try:
            response = await self._deliver(token, request)
        except ClientGone:
            response = None
        except (HookNotFoundError, RunNotFoundError):
            response = None  # as the log is told by whoever sent it
        except Problem as exc:
            _log.warning("a webhook's request was refused: %s", exc)
            response = None
        except Exception as exc:
            _log.error("a webhook's request failed: %s", exc, exc_info=exc)
            response = None
        return response or HttpResponse(status_code=404, headers=unread(request))

    async def _deliver(self, token: str, request: HttpRequest) -> HttpResponse | None:
        """The answer, once the workflow has the request; None: there is none.

        Raises:
            HookNotFoundError: no live webhook has the token.
            Problem: the request may not be so.
            ClientGone: nobody waits for the answer.
        """
        if request.method not in METHODS or len(token) > MAX_TOKEN:
            return None
        world = await self._site.reach()
        hook = await get_hook(token, world)
        if not hook.is_webhook:
            raise HookNotFoundError(token)
        way = _way_of(hook)
        resume_id, is_repeatable = _resume_id(token, request)
        reply = Reply(world, hook.run_id, resume_id) if way == _MANUAL else None
        base_url = self._site.base_url or await _base_url_of(world, hook)
        payload = await self._payload(token, base_url, request, reply)
        receiver = await resume_hook(hook, payload, resume_id=resume_id, world=world)
        if receiver.run_id != hook.run_id:  # another run has taken the token over meanwhile
            reply = reply and Reply(world, receiver.run_id, resume_id)
        if reply is None:
            return _answer(way, request)
        answer = await self._wait(reply, request, is_repeatable)
        return None if answer is None else _answer(answer, request)

    async def _payload(
        self, token: str, base_url: str, request: HttpRequest, reply: Reply | None
    ) -> Request:
        """The request as a value.

        Raises:
            Problem: it may not be so.
        """
        body, raw = await read_body(request, self._site.limits), request.headers.raw
        pairs = [(name.decode("latin-1"), text.decode("latin-1")) for name, text in raw]
        path = f"{ROOT}/{quote(token, safe='')}"
        try:
            return Request(
                request.method,
                public_url(base_url, request, path),
                headers=pairs,
                body=None if not body or request.method in ("GET", "HEAD") else body,
                reply=None if reply is None else reply.name,
            )
        except UsageError as exc:  # a header that the server let pass
            raise Problem(400, "bad_request", str(exc)) from exc

    async def _wait(
        self, reply: Reply, request: HttpRequest, is_repeatable: bool
    ) -> Response | None:
        """The answer of a step; None: there was none in time, and none is taken any more."""
        seconds = self._site.limits.reply_seconds
        try:
            return await while_present(request.receive, lambda: reply.wait(seconds))
        except ClientGone:
            if not is_repeatable:  # who sent a key may come again with it
                await reply.close()
            raise


def _resume_id(token: str, request: HttpRequest) -> tuple[str, bool]:
    """A name for the request, and whether a repeat of it to the same webhook has the same."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return fresh_id("resume"), False
    name = hashlib.sha256(f"{token}\0{key}".encode()).hexdigest()
    return f"key_{name}", True


async def _base_url_of(world: World, hook: Hook) -> str:
    return (await world.storage.get_run(RunId(hook.run_id))).base_url


def _way_of(hook: Hook) -> object:
    """How the workflow wants requests to be answered: None, "manual" or a response."""
    if hook.encoded_metadata is None:
        return None
    parts: object = decode(hook.encoded_metadata)
    return cast("dict[str, object]", parts).get("respondWith") if isinstance(parts, dict) else None


def _answer(way: object, request: HttpRequest) -> HttpResponse | None:
    if isinstance(way, Response):
        return http_response(way, request.method)
    return HttpResponse(status_code=202)
