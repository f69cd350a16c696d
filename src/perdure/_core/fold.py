"""Fold: the entities of a run, from the events of its log.

Pure and total: an event that its entity cannot take (a late duplicate, say) is skipped, so no
log can wedge a run. ``fold`` serves people and audits; the planner keeps ``OpenEntities``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .._model.events import Event, EventType, LoggedEvent
from .._model.ids import EntityId
from .._value_class import value_class
from .cancellation import steps_running
from .transitions import ENTITY_OF, TABLES, EntityKind, is_ended

__all__ = ("WITHDRAWN", "Entity", "fold", "was_put_away")

WITHDRAWN = "withdrawn"  # state of what a run that was asked to end waits for no more
_NAMES = {  # facts that name an entity
    EntityKind.STEP: "step",
    EntityKind.HOOK: "token",
    EntityKind.CHILD: "run_id",
    EntityKind.WATCH: "run_id",
    EntityKind.CANCEL: "run_id",
}
_WITHDRAWN = (EntityKind.STEP, EntityKind.WAIT, EntityKind.WATCH)
_STEP_ENDED = (EventType.STEP_COMPLETED, EventType.STEP_FAILED)


@value_class
class Entity:
    """A step, wait or hook as its events tell it."""

    kind: EntityKind
    id: EntityId
    state: str
    name: str  # step id, hook token, run id of a child or watch, "" for a wait
    at: str  # source position of the await that made it
    created_ms: int
    ended_ms: int | None = None
    attempts: int = 0  # executions of a step's body that were counted, lost ones included
    losses: int = 0  # of these, those whose worker was lost: they may have run, and did not count
    resume_at_ms: int | None = None  # waits


def fold(events: Iterable[LoggedEvent]) -> tuple[Entity, ...]:
    """All entities of a run in the order they were made, the run itself left out."""
    entities: dict[EntityId, Entity] = {}
    for logged in events:
        event = logged.event
        if event.type is EventType.CANCEL_REQUESTED:
            _withdraw(entities, event)
        kind = ENTITY_OF.get(event.type)  # None: of a later version of this package
        if kind is None or kind is EntityKind.RUN or event.entity is None:
            continue
        entity = entities.get(event.entity)
        if entity is not None and entity.kind is not kind:
            continue
        state = TABLES[kind].get(entity.state if entity else "absent", {}).get(event.type)
        if state is None:
            continue
        entities[event.entity] = (
            _created(kind, event.entity, state, event)
            if entity is None
            else _moved(entity, state, event)
        )
    return tuple(entities.values())


def _withdraw(entities: dict[EntityId, Entity], event: Event) -> None:
    """End what a run waited for when it was asked to end, but for steps that were running."""
    running = steps_running(event)
    for entity in entities.values():
        is_open = not is_ended(entity.kind, entity.state)
        if is_open and entity.kind in _WITHDRAWN and entity.id not in running:
            entities[entity.id] = replace(entity, state=WITHDRAWN, ended_ms=event.at_ms)


def was_put_away(events: Iterable[LoggedEvent], *, consumed: int) -> bool:
    """Whether a run's last turn surely left nothing of it running, and so wrote a snapshot.

    Args:
        events: all of its log.
        consumed: the position its last turn consumed.
    """
    running: set[EntityId | None] = set()
    for logged in events:
        event = logged.event
        if event.type is EventType.STEP_STARTED:
            running.add(event.entity)
        elif event.type in _STEP_ENDED and logged.position <= consumed:
            running.discard(event.entity)
    return not running


def _text(fact: object) -> str:
    """A fact that is to be a text; Python writes no long number in decimals."""
    if isinstance(fact, int) and not isinstance(fact, bool):
        return hex(fact)
    return str(fact or "")


def _created(kind: EntityKind, entity: EntityId, state: str, event: Event) -> Entity:
    facts = event.facts
    resume = facts.get("resume_at_ms")
    return Entity(
        kind=kind,
        id=entity,
        state=state,
        name=_text(facts.get(_NAMES.get(kind, ""))),
        at=_text(facts.get("at")),
        created_ms=event.at_ms,
        ended_ms=event.at_ms if is_ended(kind, state) else None,
        resume_at_ms=resume if isinstance(resume, int) else None,
    )


def _moved(entity: Entity, state: str, event: Event) -> Entity:
    attempt, losses = event.facts.get("attempt"), event.facts.get("lost")
    attempts = max(entity.attempts, attempt) if isinstance(attempt, int) else entity.attempts
    if event.type in _STEP_ENDED:
        attempts = max(attempts, 1)
    ended = event.at_ms if is_ended(entity.kind, state) else None
    if isinstance(losses, int):
        entity = replace(entity, losses=max(entity.losses, losses))
    return replace(entity, state=state, attempts=attempts, ended_ms=ended)
