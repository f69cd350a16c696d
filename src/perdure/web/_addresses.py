"""Addresses: the public URL of a request, as a workflow sees it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from starlette.requests import Request

from ._problems import Problem

__all__ = ("public_url",)

_HOST: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_IN_QUERY: Final = "!$&'()*+,;=:@/?%-._~"


def public_url(base_url: str, request: Request, path: str) -> str:
    """The URL that the client asked for.

    Args:
        base_url: where the app is mounted; "" takes the word of the request for it.
        path: within the app, quoted.

    Raises:
        Problem: the request names no host.
    """
    query = request.scope["query_string"]
    search = f"?{quote(query, safe=_IN_QUERY)}" if query else ""
    return f"{base_url or _base(request)}{path}{search}"


def _base(request: Request) -> str:
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise Problem(400, "bad_host", "The request's Host header is none.")
    return f"{request.scope['scheme']}://{host}{quote(request.scope.get('root_path', ''))}"
