"""Hints: why a run does not go on, and the command that mends it. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from .._core.fold import Entity, fold
from .._core.transitions import EntityKind, is_ended
from .._model.events import DELIVERED, LoggedEvent
from .._model.runs import RunRecord, RunStatus
from ..abc import World
from .inspection import read_log

__all__ = ("why_waiting",)


async def why_waiting(world: World, record: RunRecord) -> str:
    """What of this run is due and has not been claimed, if that is so; else an empty text."""
    waiting = await world.queue.count_waiting()
    wakes = waiting.pop("", 0)
    if not (wakes or waiting):
        return ""
    events = await read_log(world, record.run_id)
    entities = fold(events)
    if wakes and _is_due(record, events, entities, world.now_ms()):
        return (
            f"no worker has claimed it; start one: perdure worker --world {world.url} "
            "(or in this process: async with Worker(world))"
        )
    unclaimed = {topic.partition("/")[2] for topic in waiting}
    steps = sorted(unclaimed & {e.name for e in _open(entities, EntityKind.STEP)})
    if not steps:
        return ""
    module = steps[0].partition(":")[0]
    return (
        f"no worker has claimed {', '.join(steps)}; start one that has it: "
        f"perdure worker --steps {module} --world {world.url}"
    )


def _is_due(
    record: RunRecord, events: Sequence[LoggedEvent], entities: Sequence[Entity], now_ms: int
) -> bool:
    """Whether there is something to tell the run."""
    if record.status is RunStatus.PENDING:
        return True
    if any(e.position > record.consumed and e.event.type in DELIVERED for e in events):
        return True
    waits = _open(entities, EntityKind.WAIT)
    return any(w.resume_at_ms is not None and w.resume_at_ms <= now_ms for w in waits)


def _open(entities: Sequence[Entity], kind: EntityKind) -> list[Entity]:
    return [e for e in entities if e.kind is kind and not is_ended(kind, e.state)]
