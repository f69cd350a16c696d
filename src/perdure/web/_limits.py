"""Limits: how much a client may send, and how long it may take or be held."""

from __future__ import annotations

from .._value_class import value_class

__all__ = ("HttpLimits",)


@value_class
class HttpLimits:
    """The most that one request may use.

    Args:
        body_bytes: of a request; a larger one is refused as soon as that is known.
        body_seconds: that the whole body may take to arrive.
        reply_seconds: that the caller of a manual webhook is held for its answer.
        wait_seconds: that ``GET /runs/{run_id}?wait=…`` may ask to wait.
        stream_seconds: that one response may follow a stream; then its client comes again.
    """

    body_bytes: int = 4 << 20
    body_seconds: float = 30.0
    reply_seconds: float = 60.0
    wait_seconds: float = 60.0
    stream_seconds: float = 3600.0
