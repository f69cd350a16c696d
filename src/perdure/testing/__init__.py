"""Testing: a clock, a reference world, faults and conformance, for workflows and for worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clock import ManualClock as ManualClock, SystemClock as SystemClock

if TYPE_CHECKING:
    from .memory import MemoryWorld as MemoryWorld

__all__ = ("ManualClock", "MemoryWorld", "SystemClock")


def __getattr__(name: str) -> object:
    # Every world has its clock from here, and none needs the reference world to start.
    if name == "MemoryWorld":
        from .memory import MemoryWorld

        return MemoryWorld
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
