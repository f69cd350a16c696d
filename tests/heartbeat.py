"""Heartbeat: how long an event loop was away from its callbacks while something went on.

Processor time says what the loop itself did between two beats, however busy the machine is; time by
the clock says as well for how long other threads kept the interpreter, and other programs the
processor. The collector looks only at what is made meanwhile: a process of many tests holds more
objects than it could look through in time.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field

import anyio
import anyio.abc

__all__ = ("Heartbeat",)

PAUSE = 0.001


@dataclass
class Heartbeat:
    """Beats of one event loop, about a thousand a second. Enter it in the loop."""

    gaps_ms: list[float] = field(default_factory=list[float])  # by the clock, without the pause
    work_ms: list[float] = field(default_factory=list[float])  # of the loop's thread's processor

    async def __aenter__(self) -> Heartbeat:
        gc.collect()
        gc.freeze()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        await self._group.start(self._beat)
        return self

    async def __aexit__(self, *error: object) -> None:
        await anyio.sleep(2 * PAUSE)  # what ended last is counted
        self._group.cancel_scope.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            gc.unfreeze()

    @property
    def longest_ms(self) -> float:
        """The longest gap by the clock."""
        return max(self.gaps_ms)

    @property
    def busiest_ms(self) -> float:
        """The most that the loop itself worked in one gap."""
        return max(self.work_ms)

    def percentile_ms(self, percent: float) -> float:
        """The gap by the clock that so many of a hundred do not exceed."""
        ordered = sorted(self.gaps_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    async def _beat(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        await anyio.sleep(PAUSE)
        task_status.started()
        while True:
            began, worked = time.perf_counter(), time.thread_time()
            await anyio.sleep(PAUSE)
            self.gaps_ms.append((time.perf_counter() - began - PAUSE) * 1000)
            self.work_ms.append((time.thread_time() - worked) * 1000)
