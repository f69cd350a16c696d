"""Children: the runs that follow from a start, and the events that watchers get.

Pure. Ids, secrets and fences of a child derive from its parent's secret, so that a start that is
repeated is the same run, and a parent that was deleted and started anew is told nothing that its
former life waited for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .._model.children import ChildStart, Watch, Watcher
from .._model.commands import StartChild
from .._model.commit import Append
from .._model.events import Event, EventType, Fact
from .._model.hooks import HookClaim
from .._model.ids import EntityId, RunId
from .._model.runs import NewRun, RunRecord, RunStatus
from .ledger import KEYED_HOOK

__all__ = (
    "PARENT",
    "ROOT",
    "child_answer",
    "child_start",
    "end_notice",
    "end_of_missing",
    "end_of_run",
    "fenced_notice",
    "is_watching",
    "lineage",
    "parent_of",
    "started_by",
    "unfenced",
    "watch_fence",
    "watcher_of",
)

PARENT, ROOT = "$parentRunId", "$rootRunId"
_FENCE = "fence"


def _derived(label: bytes, record: RunRecord, entity: str) -> bytes:
    """32 bytes that nobody else can compute, if the run has a secret."""
    secret = record.secret or f"{record.run_id} {record.created_at_ms}".encode()
    return hashlib.sha256(b"%b\0%b\0%b" % (label, secret, entity.encode())).digest()


def watch_fence(record: RunRecord, entity: EntityId) -> str:
    """The mark of a watch of this life of a run."""
    return _derived(b"perdure watch", record, entity)[:16].hex()


def watcher_of(record: RunRecord, watch: Watch) -> Watcher:
    """The run of *record* as a watcher, for the run that it watches."""
    fence = watch_fence(record, watch.entity)
    return Watcher(run_id=record.run_id, entity=watch.entity, fence=fence)


def is_watching(watcher: Watcher, record: RunRecord | None) -> bool:
    """Whether a run that asked for another's end waits still; if not, it never will again.

    Args:
        watcher: as the other run keeps it.
        record: the run that now has the watcher's id, None if there is none.
    """
    if record is None or record.status.is_ended:
        return False
    return watch_fence(record, watcher.entity) == watcher.fence


def parent_of(record: RunRecord) -> RunId | None:
    """The run that started this one; it may be gone, or in another world."""
    parent = record.attributes.get(PARENT)
    return None if parent is None else RunId(parent)


def lineage(run_id: RunId, attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes of each child of a run that has these itself."""
    return {PARENT: run_id, ROOT: attributes.get(ROOT, run_id)}


def started_by(events: Iterable[Event]) -> list[RunId]:
    """The runs that a run has started, by the events of its log; those in conflict are others'."""
    runs: dict[EntityId | None, RunId] = {}
    for event in events:
        run_id = event.facts.get("run_id")
        if event.type is EventType.CHILD_CREATED and isinstance(run_id, str):
            runs[event.entity] = RunId(run_id)
        elif event.type is EventType.CHILD_CONFLICT:
            runs.pop(event.entity, None)
    return list(dict.fromkeys(runs.values()))


def child_start(command: StartChild, parent: RunRecord, *, now_ms: int) -> ChildStart:
    """The start of a child of *parent*: of the same bundle, on the same engine."""
    token = command.token
    new = NewRun(
        run_id=RunId(command.run_id),
        workflow=command.name,
        bundle=parent.bundle,
        engine=parent.engine,
        input=command.input,
        created_at_ms=now_ms,
        attributes={**command.attributes, **lineage(parent.run_id, parent.attributes)},
        level=parent.level,
        secret=_derived(b"perdure child", parent, command.id),
        base_url=parent.base_url,
        hook=None if token is None else HookClaim(hook_id=KEYED_HOOK, token=token),
        entry=command.entry,
    )
    return ChildStart(entity=command.id, new=new, asks=command.asks)


def child_answer(
    start: ChildStart, *, owner: RunId | None, token: str | None = None, now_ms: int
) -> Event:
    """The event that answers a start: it was created, or *owner* is there instead.

    Args:
        token: the one that *owner* holds, if that is why.
    """
    facts: dict[str, Fact] = {"run_id": start.new.run_id if owner is None else owner}
    if token is not None:
        facts["token"] = token
    return Event(
        type=EventType.CHILD_STARTED if owner is None else EventType.CHILD_CONFLICT,
        key=f"{start.entity}/end",
        at_ms=now_ms,
        entity=start.entity,
        facts=facts,
    )


def end_of_run(entity: EntityId, record: RunRecord, *, now_ms: int) -> Event:
    """The event for a run that watches one which has ended."""
    away = record.status in (RunStatus.MOVING, RunStatus.MOVED)
    facts: dict[str, Fact] = {
        "run_id": record.run_id,
        "status": "moved" if away else record.status.value,
    }
    if record.code is not None:
        facts["code"] = record.code
    return _ended(entity, facts, None if away else record.payload, now_ms)


def end_of_missing(watch: Watch, *, now_ms: int) -> Event:
    """The event for a run that watches one which is not there."""
    return _ended(watch.entity, {"run_id": watch.run_id, "status": "missing"}, None, now_ms)


def _ended(
    entity: EntityId, facts: Mapping[str, Fact], payload: bytes | None, now_ms: int
) -> Event:
    return Event(
        type=EventType.CHILD_ENDED,
        key=f"{entity}/end",
        at_ms=now_ms,
        entity=entity,
        payload=payload,
        facts=facts,
    )


def end_notice(watcher: Watcher, record: RunRecord, *, now_ms: int) -> Append:
    """The event and wake for a watcher of a run that has ended."""
    event = end_of_run(watcher.entity, record, now_ms=now_ms)
    return Append(run_id=watcher.run_id, event=event)


def fenced_notice(watcher: Watcher, record: RunRecord, *, now_ms: int) -> Append:
    """The same for an outbox, with the fence: the store that takes it in cannot look it up."""
    notice = end_notice(watcher, record, now_ms=now_ms)
    facts = {**notice.event.facts, _FENCE: watcher.fence}
    return replace(notice, event=replace(notice.event, facts=facts))


def unfenced(event: Event, record: RunRecord) -> Event | None:
    """The event of a fenced notice as it is logged; None if it is for another life of the run."""
    facts = dict(event.facts)
    fence = facts.pop(_FENCE, None)
    if event.entity is None or fence != watch_fence(record, event.entity):
        return None
    return replace(event, facts=facts)
