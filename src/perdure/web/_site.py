"""Site: the settings of one app, and how its handlers reach the world."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from .._runtime.ambient import meant_world
from .._runtime.workflow import Workflow
from .._value_class import value_class
from ..abc import World
from ._authority import Action, Authorize, is_allowed
from ._limits import HttpLimits
from ._problems import Problem

__all__ = ("Site",)


@value_class
class Site:
    """One app's settings."""

    world: World | None  # None: the one that is open in the event loop of the request
    base_url: str  # the public URL of the app, without a slash at its end; "" is unknown
    authorize: Authorize | None
    workflows: Mapping[str, Workflow]
    api_path: str
    limits: HttpLimits

    async def reach(self) -> World:
        """The world to work on.

        Raises:
            UsageError: it is not open here, or it cannot be told which one is meant.
        """
        return await meant_world(self.world)

    async def allows(self, request: Request, action: Action, run_id: str | None) -> bool:
        """Whether the service lets the request do this.

        Raises:
            HTTPException: the service's own refusal.
        """
        return self.authorize is not None and await is_allowed(
            self.authorize, request, action, run_id
        )

    async def admit(self, request: Request, action: Action, run_id: str | None) -> None:
        """Go on if the service lets the request do this.

        Raises:
            Problem: it does not.
            HTTPException: the service's own refusal.
        """
        if not await self.allows(request, action, run_id):
            raise Problem(403, "forbidden", f"You may not do this here: {action}.")
