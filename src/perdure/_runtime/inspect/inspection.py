"""Inspection: a run as its log tells it, for people and scripts. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

from ..._core.fold import Entity, fold
from ..._core.transfer import moved_to
from ..._core.transitions import EntityKind
from ..._model.events import Event, EventType, LoggedEvent
from ..._model.ids import EntityId, RunId
from ..._model.runs import RunRecord, RunStatus
from ..._model.snapshot import Snapshot
from ..._model.streams import StreamInfo
from ..._protocol.codec import decode
from ..._protocol.json_values import Json, as_json
from ..._value_class import value_class
from ...abc import World
from ...display import shown_text
from ..payloads import do_aside

__all__ = (
    "Inspection",
    "event_json",
    "fold_aside",
    "inspect_run",
    "read_log",
    "record_json",
    "shown_payload",
)

_PAGE = 1000
_TELLING = (EventType.STEP_CREATED, EventType.STEP_RETRYING, EventType.STEP_FAILED)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CYCLE_MS = 146_097 * 86_400_000  # 400 years, after which the calendar repeats itself
_LAST_MS = 8_640_000_000_000_000  # of the times that JavaScript has


@value_class
class Inspection:
    """Everything there is to see of a run."""

    record: RunRecord
    events: tuple[LoggedEvent, ...]
    entities: tuple[Entity, ...]
    chain: tuple[Snapshot, ...]
    streams: tuple[StreamInfo, ...]

    def as_json(self) -> Json:
        """The same as JSON types; takes time for large values, so an event loop that is shared
        does well to call it in a thread.
        """
        newest = self.chain[-1] if self.chain else None
        return {
            "run": record_json(self.record),
            "events": [event_json(logged) for logged in self.events],
            "steps": self._steps(),
            "waits": self._of(EntityKind.WAIT),
            "hooks": self._hooks(),
            "children": self._of(EntityKind.CHILD),
            "watches": self._of(EntityKind.WATCH),
            "aborts": self._of(EntityKind.ABORT),
            "streams": [
                {"name": stream.name, "chunks": stream.length, "closed": stream.closed}
                for stream in self.streams
            ],
            "snapshot": newest
            and {
                "bytes": sum(len(snapshot.data) for snapshot in self.chain),
                "turn": newest.turn,
                "position": newest.consumed,
            },
        }

    def _steps(self) -> list[Json]:
        """Steps with their arguments and, of those that failed or retry, the error."""
        payloads = {
            (logged.event.entity, logged.event.type): logged.event.payload
            for logged in self.events
            if logged.event.type in _TELLING
        }
        steps = [entity for entity in self.entities if entity.kind is EntityKind.STEP]
        return [
            {
                **_entity(step),
                "took_ms": None if step.ended_ms is None else step.ended_ms - step.created_ms,
                "arguments": shown_payload(payloads.get((step.id, EventType.STEP_CREATED))),
                "error": shown_payload(_last_error(step, payloads)),
            }
            for step in steps
        ]

    def _hooks(self) -> list[Json]:
        """Hooks with their kind and metadata."""
        events = {
            logged.event.entity: logged.event
            for logged in self.events
            if logged.event.type is EventType.HOOK_CREATED
        }
        return [
            {**hook, **_about_hook(events.get(hook["id"]))} for hook in self._of(EntityKind.HOOK)
        ]

    def _of(self, kind: EntityKind) -> list[Json]:
        return [_entity(entity) for entity in self.entities if entity.kind is kind]


def _about_hook(created: Event | None) -> Json:
    """The kind and metadata of a hook; of one that was a conflict there is no event."""
    is_webhook = created is not None and created.facts.get("webhook") is True
    metadata = None if created is None else shown_payload(created.payload)
    if is_webhook and isinstance(metadata, dict):  # how it responds is beside the user's own
        metadata = cast("Json", metadata).get("metadata")
    return {"webhook": is_webhook, "metadata": metadata}


def _last_error(
    step: Entity, payloads: Mapping[tuple[EntityId | None, EventType], bytes | None]
) -> bytes | None:
    """The payload of the error that a step failed with, or that it retries after."""
    if step.state == "completed":
        return None
    failed = payloads.get((step.id, EventType.STEP_FAILED))
    return failed or payloads.get((step.id, EventType.STEP_RETRYING))


async def fold_aside(events: Sequence[LoggedEvent]) -> tuple[Entity, ...]:
    """All entities of a log; of a long one a thread finds them."""
    return fold(events) if len(events) < _PAGE else await do_aside(partial(fold, events))


async def inspect_run(world: World, run_id: str) -> Inspection:
    """Look at a run.

    Raises:
        RunNotFoundError: no such run.
    """
    record = await world.storage.get_run(RunId(run_id))
    events = await read_log(world, record.run_id)
    entities = await fold_aside(events)
    return Inspection(
        record=record,
        events=events,
        entities=entities,
        chain=await world.snapshots.load(record.run_id),
        streams=await world.streams.list_streams(record.run_id),
    )


async def read_log(world: World, run_id: RunId, *, after: int = 0) -> tuple[LoggedEvent, ...]:
    """The log above a position."""
    events: list[LoggedEvent] = []
    while page := await world.storage.read_events(run_id, after=after, limit=_PAGE):
        events.extend(page)
        after = page[-1].position
    return tuple(events)


def record_json(record: RunRecord) -> Json:
    """A run's record as JSON types; ``output`` and ``error`` are null until there is one."""
    value = shown_payload(record.payload)
    return {
        "id": record.run_id,
        "status": str(record.status),
        "workflow": str(record.workflow),
        "output": value if record.status is RunStatus.COMPLETED else None,
        "error": value if record.status in (RunStatus.FAILED, RunStatus.CANCELLED) else None,
        "code": record.code,
        "moved_to": moved_to(record),
        "created_at": _time(record.created_at_ms),
        "started_at": _time(record.started_at_ms),
        "ended_at": _time(record.ended_at_ms),
        "cancel_at": _time(record.cancel_at_ms),
        "turn": record.turn,
        "position": record.position,
        "bundle": record.bundle,
        "engine": record.engine,
        "idempotency_key": record.idempotency_key,
        "attributes": as_json(record.attributes),
    }


