"""JSON: a carried value as people and scripts read it. Pure; a view, with no way back."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sized
from datetime import datetime
from typing import Any, TypeAlias, cast, final

from ..errors import GuestError
from ..values import UNDEFINED, Request, Response, Stream

__all__ = ("Json", "as_json")

Json: TypeAlias = "dict[str, Any]"  # an object; what its members are, its keys tell
_Container: TypeAlias = "GuestError | Mapping[object, object] | Iterable[object]"

_MAX_DEPTH = 100
_MAX_REPEATS = 100_000  # items shown again, of containers that are referred to again
_FETCHED = ("method", "url", "status", "status_text", "headers", "body")
_MAX_INT_BITS = 10_000  # Python writes no longer integers in decimals


def as_json(value: object) -> Any:
    """*value* as JSON types: bytes as base64 text, times as ISO 8601, other values as text.

    Null stands for a value that is nested deeper than 100 levels. A container that is referred to
    again is shown again, up to a number; where it contains itself, it is ``(contains itself)``.
    """
    return _View().of(value, 0)


@final
class _View:
    """One value on its way out. Keeps which containers were met, and which are open."""

    def __init__(self) -> None:
        self._visits: set[int] = set()
        self._open: set[int] = set()
        self._repeats = 0

    def of(self, value: object, depth: int) -> Any:
        """A part of the value."""
        if value is UNDEFINED or depth > _MAX_DEPTH:
            return None
        if value is None or isinstance(value, str | bool | int | float):
            return _scalar(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return base64.b64encode(bytes(cast(bytes, value))).decode()
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, GuestError | Mapping | list | tuple | set | frozenset):
            return self._container(cast("_Container", value), depth)
        if isinstance(value, Request | Response):
            fields = {name: getattr(value, name) for name in _FETCHED if hasattr(value, name)}
            return {name: self.of(part, depth + 1) for name, part in fields.items()}
        if isinstance(value, Stream):
            return {"run_id": value.run_id, "name": value.name}
        return str(value)

    def _container(self, value: _Container, depth: int) -> Any:
        name = id(value)
        if name in self._open:
            return "(contains itself)"
        if name in self._visits:
            self._repeats += 1 + _length(cast(object, value))
            if self._repeats > _MAX_REPEATS:
                return "(shown before)"
        self._visits.add(name)
        self._open.add(name)
        try:
            return self._inside(value, depth + 1)
        finally:
            self._open.discard(name)

    def _inside(self, value: _Container, depth: int) -> Any:
        if isinstance(value, GuestError):
            return self._error(value, depth)
        if not isinstance(value, Mapping):
            return [self.of(item, depth) for item in value]
        pairs = list(cast("Mapping[object, object]", value).items())
        if all(isinstance(key, str) for key, _ in pairs):
            return {str(key): self.of(item, depth) for key, item in pairs}
        return [[self.of(key, depth), self.of(item, depth)] for key, item in pairs]

    def _error(self, error: GuestError, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {"name": error.name, "message": error.text, "stack": error.stack}
        cause = error.cause if error.cause is not None else error.__cause__
        if cause is not None:
            fields["cause"] = self.of(cause, depth)
        if error.errors:
            fields["errors"] = [self.of(member, depth) for member in error.errors]
        return fields


def _length(value: object) -> int:
    return len(value) if isinstance(value, Sized) else 0


def _scalar(value: str | float | None) -> Any:
    # JSON has no NaN and no infinity.
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, int) and value.bit_length() > _MAX_INT_BITS:
        return hex(value)
    return value
