"""Outbox: what a run has for others, kept with it until it is there.

For stores whose transaction is one run: the event is written with the turn that causes it, brought
to the other run before the commit is answered, and then forgotten. Whoever finds it later, because
its writer died on the way, brings it there again: events have keys. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._model.commit import Append

__all__ = ("OUTBOX_MS", "outbox_due_ms")

OUTBOX_MS = 5_000  # that its writer has for itself


def outbox_due_ms(outbox: Iterable[Append]) -> int | None:
    """From when anybody is to bring it there; None: there is nothing."""
    first_ms = min((notice.event.at_ms for notice in outbox), default=None)
    return None if first_ms is None else first_ms + OUTBOX_MS
