"""JSON: a carried value as people and scripts read it. Pure; a view, with no way back."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from ..errors import GuestError
from ..values import UNDEFINED

__all__ = ("as_json",)

_MAX_DEPTH = 100


def as_json(value: object, depth: int = 0) -> Any:
    """*value* as JSON types: bytes as base64 text, times as ISO 8601, what has no form as text."""
    if value is UNDEFINED or depth > _MAX_DEPTH:
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(cast(bytes, value))).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, GuestError):
        return _error(value, depth)
    if isinstance(value, Mapping):
        pairs = list(cast("Mapping[object, object]", value).items())
        if all(isinstance(key, str) for key, _ in pairs):
            return {str(key): as_json(item, depth + 1) for key, item in pairs}
        return [[as_json(key, depth + 1), as_json(item, depth + 1)] for key, item in pairs]
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item, depth + 1) for item in cast("Iterable[object]", value)]
    return str(value)


def _number(value: str | float | None) -> Any:
    # JSON has no NaN and no infinity.
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return str(value)
    return value


def _error(error: GuestError, depth: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": error.name, "message": error.text, "stack": error.stack}
    cause = error.cause if error.cause is not None else error.__cause__
    if cause is not None:
        shown["cause"] = as_json(cause, depth + 1)
    if error.errors:
        shown["errors"] = [as_json(member, depth + 1) for member in error.errors]
    return shown
