"""Endings: how a caller says that it waits no longer, without cutting anything else short.

To cancel a call that waits for a claim may lose a claim that was just made. A caller that must
stop waiting heeds an ``Ending`` instead: the wait ends, and claims that were made reach the caller.
Holds no clock and no task; ``end`` may be called in any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, final

__all__ = ("Ending", "ends_waiting")


class Rings(Protocol):
    """A thing to ring that wakes its listeners, such as a ``Bell``."""

    def ring(self) -> None:
        """Wake everybody. From any thread; never blocks."""
        ...


@final
class Ending:
    """Ends the waits of the calls that heed it, now and from then on.

    A call that is ended so answers as one whose ``wait_ms`` have passed.
    """

    def __init__(self) -> None:
        self.ended: bool = False
        self._lock = threading.Lock()
        self._bells: dict[object, Rings] = {}

    def __repr__(self) -> str:
        return f"<Ending {'ended' if self.ended else f'{len(self._bells)} waiting'}>"

    def end(self) -> None:
        """End them. Idempotent; never blocks."""
        with self._lock:
            self.ended = True
            bells = list(self._bells.values())
        for bell in bells:
            bell.ring()

    @contextmanager
    def heeded(self) -> Generator[None, None, None]:
        """World calls within the block heed it, and so do those of tasks that are begun there."""
        token = _heeded.set(self)
        try:
            yield
        finally:
            _heeded.reset(token)

    @contextmanager
    def rings(self, bell: Rings) -> Generator[None, None, None]:
        """Within the block *bell* is rung when the end comes."""
        key = object()
        with self._lock:
            self._bells[key] = bell
        try:
            yield
        finally:
            with self._lock:
                del self._bells[key]


@contextmanager
def ends_waiting(bell: Rings) -> Generator[Callable[[], bool], None, None]:
    """Within the block *bell* also rings when the caller's ending comes; for those that wait on it.

    Yields a function that says whether the ending has come; call it after each ring.
    """
    ending = _heeded.get()
    if ending is None:
        yield lambda: False
        return
    with ending.rings(bell):
        yield lambda: ending.ended


_heeded: ContextVar[Ending | None] = ContextVar("perdure_ending", default=None)
