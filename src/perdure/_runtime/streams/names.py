"""Names: how a run's streams are called."""

from __future__ import annotations

from ...errors import UsageError
from ..arguments import checked_text

__all__ = ("stream_name",)

_OUT = "out"
_MAX_NAMESPACE = 200  # characters, as in the prelude


def stream_name(namespace: str | None) -> str:
    """The name of a run's stream, as its world knows it.

    Raises:
        UsageError: *namespace* is no text, empty or too long.
    """
    if namespace is None:
        return _OUT
    if not 0 < len(checked_text("namespace", namespace)) <= _MAX_NAMESPACE:
        raise UsageError(f"namespace is a text of 1 to {_MAX_NAMESPACE} characters")
    return f"{_OUT}/{namespace}"
