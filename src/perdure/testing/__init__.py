"""Testing: a clock, a reference world, faults and conformance, for workflows and for worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..worldkit.clock import SystemClock as SystemClock
from .clock import ManualClock as ManualClock

if TYPE_CHECKING:
    from .memory import MemoryWorld as MemoryWorld

__all__ = ("ManualClock", "MemoryWorld", "SystemClock")


def __getattr__(name: str) -> object:
    # A test that wants a clock alone does not load the reference world.
    if name == "MemoryWorld":
        from .memory import MemoryWorld

        return MemoryWorld
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
