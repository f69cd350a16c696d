"""Signals: those that a decoded value has in it, and how a payload shows that it may have some."""

from __future__ import annotations

from typing import Any, Final

from .._abort import AbortController, AbortSignal, SignalState, state_of
from .._protocol.tags import Tag

__all__ = ("ABORT_MARK", "signals_in")

ABORT_MARK: Final = b"\xda" + Tag.ABORT.to_bytes(4, "big")  # in a payload that may have signals
_CONTAINERS: Final = frozenset({dict, list, set, tuple})  # of decoded values


def signals_in(value: Any) -> list[SignalState]:
    """The state of each signal in a decoded value."""
    states: dict[tuple[str, str], SignalState] = {}
    containers: dict[int, object] = {}
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, AbortSignal | AbortController):
            states[item.run_id, item.id] = state_of((item.run_id, item.id))
        elif type(item) in _CONTAINERS and id(item) not in containers:
            containers[id(item)] = item
            parts: Any = [*item, *item.values()] if type(item) is dict else item
            stack.extend(parts)
    return list(states.values())
