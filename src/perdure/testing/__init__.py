"""What tests of workflows and of worlds need: a clock, a reference world, faults, conformance."""

from __future__ import annotations

from .clock import ManualClock as ManualClock, SystemClock as SystemClock
from .memory import MemoryWorld as MemoryWorld

__all__ = ("ManualClock", "MemoryWorld", "SystemClock")
