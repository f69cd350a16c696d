"""Bodies: those of requests, read no further than a size and no longer than a time."""

from __future__ import annotations

import json
import re
from typing import NoReturn

import anyio
from starlette.requests import ClientDisconnect, Request

from ._limits import HttpLimits
from ._problems import Problem

__all__ = ("read_body", "read_json", "unread")

_READ = "perdure.body_was_read"  # in a request's scope
_JSON = re.compile(r"application/([\w.+-]+\+)?json\s*(;.*)?", re.IGNORECASE | re.ASCII)


async def read_body(request: Request, limits: HttpLimits) -> bytes:
    """The whole body.

    Raises:
        Problem: it is too large, too slow, or its client has gone.
    """
    declared = request.headers.get("content-length", "")
    if re.fullmatch("[0-9]+", declared) and _is_above(declared, limits.body_bytes):
        raise _too_large(limits)
    chunks = bytearray()
    try:
        with anyio.fail_after(limits.body_seconds):
            async for chunk in request.stream():
                chunks += chunk
                if len(chunks) > limits.body_bytes:
                    raise _too_large(limits)
    except TimeoutError:
        detail = f"The body took longer than {limits.body_seconds:g} seconds."
        raise Problem(408, "body_too_slow", detail) from None
    except ClientDisconnect:
        raise Problem(400, "body_cut_off", "The body was cut off.") from None
    request.scope[_READ] = True
    return bytes(chunks)


def _is_above(digits: str, limit: int) -> bool:
    return len(digits.lstrip("0")) > len(str(limit)) or int(digits) > limit


def _too_large(limits: HttpLimits) -> Problem:
    detail = f"A body has at most {limits.body_bytes:,} bytes here."
    return Problem(413, "body_too_large", detail)


def unread(request: Request) -> dict[str, str]:
    """Headers of an answer before the request's body was read, so that no server reads it all."""
    if _READ in request.scope:
        return {}
    length = request.headers.get("content-length", "0")
    has_body = length.strip("0") != "" or "transfer-encoding" in request.headers
    is_first_version = str(request.scope.get("http_version", "1.1")).startswith("1")
    return {"connection": "close"} if has_body and is_first_version else {}


async def read_json(request: Request, limits: HttpLimits) -> object:
    """The body as a JSON document.

    Raises:
        Problem: it is none, or none that may be read.
    """
    kind = request.headers.get("content-type", "")
    if not _JSON.fullmatch(kind.strip()):  # a form of another site's would have another type
        raise Problem(415, "not_json", "Send JSON, with the content type application/json.")
    body = await read_body(request, limits)
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        text = "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise Problem(400, "invalid_json", f"The body is no JSON: {text}.") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
