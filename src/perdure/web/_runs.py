"""Runs: the operations of the run API, each a few lines over the Python API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal, TypeVar, cast
from urllib.parse import quote

from pydantic import Field, JsonValue, StringConstraints
from starlette.responses import Response

from .._model.runs import RunRecord, RunStatus
from .._protocol.json_values import Json, as_json
from .._protocol.weight import SMALL_BYTES
from .._runtime.hooks import Hook, get_hook, resume_hook
from .._runtime.inspect.inspection import event_json, record_json
from .._runtime.inspect.listing import list_runs
from .._runtime.payloads import do_aside
from .._runtime.run import Run
from .._runtime.start import start as start_run
from ..errors import HookConflictError, HookNotFoundError, UsageError
from ._operations import Call, Fields, Operation, answer_json
from ._presence import while_present
from ._problems import Problem

__all__ = ("OPERATIONS",)

T = TypeVar("T")
_MAX_POSITION = 2**53 - 1
_MAX_SECONDS = 10**9
Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Text = Annotated[str, StringConstraints(max_length=10_000)]
Position = Annotated[int, Field(ge=0, le=_MAX_POSITION)]
PageSize = Annotated[int, Field(ge=1, le=1000)]

_TIME = {"type": ["string", "null"], "description": "ISO 8601, UTC"}
_RUN: Json = {
    "type": "object",
    "required": ["id", "status", "workflow", "output", "error", "created_at"],
    "properties": {
        "id": {"type": "string"},
        "status": {"type": "string", "enum": [str(status) for status in RunStatus]},
        "workflow": {"type": "string"},
        "output": {"description": "the result, once it has completed"},
        "error": {"description": "the error, once it has failed; the reason if cancelled"},
        "created_at": _TIME,
        "started_at": _TIME,
        "ended_at": _TIME,
        "cancel_at": {**_TIME, "description": "it was asked to end, and is cancelled then"},
        "attributes": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_EVENT: Json = {
    "type": "object",
    "required": ["position", "type", "at"],
    "properties": {
        "position": {"type": "integer"},
        "type": {"type": "string"},
        "at": _TIME,
        "entity": {"type": ["string", "null"]},
        "value": {},
        "facts": {"type": "object"},
    },
}

_HOOK: Json = {
    "type": "object",
    "required": ["id", "token", "is_webhook", "metadata"],
    "properties": {
        "id": {"type": "string"},
        "token": {"type": "string"},
        "is_webhook": {"type": "boolean"},
        "metadata": {},
    },
}


def _object(**properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


class Start(Fields):
    """A run to start."""

    workflow: Name = Field(description="one of the names that the app was given")
    args: list[JsonValue] = Field(default=[], description="the function's arguments")
    idempotency_key: Name | None = Field(
        default=None, description="the same key and arguments are the same run"
    )
    attributes: dict[Name, Text] = Field(default={})
    hook: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = Field(
        default=None, description="a hook's token to claim; nothing starts if another run holds it"
    )


async def start(call: Call) -> Response:
    """Start a run."""
    body = cast(Start, call.body)
    workflow = call.site.workflows.get(body.workflow)
    if workflow is None:
        raise Problem(404, "workflow_not_found", "No workflow has this name here.")
    try:
        run = await start_run(
            workflow,
            body.args,
            world=call.world,
            idempotency_key=body.idempotency_key,
            attributes=body.attributes,
            hook=body.hook,
            base_url=call.site.base_url or None,
        )
    except HookConflictError as exc:
        raise await _conflict(call, exc.run_id) from None
    where = f"{call.request.url.path}/{quote(run.id, safe='')}"
    return answer_json({"id": run.id}, 201, {"location": where})


async def _conflict(call: Call, owner: str) -> Problem:
    """The refusal of a token that a run holds, with its id for those who may see the run."""
    detail = "Another run holds this hook token; nothing was started."
    if await call.site.allows(call.request, "get", owner):
        return Problem(409, "hook_conflict", detail, run_id=owner)
    return Problem(409, "hook_conflict", detail)


class List(Fields):
    """Which runs to list."""

    status: RunStatus | None = None
    workflow: Name | None = None
    error: Name | None = Field(default=None, description="the error's name; lists failed runs")
    attribute: tuple[str, ...] = Field(default=(), description="name=text; may be repeated")
    limit: PageSize = 100
    cursor: Name | None = Field(default=None, description="that of the page before")


async def list_(call: Call) -> Response:
    """List runs: those that the caller may see of one page."""
    query = cast(List, call.query)
    page = await list_runs(
        status=query.status,
        workflow=query.workflow,
        error=query.error,
        attributes=_attributes(query.attribute),
        limit=query.limit,
        cursor=query.cursor,
        world=call.world,
    )
    visible = [
        record for record in page.runs if await call.site.allows(call.request, "get", record.run_id)
    ]
    runs = await _shown(visible)
    return answer_json({"runs": runs, "cursor": page.cursor})


def _attributes(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"an attribute to list by is name=text, not {pair[:100]!r}")
    return {name: text for name, _, text in (pair.partition("=") for pair in pairs)}


async def _shown(records: Sequence[RunRecord]) -> list[Json]:
    size = sum(len(record.payload or b"") for record in records)
    return await _as_json(records, record_json, size)


async def _as_json(items: Sequence[T], show: Callable[[T], Json], size: int) -> list[Json]:
    """Items as JSON types; a thread decodes what is large."""

    def work() -> list[Json]:
        return [show(item) for item in items]

    return work() if size <= SMALL_BYTES else await do_aside(work)


class Get(Fields):
    """How long to wait for a run's end."""

    wait: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        default=0, description="seconds to wait for the end; the app has a limit of its own"
    )


