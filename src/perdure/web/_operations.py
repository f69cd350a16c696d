"""Operations: what the run API can do, each declared once for its route and its description.

Parameters and bodies are pydantic models: a request reaches its handler as values of their types,
or is refused with every place that is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from .._model.ids import RunId
from .._protocol.json_values import Json
from .._value_class import value_class
from ..abc import World
from ..errors import RunNotFoundError
from ._authority import Action
from ._bodies import read_body, read_json, unread
from ._presence import ClientGone
from ._problems import Problem, as_problem
from ._site import Site

__all__ = ("Call", "Fields", "Operation", "answer_json", "endpoint")

Handler: TypeAlias = "Callable[[Call], Awaitable[Response]]"
_MAX_RUN_ID = 200
_MAX_TOLD = 20  # of what is wrong with one request


class Fields(BaseModel):
    """Fields of a query or a body; others are refused, as they are misspelt."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@value_class
class Operation:
    """One method of one path."""

    name: str  # unique
    action: Action
    method: str
    path: str
    summary: str
    handle: Handler
    result: Json  # JSON schema of the answer, where that is JSON
    status: int = 200
    query: type[Fields] = Fields
    body: type[Fields] | None = None
    refusals: Sequence[int] = ()  # statuses of problems of its own
    is_asked_later: bool = False  # its handler knows which run it is about, and asks
    headers: Json | None = None
    others: Mapping[int, str] = field(default_factory=dict[int, str])  # statuses without a body
    content: Json | None = None  # media types of the answer, where that is not JSON


@value_class
class Call:
    """A request to an operation, checked."""

    site: Site
    request: Request
    world: World
    run_id: RunId | None
    query: Fields
    body: Fields | None

    @property
    def run(self) -> RunId:
        """The run that the path names."""
        assert self.run_id is not None
        return self.run_id


def endpoint(site: Site, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    """The handler of the operation's route."""

    async def handle(request: Request) -> Response:
        try:
            return await operation.handle(await _call(site, operation, request))
        except ClientGone:
            return Response()  # to nobody
        except Exception as exc:
            return as_problem(exc).response(unread(request))

    return handle


async def _call(site: Site, operation: Operation, request: Request) -> Call:
    """The request, once it is allowed and was checked."""
    run_id = _run_id(request)
    if not operation.is_asked_later:
        await site.admit(request, operation.action, run_id)
    query = _checked(operation.query, _members(operation.query, request.query_params))
    body = await _body(site, operation, request)
    return Call(
        site=site,
        request=request,
        world=await site.reach(),
        run_id=run_id,
        query=query,
        body=body,
    )


async def _body(site: Site, operation: Operation, request: Request) -> Fields | None:
    if operation.body is None:
        await read_body(request, site.limits)  # none is expected; the client's end is heard after
        return None
    return _checked(operation.body, await read_json(request, site.limits))


def _run_id(request: Request) -> RunId | None:
    """The run of the path.

    Raises:
        RunNotFoundError: no run can have such an id.
    """
    text = request.path_params.get("run_id")
    if text is None:
        return None
    sound = len(text) <= _MAX_RUN_ID and not any(c in text for c in "/\0 \n�")
    if not sound:
        raise RunNotFoundError(text[:_MAX_RUN_ID])
    return RunId(text)


def _members(model: type[Fields], query: QueryParams) -> Json:
    """The parameters; those that the model has lists for are lists."""
    lists = {name for name, field in model.model_fields.items() if field.default == ()}
    return {
        name: values if name in lists or len(values) > 1 else values[0]
        for name in query
        if (values := query.getlist(name))
    }


def _checked(model: type[Fields], value: object) -> Fields:
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise _invalid(exc) from None


def _invalid(error: ValidationError) -> Problem:
    places = [
        {"path": ".".join(map(str, e["loc"])), "message": e["msg"]}
        for e in error.errors(include_url=False, include_context=False, include_input=False)
    ][:_MAX_TOLD]
    told = "; ".join(f"{place['path'] or 'it'}: {place['message']}" for place in places)
    return Problem(422, "invalid_request", f"The request is not valid: {told}.", errors=places)


def answer_json(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer; nobody between keeps it."""
    # Half a character, which JSON can tell and UTF-8 cannot, is written as JSON's escape.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    body = text.encode("utf-8", "backslashreplace")
    return Response(
        body, status, {"cache-control": "no-store", **(headers or {})}, "application/json"
    )