def event_json(logged: LoggedEvent) -> Json:
    """An event as JSON types."""
    event = logged.event
    return {
        "position": logged.position,
        "type": str(event.type),
        "at": _time(event.at_ms),
        "entity": event.entity,
        "value": shown_payload(event.payload),
        "facts": as_json(event.facts),
    }


def _entity(entity: Entity) -> Json:
    fields: Json = {
        "id": entity.id,
        "status": entity.state,
        "at": entity.at,
        "created_at": _time(entity.created_ms),
        "ended_at": _time(entity.ended_ms),
    }
    match entity.kind:
        case EntityKind.STEP:
            fields |= {"step": entity.name, "attempts": entity.attempts, "lost": entity.losses}
        case EntityKind.WAIT:
            fields |= {"resume_at": _time(entity.resume_at_ms)}
        case EntityKind.HOOK:
            fields |= {"token": entity.name}
        case EntityKind.CHILD | EntityKind.WATCH:
            fields |= {"run_id": entity.name}
        case EntityKind.RUN | EntityKind.ABORT | EntityKind.CANCEL:
            pass
    return fields


def shown_payload(payload: bytes | None) -> Any:
    """A payload as JSON types; of one that cannot be read, the error in brackets."""
    if payload is None:
        return None
    try:
        return as_json(decode(payload))
    except Exception as exc:  # shown as what it is, not a reason to show nothing
        return f"({shown_text(exc) or type(exc).__name__})"


def _time(at_ms: int | None) -> str | None:
    """ISO 8601; a year that has not four digits has a sign and six, as in JavaScript."""
    if at_ms is None:
        return None
    if type(at_ms) is not int or not -_LAST_MS <= at_ms <= _LAST_MS:
        return f"({as_json(at_ms)} ms)"  # a damaged store, or a later version's
    cycles = at_ms // _CYCLE_MS  # which are alike: the first of them begins in 1970
    time = (_EPOCH + timedelta(milliseconds=at_ms % _CYCLE_MS)).isoformat()
    year = int(time[:4]) + 400 * cycles
    if 0 <= year <= 9999:
        return f"{year:04}{time[4:]}"
    return f"{'-' if year < 0 else '+'}{abs(year):06}{time[4:]}"