async def get(call: Call) -> Response:
    """Show a run, at once or as soon as it has ended."""
    wait = min(cast(Get, call.query).wait, call.site.limits.wait_seconds)
    storage = call.world.storage
    if wait:
        wait_ended = partial(storage.wait_ended, call.run, wait_ms=int(wait * 1000))
        record = await while_present(call.request.receive, wait_ended)
    else:
        record = await storage.get_run(call.run)
    return await _answer_run(record)


async def _answer_run(record: RunRecord) -> Response:
    (run,) = await _shown([record])
    return answer_json(run)


class Events(Fields):
    """Which part of a log."""

    after: Position = Field(default=0, description="the position to go on from")
    limit: PageSize = 100


async def events(call: Call) -> Response:
    """Show a part of a run's log."""
    query = cast(Events, call.query)
    page = await call.world.storage.read_events(call.run, after=query.after, limit=query.limit)
    size = sum(len(logged.event.payload or b"") for logged in page)
    shown = await _as_json(page, event_json, size)
    position = page[-1].position if page else query.after
    return answer_json({"events": shown, "after": position})


class Log(Fields):
    """Which lines."""

    start: Annotated[int, Field(ge=-_MAX_POSITION, le=_MAX_POSITION)] = Field(
        default=0, description="the first line's number; below 0 it counts from the end"
    )
    limit: PageSize = 1000


async def log(call: Call) -> Response:
    """Show lines that a run's workflow wrote to the console."""
    query = cast(Log, call.query)
    page = await call.world.streams.read(call.run, "log", start=query.start, limit=query.limit)
    lines = [chunk.decode("utf-8", "replace") for chunk in page.chunks]
    return answer_json({"lines": lines, "start": page.start + len(lines)})


class Cancel(Fields):
    """How to cancel a run."""

    reason: Text | None = Field(default=None, description="kept with the run")
    graceful: Annotated[float, Field(ge=0, le=_MAX_SECONDS)] | None = Field(
        default=None, description="seconds that the run has to clean up and end; null is none"
    )
    children: Literal["cancel", "leave"] = Field(
        default="leave", description="the same for the runs that it started, and theirs"
    )


async def cancel(call: Call) -> Response:
    """End a run as cancelled, or ask it to end; doing so again is fine."""
    body = cast(Cancel, call.body)
    await Run(call.run, call.world).cancel(
        body.reason, graceful=body.graceful, children=body.children
    )
    return await _answer_run(await call.world.storage.get_run(call.run))


class Wake(Fields):
    """Which sleeps to end."""

    ids: list[Name] | None = Field(default=None, description="of waits; null is all that are open")


async def wake(call: Call) -> Response:
    """End sleeps of a run before their time."""
    count = await Run(call.run, call.world).wake(cast(Wake, call.body).ids)
    return answer_json({"waits": count})


