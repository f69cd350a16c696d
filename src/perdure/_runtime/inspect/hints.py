"""Hints: why a run does not go on, and the command that mends it. Reads only."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from ..._core.fold import Entity
from ..._core.transitions import EntityKind, is_ended
from ..._model.events import DELIVERED, LoggedEvent
from ..._model.runs import RunRecord, RunStatus
from ...abc import World
from ..step_options import DEFAULT_QUEUE
from ..steps import JS_TOPICS, SCRIPT_MARK
from .inspection import fold_aside, read_log

__all__ = ("why_waiting",)


async def why_waiting(world: World, record: RunRecord) -> str:
    """The items of this run that are due and unclaimed, as text; empty if there are none."""
    waiting = await world.queue.count_waiting()
    wakes = waiting.pop("", 0)
    if not (wakes or waiting):
        return ""
    if wakes and record.status is RunStatus.PENDING:
        return _unclaimed_run(world.url)
    events = await read_log(world, record.run_id)
    entities = await fold_aside(events)
    if wakes and _is_due(record, events, entities, world.now_ms()):
        return _unclaimed_run(world.url)
    names = {entity.name for entity in _open(entities, EntityKind.STEP)}
    unclaimed = _by_queue(topic for topic in waiting if topic.partition("/")[2] in names)
    hints = [_unclaimed(queue, unclaimed[queue], world.url) for queue in sorted(unclaimed)]
    scripts = sorted(name for name in names if name.startswith(SCRIPT_MARK))
    if scripts and any(topic.startswith(JS_TOPICS) for topic in waiting):
        hints.append(_unclaimed_script(scripts, world.url))
    return "; ".join(hints)


def _by_queue(topics: Iterable[str]) -> dict[str, list[str]]:
    """Steps by the queue that their messages wait in."""
    steps: dict[str, list[str]] = {}
    for topic in sorted(topics):
        queue, _, step = topic.partition("/")
        steps.setdefault(queue, []).append(step)
    return steps


def _unclaimed_run(url: str) -> str:
    return (
        "no worker has claimed it yet: there is none, or each carries as many runs as it may; "
        f"start one: perdure worker --world {url} (or in this process: async with Worker(world))"
    )


def _unclaimed(queue: str, steps: Sequence[str], url: str) -> str:
    module = shlex.quote(steps[0].partition(":")[0])
    if queue == DEFAULT_QUEUE:
        return (
            f"no worker has claimed {', '.join(steps)} yet: none has it, or each is busy; "
            f"start one: perdure worker --steps {module} --world {url}"
        )
    return (
        f"no worker has claimed {', '.join(steps)} of queue {queue!r} yet: none serves it, or each"
        f" is busy; start one: perdure worker --steps {module} --queue {shlex.quote(queue)}"
        f" --world {url} (or in this process: Worker(world, queues=[{queue!r}]))"
    )


def _unclaimed_script(steps: Sequence[str], url: str) -> str:
    return (
        f"no worker has claimed {', '.join(steps)} yet: none serves the queue, or each is busy; "
        f"start one: perdure worker --world {url}"
    )


def _is_due(
    record: RunRecord, events: Sequence[LoggedEvent], entities: Sequence[Entity], now_ms: int
) -> bool:
    """Whether there is something to tell the run, which has begun."""
    if any(e.position > record.consumed and e.event.type in DELIVERED for e in events):
        return True
    waits = _open(entities, EntityKind.WAIT)
    return any(w.resume_at_ms is not None and w.resume_at_ms <= now_ms for w in waits)


def _open(entities: Sequence[Entity], kind: EntityKind) -> list[Entity]:
    return [e for e in entities if e.kind is kind and not is_ended(kind, e.state)]
