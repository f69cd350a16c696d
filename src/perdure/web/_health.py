"""Health: whether the service answers and its world does; open to everyone, tells nothing else."""

from __future__ import annotations

import logging
from typing import final

import anyio
from starlette.requests import Request
from starlette.responses import Response

from .._protocol.json_values import Json
from ..errors import HookNotFoundError, PerdureError
from ._operations import answer_json
from ._site import Site

__all__ = ("HEALTH", "Health")

_log = logging.getLogger("perdure")
_KEPT = 1.0  # seconds; so long one look at the world answers everyone who asks
_PATIENCE = 5.0  # seconds a world has to answer
HEALTH: Json = {
    "type": "object",
    "required": ["healthy"],
    "properties": {"healthy": {"type": "boolean"}, "endpoint": {"type": "string"}},
}


@final
class Health:
    """The route's handler. Keeps the last look at the world for a second."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._is_healthy = False
        self._until = float("-inf")

    def __repr__(self) -> str:
        return f"<Health healthy={self._is_healthy}>"

    async def answer(self, request: Request) -> Response:
        """Say whether the world answers."""
        if anyio.current_time() >= self._until:
            self._is_healthy = await self._look()
            self._until = anyio.current_time() + _KEPT
        status = 200 if self._is_healthy else 503
        return answer_json({"healthy": self._is_healthy, "endpoint": request.url.path}, status)

    async def _look(self) -> bool:
        try:
            with anyio.fail_after(_PATIENCE):
                await (await self._site.reach()).storage.get_hook("a look at the world's health")
        except HookNotFoundError:
            return True  # it answered
        except (PerdureError, TimeoutError) as exc:
            _log.error("the world does not answer: %s", exc)
            return False
        return True
