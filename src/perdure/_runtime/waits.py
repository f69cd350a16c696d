"""Waits: the sleeps of a run, ended before their time. Each ends once, however it ends."""

from __future__ import annotations

from collections.abc import Iterable

from .._core.fold import Entity
from .._core.transfer import check_here
from .._core.transitions import EntityKind
from .._core.turn import wait_ended_early
from .._model.commit import Append
from .._model.ids import RunId
from ..abc import World
from ..errors import RunEndedError, UsageError
from .arguments import checked_text, iterable
from .inspect.inspection import fold_aside, read_log

__all__ = ("end_waits",)


async def end_waits(world: World, run_id: RunId, ids: Iterable[str] | None) -> int:
    """End open waits of a run, those with *ids* or all. Returns how many this call ended.

    Raises:
        RunNotFoundError: no such run.
        RunMovedError: it goes on in another world.
        UsageError: one of *ids* is no wait of the run.
    """
    names = None if ids is None else _checked(ids)
    record = await world.storage.get_run(run_id)
    check_here(record)
    waits = await _waits(world, run_id)
    if names is not None:
        _check_known(run_id, names, waits)
    if record.status.is_ended:
        return 0
    count = 0
    for wait in waits:
        if wait.state == "waiting" and (names is None or wait.id in names):
            event = wait_ended_early(wait.id, now_ms=world.now_ms())
            try:
                appended = await world.storage.append(Append(run_id=run_id, event=event))
            except RunEndedError:
                break
            count += not appended.duplicate  # else its time had come meanwhile
    return count


def _checked(ids: Iterable[str]) -> set[str]:
    return {checked_text("an id", one) for one in iterable("ids", ids, "['wait_1']")}


async def _waits(world: World, run_id: RunId) -> list[Entity]:
    entities = await fold_aside(await read_log(world, run_id))
    return [entity for entity in entities if entity.kind is EntityKind.WAIT]


def _check_known(run_id: RunId, names: set[str], waits: Iterable[Entity]) -> None:
    own = [wait.id for wait in waits]
    for name in sorted(names.difference(own)):
        listed = ", ".join(own) or "none"
        raise UsageError(f"run {run_id} has no wait {name!r} (it has: {listed})")
