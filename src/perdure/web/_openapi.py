"""OpenAPI: the description of the app, made from the declarations that its routes are made from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import cast

from .._protocol.json_values import Json
from ._health import HEALTH
from ._operations import Operation
from ._webhooks import METHODS, ROOT

__all__ = ("HEALTH_METHODS", "HEALTH_PATHS", "describe")

HEALTH_PATHS = ("/.well-known/workflow/v1/health", "/.well-known/workflow/v1/flow")
HEALTH_METHODS = ("GET", "HEAD", "POST")
_ALWAYS = (400, 403, 408, 413, 422, 500, 503)  # refusals that every operation may answer
_PROBLEM: Json = {
    "type": "object",
    "description": "A refusal (RFC 9457). Programs go by its code.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "examples": ["run_not_found"]},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
VERSION = "1"  # of the API; it changes where a client has to
_PARAMETER = re.compile(r"{(\w+)(?::path)?}")


def describe(
    operations: Iterable[Operation], *, api_path: str, server: str, workflows: Iterable[str]
) -> Json:
    """An OpenAPI 3.1 document.

    Args:
        server: where the app is mounted, as a URL or a path.
        workflows: the names that a run may be started by.
    """
    names = sorted(workflows)
    paths: dict[str, Json] = {}
    for operation in operations:
        described = _operation(operation, names)
        path = api_path + _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = described
    for path in HEALTH_PATHS:
        paths[path] = {method.lower(): _health(path, method) for method in HEALTH_METHODS}
    paths[f"{ROOT}/{{token}}"] = {method.lower(): _webhook(method) for method in METHODS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Perdure", "version": VERSION, "summary": "Durable workflows"},
        "servers": [{"url": server or "/"}],
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM}},
    }


def _operation(operation: Operation, workflows: Sequence[str]) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation)],
        "responses": {str(operation.status): _result(operation)}
        | {str(status): {"description": text} for status, text in operation.others.items()}
        | {str(status): _refusal(status) for status in _statuses(operation)},
    }
    if operation.body is not None:
        schema = _inlined(operation.body.model_json_schema())
        if operation.action == "start" and workflows:
            schema["properties"]["workflow"]["enum"] = workflows
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return described


def _statuses(operation: Operation) -> list[int]:
    return sorted({*_ALWAYS, *operation.refusals, *((415,) if operation.body else ())})


def _result(operation: Operation) -> Json:
    content: Json = operation.content or {"application/json": {"schema": operation.result}}
    return {"description": operation.summary, "content": dict(content)}


def _refusal(status: int) -> Json:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }


def _path_parameters(path: str) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(operation: Operation) -> list[Json]:
    schema = _inlined(operation.query.model_json_schema())
    parameters = [*_query(schema)]
    return parameters + [
        {"name": name, "in": "header", "required": False, "schema": header}
        for name, header in (operation.headers or {}).items()
    ]


def _query(schema: Json) -> Iterable[Json]:
    for name, field in schema.get("properties", {}).items():
        # A parameter that is left out is the only null that a query has.
        choices = [choice for choice in field.get("anyOf", []) if choice.get("type") != "null"]
        described = {key: value for key, value in field.items() if key not in ("anyOf", "title")}
        if described.get("default", ...) is None:
            del described["default"]
        if len(choices) == 1:
            described |= choices[0]
        text = described.pop("description", None)
        parameter = {"name": name, "in": "query", "required": False, "schema": described}
        yield parameter | ({"description": text} if text else {})


def _health(path: str, method: str) -> Json:
    content = {} if method == "HEAD" else {"content": {"application/json": {"schema": HEALTH}}}
    return {
        "operationId": f"health_{path.rpartition('/')[2]}_{method.lower()}",
        "summary": "Whether the service and its world answer",
        "security": [],
        "responses": {
            "200": {"description": "Both answer", **content},
            "503": {"description": "The world does not answer", **content},
        },
    }


def _webhook(method: str) -> Json:
    return {
        "operationId": f"webhook_{method.lower()}",
        "summary": "Tell a workflow that waits at a webhook",
        "security": [],
        "parameters": _path_parameters("/{token}"),
        "responses": {
            "202": {"description": "The workflow has it; no other answer was asked for"},
            "404": {"description": "Nobody takes it, for whatever reason"},
            "default": {"description": "The answer that the workflow chose"},
        },
    }


def _inlined(schema: Json) -> Json:
    """The schema with its definitions in place: a description has one place for them."""
    definitions: Json = schema.pop("$defs", {})
    return cast(Json, _with(definitions, schema))


def _with(definitions: Json, part: object) -> object:
    if isinstance(part, list):
        return [_with(definitions, item) for item in cast("list[object]", part)]
    if not isinstance(part, dict):
        return part
    members = cast("dict[str, object]", part)
    if "$ref" in members:
        name = str(members["$ref"]).rpartition("/")[2]
        members = {**definitions[name], **{k: v for k, v in members.items() if k != "$ref"}}
    return {
        name: _with(definitions, member)
        for name, member in members.items()
        if name != "title" or not isinstance(member, str)  # a field may have that name
    }
