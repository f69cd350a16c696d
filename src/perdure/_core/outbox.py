"""Outbox: the letters of a run for others, kept with it until they are there.

For stores whose transaction is one run: a letter is written with the turn that causes it, brought
to the other run before the commit is answered, and then forgotten. A worker that finds it later,
because its writer died on the way, brings it there again: runs have ids and events have keys. They
are brought in order, so a run is there before anybody watches it. An event of a run for itself
says that it was cancelled with all it started: it stays until these were told. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, assert_never

from .._model.children import ChildStart, Watch
from .._model.commit import Append

__all__ = ("OUTBOX_MS", "Letter", "outbox_due_ms")

OUTBOX_MS = 5_000  # that its writer has for itself

Letter: TypeAlias = Append | ChildStart | Watch


def outbox_due_ms(outbox: Iterable[Letter]) -> int | None:
    """From when anybody is to bring the letters of *outbox* there; None: it is empty."""
    first_ms = min(map(_written_ms, outbox), default=None)
    return None if first_ms is None else first_ms + OUTBOX_MS


def _written_ms(letter: Letter) -> int:
    match letter:
        case Append():
            return letter.event.at_ms
        case ChildStart():
            return letter.new.created_at_ms
        case Watch():
            return letter.at_ms
        case _:
            assert_never(letter)
