"""Answers: responses of workflows as HTTP has them."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response as HttpResponse

from ..values import Response

__all__ = ("http_response",)

# Headers about the connection and how a body is sent: the server's own.
_OF_CONNECTION: Final = frozenset(
    {
        *("connection", "content-length", "keep-alive", "proxy-authenticate", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)


def http_response(response: Response, method: str) -> HttpResponse | None:
    """The answer to a request of this *method*; None: it stands for an error."""
    if not response.status:
        return None
    answer = HttpResponse(b"" if method == "HEAD" else response.body or b"", response.status)
    if method == "HEAD":
        del answer.headers["content-length"]  # the body would have another
    answer.raw_headers += [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.pairs
        if name not in _OF_CONNECTION
    ]
    return answer
