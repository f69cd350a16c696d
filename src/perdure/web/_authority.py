"""Authority: the service's own word on who may do what, asked before anything is looked up."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from typing import Literal, Protocol, TypeAlias, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request

__all__ = ("Action", "Authorize", "is_allowed")

_log = logging.getLogger("perdure")

Action: TypeAlias = Literal[
    "describe",
    "start",
    "list",
    "get",
    "events",
    "log",
    "streams",
    "hooks",
    "cancel",
    "wake",
    "resume",
]


class Authorize(Protocol):
    """Whether a request may do something; asked for everything but webhooks and health."""

    def __call__(
        self, request: Request, action: Action, run_id: str | None, /
    ) -> bool | Awaitable[bool]:
        """True allows it.

        Args:
            run_id: the run that it is about; None where there is none, or none yet.

        Anything else refuses it, also an error. An ``HTTPException`` of Starlette's is answered
        with its own status, such as 401.
        """
        ...


async def is_allowed(
    authorize: Authorize, request: Request, action: Action, run_id: str | None
) -> bool:
    """Whether the service says True.

    Raises:
        HTTPException: the service's own refusal.
    """
    try:
        answer = cast(object, authorize(request, action, run_id))
        if inspect.isawaitable(answer):
            answer = cast(object, await answer)
    except HTTPException:
        raise
    except Exception:
        _log.exception("authorize() failed, so %s of run %s was refused", action, run_id)
        return False
    if not isinstance(answer, bool):
        _log.error("authorize() returned %s, not a bool, which refuses", type(answer).__name__)
        return False
    return answer