class Resume(Fields):
    """A payload for a hook."""

    token: Name = Field(description="of the hook; it is a secret, and so not in the path")
    payload: JsonValue = None
    resume_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None, description="a name for the payload; the run receives one under it"
    )


async def resume(call: Call) -> Response:
    """Send a payload to the hook that holds a token."""
    body = cast(Resume, call.body)
    hook = await _hook(call, body.token)
    receiver = await resume_hook(hook, body.payload, resume_id=body.resume_id, world=call.world)
    return answer_json({"run_id": receiver.run_id, "hook_id": receiver.id})


async def _hook(call: Call, token: str) -> Hook:
    """The hook, if the caller may resume its run; whether there is one, others do not learn.

    Raises:
        HookNotFoundError: there is none.
        Problem: the caller may not.
    """
    try:
        hook = await get_hook(token, call.world)
    except HookNotFoundError:
        await call.site.admit(call.request, "resume", None)
        raise
    await call.site.admit(call.request, "resume", hook.run_id)
    return hook


async def list_hooks(call: Call) -> Response:
    """List the hooks that a run waits at."""
    hooks = await Run(call.run, call.world).hooks()
    return answer_json({"hooks": [await _hook_json(hook) for hook in hooks]})


async def _hook_json(hook: Hook) -> Json:
    payload = hook.encoded_metadata or b""
    (metadata,) = await _as_json([hook], lambda hook: as_json(hook.metadata), len(payload))
    return {
        "id": hook.id,
        "token": hook.token,
        "is_webhook": hook.is_webhook,
        "metadata": metadata,
    }


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="start_run",
        action="start",
        method="POST",
        path="/runs",
        summary="Start a run of a workflow by its registered name",
        handle=start,
        body=Start,
        status=201,
        result=_object(id={"type": "string"}),
        refusals=(404, 409),
    ),
    Operation(
        name="list_runs",
        action="list",
        method="GET",
        path="/runs",
        summary="List runs, the newest first",
        handle=list_,
        query=List,
        result=_object(runs=_list(_RUN), cursor={"type": ["string", "null"]}),
    ),
    Operation(
        name="get_run",
        action="get",
        method="GET",
        path="/runs/{run_id}",
        summary="Show a run; wait for its end",
        handle=get,
        query=Get,
        result=_RUN,
        refusals=(404,),
    ),
    Operation(
        name="read_events",
        action="events",
        method="GET",
        path="/runs/{run_id}/events",
        summary="Show a part of a run's log",
        handle=events,
        query=Events,
        result=_object(events=_list(_EVENT), after={"type": "integer"}),
        refusals=(404,),
    ),
    Operation(
        name="read_log",
        action="log",
        method="GET",
        path="/runs/{run_id}/log",
        summary="Show lines that the workflow wrote to the console",
        handle=log,
        query=Log,
        result=_object(lines=_list({"type": "string"}), start={"type": "integer"}),
        refusals=(404,),
    ),
    Operation(
        name="cancel_run",
        action="cancel",
        method="POST",
        path="/runs/{run_id}/cancel",
        summary="End a run as cancelled, at once or within a time",
        handle=cancel,
        body=Cancel,
        result=_RUN,
        refusals=(404, 409),
    ),
    Operation(
        name="wake_run",
        action="wake",
        method="POST",
        path="/runs/{run_id}/wake",
        summary="End sleeps of a run before their time",
        handle=wake,
        body=Wake,
        result=_object(waits={"type": "integer"}),
        refusals=(404, 409),
    ),
    Operation(
        name="list_hooks",
        action="hooks",
        method="GET",
        path="/runs/{run_id}/hooks",
        summary="List the hooks that a run waits at, with their tokens",
        handle=list_hooks,
        result=_object(hooks=_list(_HOOK)),
        refusals=(404,),
    ),
    Operation(
        name="resume_hook",
        action="resume",
        method="POST",
        path="/hooks/resume",
        summary="Send a payload to the hook that holds a token",
        handle=resume,
        body=Resume,
        result=_object(run_id={"type": "string"}, hook_id={"type": "string"}),
        refusals=(404, 409),
        is_asked_later=True,
    ),
)
