"""Beside: the app next to another one, where a framework cannot mount an ASGI app."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ("beside",)


def beside(web: Starlette, other: ASGIApp) -> ASGIApp:
    """An ASGI app of both: *web* answers the paths that it has, *other* everything else.

    Start and stop of the server are the other's, so its own hooks run as before.

    Args:
        web: an app of ``perdure.web.app``.
        other: the service's application: Django's, Quart's, Sanic's or any other.
    """

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = web if _is_meant(web, scope) else other
        await chosen(scope, receive, send)

    return both


def _is_meant(web: Starlette, scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    return any(route.matches(scope)[0] is not Match.NONE for route in web.routes)
