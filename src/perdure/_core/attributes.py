"""Attributes: how many texts a run may have, how long they may be, and who may use which names.

Pure, and the same at ``start``, in steps and in workflow code (``_guest/prelude/3_attributes.js``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._model.events import Event, EventType
from ..errors import AttributeLimitError

__all__ = ("attributes_after", "fault_of", "merged_attributes")

_MAX_COUNT = 64  # of one run
_MAX_NAME = 256  # characters, as JavaScript counts them
_MAX_TEXT = 256  # bytes
_MAX_CALL = 8192  # bytes of names and texts in one call, with the marks around them
_MARKS = 6  # of a pair: quotes, a colon, a comma


def fault_of(changes: Mapping[str, str | None], *, allow_reserved: bool) -> str | None:
    """The reason why these cannot be set, or None.

    Args:
        changes: texts by name; None takes one away.
        allow_reserved: names may begin with ``$``.
    """
    size = 0
    for name, text in changes.items():
        fault = _fault_of_name(name, allow_reserved=allow_reserved)
        length = 4 if text is None else len(text.encode())
        if fault is None and text is not None and length > _MAX_TEXT:
            fault = f"attribute value byte length {length} exceeds limit {_MAX_TEXT}: {name!r}"
        if fault is not None:
            return fault
        size += len(name.encode()) + length + _MARKS
    if len(changes) > _MAX_COUNT:
        return f"attributes exceed limit {_MAX_COUNT}: {len(changes)} in one call"
    if size > _MAX_CALL:
        return f"attributes of one call take {size} bytes, which exceeds limit {_MAX_CALL}"
    return None


def _fault_of_name(name: str, *, allow_reserved: bool) -> str | None:
    if not name:
        return "attribute key must not be empty"
    if name.startswith("$") and not allow_reserved:
        return (
            f"attribute key {name[:40]!r} has the reserved prefix '$'; "
            "allow_reserved_attributes=True (allowReservedAttributes in JavaScript) permits it"
        )
    length = len(name.encode("utf-16-le")) // 2
    if length > _MAX_NAME:
        return f"attribute key length {length} exceeds limit {_MAX_NAME}"
    return None


def merged_attributes(attributes: Mapping[str, str], facts: Mapping[str, object]) -> dict[str, str]:
    """A run's *attributes* after an ``attributes_set`` with *facts*; None takes one away."""
    merged = dict(attributes)
    for name, value in facts.items():
        merged.pop(name, None)
        if value is not None:
            merged[name] = str(value)
    return merged


def attributes_after(
    run_id: str, attributes: Mapping[str, str], events: Iterable[Event]
) -> dict[str, str]:
    """The *attributes* of the run *run_id* after those of *events* that set some.

    Raises:
        AttributeLimitError: it would have more than a run may have.
    """
    after = dict(attributes)
    for event in events:
        if event.type is EventType.ATTRIBUTES_SET:
            after = merged_attributes(after, event.facts)
    if len(after) > _MAX_COUNT and len(after) > len(attributes):
        raise AttributeLimitError(
            f"run {run_id} would have {len(after)} attributes, which exceed limit {_MAX_COUNT}"
        )
    return after
