"""Requests: runs that were asked to end by themselves, and are ended once their time is over.

That is written before a heap or a bundle of theirs is loaded: neither may be there any more.
"""

from __future__ import annotations

from ..._core.cancellation import CANCEL_KEY, overdue_event
from ..._model.commit import Append
from ..._model.events import Event
from ..._model.runs import RunRecord
from ...abc import World
from .writes import GONE, Writes

__all__ = ("end_in_time", "is_over")

_PAGE = 1000


def is_over(record: RunRecord, *, now_ms: int) -> bool:
    """Whether the run has had the time that it was left to end."""
    return record.cancel_at_ms is not None and record.cancel_at_ms <= now_ms


async def end_in_time(world: World, writes: Writes, record: RunRecord) -> None:
    """End a run as cancelled, for the reason of the request."""
    event = overdue_event(await _request(world, record), now_ms=world.now_ms())
    try:
        await writes.append(Append(run_id=record.run_id, event=event, wake=False))
    except GONE:
        return  # somebody was faster


async def _request(world: World, record: RunRecord) -> Event | None:
    """The request in the run's log; it is sought from the end."""
    before = record.position
    while before > 0:
        after = max(0, before - _PAGE)
        page = await world.storage.read_events(record.run_id, after=after, limit=before - after)
        for logged in reversed(page):
            if logged.event.key == CANCEL_KEY:
                return logged.event
        before = after
    return None
