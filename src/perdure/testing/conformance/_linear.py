"""Linearizability: is there an order of the calls, each at an instant while it ran, that explains
every answer?

The search is Wing and Gong's, with the states that failed remembered (Lowe). The sequential
meaning is the reference world. A call whose outcome its caller never learned may have happened at
any time since it began, or not at all. An empty claim is always allowed: a race was lost.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from ...errors import WorldError
from ..memory import MemoryWorld
from ._calls import Call, answer_of, comparable, leases_in, shown

__all__ = ("Operation", "explained", "told")

READS = frozenset(
    {
        "storage.get_run",
        "storage.read_events",
        "storage.load_run",
        "storage.get_hook",
        "snapshots.load",
        "streams.read",
        "streams.info",
        "streams.list_streams",
    }
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A call that somebody made, its times and its answer."""

    client: int
    call: Call  # with the candidate's own leases
    began: int
    ended: int
    answer: Any

    @property
    def is_unknown(self) -> bool:
        """Whether the caller does not know if it happened."""
        return isinstance(self.answer, WorldError) and self.answer.retryable

    @property
    def until(self) -> float:
        """By when it must have happened."""
        return math.inf if self.is_unknown else self.ended


@final
class _Search:
    def __init__(self, history: Sequence[Operation], *, times: bool) -> None:
        self._history = sorted(history, key=lambda operation: operation.began)
        self._times = times
        self._failed: set[tuple[frozenset[int], str]] = set()

    async def run(self, world: MemoryWorld) -> bool:
        """Whether an order explains the history."""
        return await self._from(world, frozenset(range(len(self._history))))

    async def _from(self, world: MemoryWorld, rest: frozenset[int]) -> bool:
        if all(self._history[index].is_unknown for index in rest):
            return True
        key = rest, repr(world.dump())
        if key in self._failed:
            return False
        self._failed.add(key)
        first_end = min(self._history[index].until for index in rest)
        for index in sorted(rest):
            operation = self._history[index]
            if operation.began > first_end:
                continue
            async for after in self._after(world, operation):
                if await self._from(after, rest - {index}):
                    return True
        return False

    async def _after(self, world: MemoryWorld, operation: Operation) -> AsyncIterator[MemoryWorld]:
        """The reference world after it, if it answers the same."""
        call, answer = operation.call, operation.answer
        if call.name.startswith("queue.claim") and answer == ():
            yield world
            return
        after = world if call.name in READS else world.copy()
        after.hand_out([lease.token for _, lease in leases_in(answer)])
        reply = await answer_of(after, call.name, call.args, call.named)
        same = comparable(reply, times=self._times) == comparable(answer, times=self._times)
        if same or operation.is_unknown:
            yield after


async def explained(
    history: Sequence[Operation], start: MemoryWorld, *, times: bool = True
) -> bool:
    """Whether the history could have come from one call after another on *start*."""
    return await _Search(history, times=times).run(start)


def told(history: Sequence[Operation]) -> str:
    """A history for people, in the order of beginnings."""
    ordered = sorted(history, key=lambda operation: operation.began)
    first = ordered[0].began if ordered else 0
    lines: list[str] = []
    for o in ordered:
        words = [*map(str, o.call.args), *(f"{k}={v}" for k, v in o.call.named.items())]
        span = f"{(o.began - first) / 1000:9.1f} to {(o.ended - first) / 1000:9.1f} µs"
        line = f"{o.call.name}({', '.join(words)}) -> {shown(o.answer)}"
        lines.append(f"  {span}  client {o.client}  {line}")
    return "\n".join(lines)
