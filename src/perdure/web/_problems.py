"""Problems: every refusal as JSON of RFC 9457, with a code that programs can rely on.

The code of an error of ours is its class's name: ``RunNotFoundError`` is ``run_not_found``. Errors
that tell of the store or of a defect are logged, and their texts stay here.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..errors import (
    CursorError,
    HookNotFoundError,
    IdempotencyConflictError,
    NameTooLongError,
    PerdureError,
    RunEndedError,
    RunMovedError,
    RunNotFoundError,
    StreamClosedError,
    UsageError,
    ValueNotCarriableError,
    WorldClosedError,
    WorldError,
)

__all__ = ("Problem", "answer_problem", "as_problem")

_log = logging.getLogger("perdure")
_WORD = re.compile(r"(?<!^)(?=[A-Z])")
# The first that fits.
_STATUSES: tuple[tuple[type[PerdureError], int], ...] = (
    (RunNotFoundError, 404),
    (HookNotFoundError, 404),
    (IdempotencyConflictError, 409),
    (RunEndedError, 409),
    (RunMovedError, 409),
    (StreamClosedError, 409),
    (CursorError, 422),
    (ValueNotCarriableError, 422),
    (NameTooLongError, 422),
    (WorldClosedError, 503),
    (UsageError, 422),
    (WorldError, 503),
    (PerdureError, 500),
)


class Problem(Exception):
    """A request that is refused.

    Args:
        code: the same for the same reason in all versions.
        detail: a sentence for people.
        facts: further members of the JSON.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **facts: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.facts = facts

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """The answer to the request, with *headers* beside its own."""
        members = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.facts,
        }
        return Response(
            json.dumps(members).encode(),
            self.status,
            {**self.headers, **(headers or {}), "cache-control": "no-store"},
            "application/problem+json",
        )


def as_problem(error: Exception) -> Problem:
    """The refusal that an error of a request's is; one that nobody foresaw is logged."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return _of_http(error)
        case PerdureError():
            return _of_ours(error)
        case _:
            _log.error("an HTTP request failed", exc_info=error)
            return Problem(500, "defect", "The service failed; its log has the reason.")


async def answer_problem(request: Request, error: Exception) -> Response:
    """The answer where Starlette itself refuses: no such route, no such method."""
    return as_problem(error).response()


def _of_http(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(error.status_code, code, error.detail, headers=error.headers)


def _of_ours(error: PerdureError) -> Problem:
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    code = _WORD.sub("_", type(error).__name__.removesuffix("Error")).lower()
    if status < 500:
        return Problem(status, code, str(error))
    _log.error("an HTTP request failed: %s", error, exc_info=error)
    if status == 503:
        detail = "The store of runs cannot be used now; the service's log has the reason."
        return Problem(status, code, detail, headers={"retry-after": "5"})
    return Problem(status, code, "The service has a defect; its log has the reason.")
