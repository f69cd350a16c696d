"""Watches: any work in guests can be stopped, at any instruction.

A guest looks at its engine's epoch in every loop and at every call, natives included. The epoch
stands still, which costs nothing, until something is to be stopped: then it is moved on, each guest
that is running asks in its own thread whether that thread's watch was stopped, and those whose was
not go on. A stopped guest is in the middle of anything, and must be discarded.
"""

from __future__ import annotations

import ctypes
import enum
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, final

import wasmtime

from ..errors import PerdureError
from . import foreign

__all__ = (
    "STOPPED",
    "Place",
    "StopReason",
    "StoppedError",
    "Watch",
    "check_here",
    "heed_watches",
    "move_epoch",
    "place_here",
    "take_place",
    "watched_engine",
)

STOPPED = "stopped by its watch"
_ENOUGH = 0.05  # of a processor: a thread that got less of it has not had its time
_LONGEST_PAUSE = 5.0  # seconds
_engines: list[int] = []  # whose guests can be stopped
_here = threading.local()


@final
class StopReason(enum.Enum):
    """Why work was stopped."""

    DEADLINE = "it took too long"
    CROWDED = "too many others took long at the same time"
    CLOSING = "its worker is closing"
    ABANDONED = "nobody waits for it any more"


class StoppedError(PerdureError):
    """A call into a guest was stopped by its thread's watch; the guest is of no more use."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(f"a call into a guest was stopped: {reason.value}")
        self.reason = reason


@final
class Watch:
    """The limits of one piece of work, and whether it was stopped."""

    __slots__ = ("_gate", "_outer", "_reason", "patience", "seconds", "share")

    def __init__(
        self, seconds: float, *, share: float = _ENOUGH, patience: float | None = 0.0
    ) -> None:
        """Watch nothing yet.

        Args:
            seconds: after which the work is stopped.
            share: of a processor that its thread must have had meanwhile; else it goes on, as the
                machine is to blame.
            patience: seconds of processor time after which it may be stopped where too many take
                long at the same time; None is never.
        """
        self.seconds = seconds
        self.share = share
        self.patience = patience
        self._reason: StopReason | None = None
        self._gate: threading.Event | None = None  # closed while the work is to pause
        self._outer: Watch | None = None  # whose work this is a part of

    def __repr__(self) -> str:
        state = f"of {self.seconds} s" if self.reason is None else f"stopped: {self.reason.value}"
        return f"<Watch {state}>"

    @property
    def reason(self) -> StopReason | None:
        """Why it was stopped, or the work that it is a part of; None while it was not."""
        outer = None if self._outer is None else self._outer.reason
        return outer or self._reason

    def stop(self, reason: StopReason) -> None:
        """Stop the call that is running, if any; any thread may. The first reason stands.

        A call that begins at this moment may miss it: the caller goes on moving the epoch until the
        work has ended.
        """
        if self._reason is None:
            self._reason = reason
        self.go_on()
        move_epoch()

    @property
    def pauses(self) -> bool:
        """Whether the work is to pause."""
        return self._gate is not None and not self._gate.is_set()

    def pause(self) -> None:
        """Have the work pause once the epoch has moved, until ``go_on``."""
        if self._gate is None:
            self._gate = threading.Event()
        self._gate.clear()

    def go_on(self) -> None:
        """Have the work go on. Idempotent."""
        if self._gate is not None:
            self._gate.set()

    def wait(self) -> None:
        """Return once the work is not to pause, or nobody has looked after it for long."""
        if self._gate is not None:
            self._gate.wait(_LONGEST_PAUSE)

    def is_over(self, *, wall: float, used: float) -> bool:
        """Whether the work has had its time, of the clock and of a processor."""
        return wall >= self.seconds and used >= self.seconds * self.share

    def check(self) -> None:
        """Go on only if the work was not stopped.

        Raises:
            StoppedError: it was.
        """
        if self.reason is not None:
            raise StoppedError(self.reason)

    @contextmanager
    def here(self) -> Generator[None, None, None]:
        """Watch the work of this thread in the block.

        Raises:
            StoppedError: it was stopped before.
        """
        place = place_here()
        self._outer = place.watch
        self.check()
        place.watch = self
        try:
            yield
        finally:
            place.watch = self._outer


@final
class Place:
    """Where one thread says which watch its work is under."""

    __slots__ = ("watch",)

    def __init__(self) -> None:
        self.watch: Watch | None = None

    def __repr__(self) -> str:
        return f"<Place {self.watch!r}>"


def place_here() -> Place:
    """This thread's place."""
    place: Place | None = getattr(_here, "place", None)
    if place is None:
        place = _here.place = Place()
    return place


def take_place(place: Place) -> None:
    """This thread works for the one whose place this is, which waits for it."""
    _here.place = place


def check_here() -> None:
    """Go on only if this thread's work was not stopped.

    Raises:
        StoppedError: it was.
    """
    watch = place_here().watch
    if watch is not None:
        watch.check()


def watched_engine(engine: wasmtime.Engine) -> None:
    """Have the epoch of *engine*, which lives as long as the process, moved with the others."""
    _engines.append(foreign.pointer_of(engine))


def move_epoch() -> None:
    """Have every guest that is running look at its watch."""
    for engine in _engines:
        foreign.increment_epoch(engine)


def heed_watches(store: int, context: int) -> None:
    """Have the guests of a store stop when their thread's watch is."""
    foreign.set_epoch_callback(store, _CALLBACK_AT, None, None)
    foreign.set_epoch_deadline(context, 1)


def _look(context: int, data: int, delta: Any, kind: Any) -> int | None:
    """The epoch has moved: an error stops the guest, None lets it go on to the next move."""
    delta[0] = 1
    kind[0] = 0  # go on
    watch = place_here().watch
    if watch is None:
        return None
    if watch.reason is None:
        watch.wait()
    if watch.reason is None:
        return None
    return foreign.new_error(STOPPED.encode())


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ctypes.c_uint8),
)(_look)
_CALLBACK_AT = ctypes.cast(_CALLBACK, ctypes.c_void_p).value
