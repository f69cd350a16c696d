"""App: the routes of one site as an ASGI app."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .._runtime.arguments import checked_count, checked_number, checked_text, checked_world
from .._runtime.base_url import public_base_url
from .._runtime.workflow import Workflow
from ..abc import World
from ..errors import UsageError
from ._authority import Authorize
from ._health import Health
from ._limits import HttpLimits
from ._openapi import HEALTH_METHODS, HEALTH_PATHS, describe
from ._operations import Call, Operation, answer_json, endpoint
from ._problems import answer_problem
from ._runs import OPERATIONS
from ._site import Site
from ._streams import STREAM_OPERATIONS
from ._webhooks import ROOT, Webhook

__all__ = ("app",)


def app(
    world: World | None = None,
    *,
    base_url: str | None = None,
    authorize: Authorize | None = None,
    workflows: Mapping[str, Workflow] | None = None,
    api_path: str = "/api",
    limits: HttpLimits | None = None,
) -> Starlette:
    """An ASGI app: webhooks and health for everyone, the run API for those who may.

    Mount it in a service, or serve it alone. It opens no world and runs no worker, has no start and
    stop of its own, and several processes may serve one world.

    Args:
        world: an open world; None is the one that is open in the event loop of a request, as in
            the service's lifespan.
        base_url: the public URL of the app, such as ``"https://shop.example"``: the URLs of
            webhooks begin with it. Default: ``PERDURE_BASE_URL``; where that is not set either,
            the one that a run was started with, else the URL that a request came with.
        authorize: says who may do what with the run API; see ``Authorize``. Without it there is
            no run API: its paths answer 404.
        workflows: those that the run API may start, by the name it has for each.
        api_path: where the run API is; it begins with a slash.
        limits: default: ``HttpLimits()``.

    Raises:
        UsageError: one of them is of another kind.
    """
    site = Site(
        world=None if world is None else checked_world("world", world),
        base_url=public_base_url(base_url),
        authorize=_checked_authorize(authorize),
        workflows=_checked_workflows(workflows),
        api_path=_checked_path(api_path),
        limits=_checked_limits(limits),
    )
    starlette = Starlette(
        routes=[*_public_routes(site), *_api_routes(site)],
        exception_handlers={HTTPException: answer_problem},
    )
    starlette.router.redirect_slashes = False  # a path is right or wrong
    return starlette


def _public_routes(site: Site) -> Iterable[BaseRoute]:
    """What everyone may ask for."""
    health = Health(site)
    for path in HEALTH_PATHS:
        yield Route(path, health.answer, methods=HEALTH_METHODS)
    webhook = Webhook(site)
    yield Route(ROOT, webhook)
    yield Route(ROOT + "/{token:path}", webhook)


def _api_routes(site: Site) -> Iterable[BaseRoute]:
    """The run API; none where nobody says who may use it."""
    if site.authorize is None:
        return
    for operation in (*OPERATIONS, *STREAM_OPERATIONS, _description(site)):
        yield Route(
            site.api_path + operation.path,
            endpoint(site, operation),
            methods=[operation.method],
            name=operation.name,
        )


def _description(site: Site) -> Operation:
    """The operation that describes all, itself included."""

    async def show(call: Call) -> Response:
        server = call.site.base_url or call.request.scope.get("root_path", "")
        document = describe(
            (*OPERATIONS, *STREAM_OPERATIONS, operation),
            api_path=site.api_path,
            server=server,
            workflows=site.workflows,
        )
        return answer_json(document)

    operation = Operation(
        name="describe_api",
        action="describe",
        method="GET",
        path="/openapi.json",
        summary="Show this description",
        handle=show,
        result={"type": "object"},
    )
    return operation


def _checked_authorize(authorize: object) -> Authorize | None:
    if authorize is not None and not callable(authorize):
        raise UsageError("authorize is a function of a request, an action and a run's id, or None")
    return cast("Authorize | None", authorize)


def _checked_workflows(workflows: object) -> Mapping[str, Workflow]:
    if workflows is None:
        return {}
    if not isinstance(workflows, Mapping):
        raise UsageError('workflows is a dict of workflows by name, such as {"pay": workflow(…)}')
    by_name = dict(cast("Mapping[object, object]", workflows))
    for name, flow in by_name.items():
        checked_text("a name in workflows", name)
        if not isinstance(flow, Workflow):
            raise UsageError(f"workflows[{name!r}] is a workflow; make one with workflow(path)")
    return cast("dict[str, Workflow]", by_name)


def _checked_path(path: object) -> str:
    text = checked_text("api_path", path)
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise UsageError(f"api_path={text!r}: it begins with a slash and ends with none")
    return text


def _checked_limits(limits: object) -> HttpLimits:
    if limits is None:
        return HttpLimits()
    if not isinstance(limits, HttpLimits):
        raise UsageError("limits is a perdure.web.HttpLimits")
    checked_count("limits.body_bytes", limits.body_bytes, least=0)
    for name in ("body_seconds", "reply_seconds", "wait_seconds", "stream_seconds"):
        checked_number(f"limits.{name}", getattr(limits, name))
    return limits
