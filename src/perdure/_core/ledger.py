"""Ledger: the open entities of a run, as the planner needs them.

Pure. It rides in every snapshot, so that a thaw reads no old events: it has the open entities and
the rolling digest of the deliveries, and nothing of entities that have ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import assert_never

from .._model.commands import (
    Abort,
    AskHook,
    AwaitAbort,
    CancelRun,
    Command,
    DisposeHook,
    OpenHook,
    ScheduleStep,
    SetAttributes,
    StartChild,
    StartWait,
    WatchRun,
)
from .._model.events import Event, EventType
from .._model.ids import EntityId
from .._value_class import record_class
from .cancellation import deadline_of

__all__ = ("KEYED_HOOK", "Ledger", "next_digest")

_OF_END = ("run_id", "status", "code", "token")
_TOLD_FACTS: Mapping[EventType, tuple[str, ...]] = {  # besides the payload
    EventType.CHILD_STARTED: _OF_END,
    EventType.CHILD_CONFLICT: _OF_END,
    EventType.CHILD_ENDED: _OF_END,
    EventType.CANCEL_REQUESTED: ("deadline_ms", "running", "retrying"),
}
KEYED_HOOK = EntityId("hook_0")  # of a run that was started with a token; no guest makes this id

_ENDS_STEP = frozenset({EventType.STEP_COMPLETED, EventType.STEP_FAILED})
_ENDS_RUN = frozenset({EventType.CHILD_STARTED, EventType.CHILD_CONFLICT, EventType.CHILD_ENDED})
_ENDS_HOOK = frozenset({EventType.HOOK_CONFLICT, EventType.HOOK_DISPOSED, EventType.HOOK_REVOKED})


def next_digest(digest: bytes, event: Event) -> bytes:
    """The rolling digest after one more delivery."""
    head = f"{event.type}\0{event.entity or ''}\0{event.at_ms}\0".encode()
    if event.type in _TOLD_FACTS:
        facts, names = event.facts, _TOLD_FACTS[event.type]
        head += "\0".join([str(facts.get(name) or "") for name in names]).encode() + b"\0"
    return hashlib.blake2b(digest + head + (event.payload or b""), digest_size=16).digest()


@record_class
class Ledger:
    """The open entities of a run. Mutable: owned by the one turn that works on it."""

    steps: dict[EntityId, str]  # entity -> step id
    waits: dict[EntityId, int]  # entity -> resume_at_ms
    hooks: dict[EntityId, str]  # entity -> token
    digest: bytes
    runs: dict[EntityId, str] = field(default_factory=dict[EntityId, str])  # entity -> run id
    aborts: dict[EntityId, str] = field(default_factory=dict[EntityId, str])  # entity -> position
    cancel: tuple[int, bytes | None] | None = None  # deadline and reason, once the guest was told

    @classmethod
    def empty(cls) -> Ledger:
        """Nothing open, nothing delivered."""
        return cls(steps={}, waits={}, hooks={}, digest=b"")

    def copy(self) -> Ledger:
        """One to work on; this one stays as it is."""
        return replace(
            self,
            steps=dict(self.steps),
            waits=dict(self.waits),
            hooks=dict(self.hooks),
            runs=dict(self.runs),
            aborts=dict(self.aborts),
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open: then nothing can ever be delivered."""
        return not (self.steps or self.waits or self.hooks or self.runs or self.aborts)

    def next_due_ms(self) -> int | None:
        """When the earliest wait is due, or the run is to be ended."""
        if self.cancel is None:
            return min(self.waits.values(), default=None)
        return min([*self.waits.values(), self.cancel[0]])

    def due_waits(self, now_ms: int) -> list[EntityId]:
        """Open waits whose time has come, in the order they came due."""
        if not self.waits:
            return []
        due = [entity for entity, at in self.waits.items() if at <= now_ms]
        due.sort(key=self.waits.__getitem__)
        return due

    def deliver(self, event: Event) -> None:
        """Note one delivery to the guest."""
        self.digest = next_digest(self.digest, event)
        if event.entity is None:
            self._begin(event)
            return
        if event.type in _ENDS_STEP:
            self.steps.pop(event.entity, None)
        elif event.type is EventType.WAIT_COMPLETED:
            self.waits.pop(event.entity, None)
        elif event.type in _ENDS_HOOK:
            self.hooks.pop(event.entity, None)
        elif event.type in _ENDS_RUN:
            self.runs.pop(event.entity, None)
        elif event.type is EventType.ABORT_RECEIVED:
            self.aborts.pop(event.entity, None)

    def _begin(self, event: Event) -> None:
        """Note what comes to the run itself: a keyed start's token, a request to end."""
        if event.type is EventType.CANCEL_REQUESTED:
            self.cancel = deadline_of(event), event.payload
            self.drop([*self.steps, *self.waits, *(e for e in self.runs if e[:6] == "watch_")])
        token = event.facts.get("hook") if event.type is EventType.RUN_CREATED else None
        if isinstance(token, str):
            self.hooks[KEYED_HOOK] = token

    def drop(self, entities: Iterable[EntityId]) -> None:
        """Wait for these no more, since the guest does not."""
        for entity in entities:
            self.steps.pop(entity, None)
            self.waits.pop(entity, None)
            self.runs.pop(entity, None)

    def note(self, commands: Iterable[Command]) -> None:
        """Note the guest's commands."""
        for command in commands:
            match command:
                case ScheduleStep():
                    self.steps[command.id] = command.step
                case StartWait():
                    self.waits[command.id] = command.resume_at_ms
                case OpenHook():
                    self.hooks[command.id] = command.token
                case DisposeHook():
                    self.hooks.pop(command.id, None)
                case WatchRun():
                    self.runs[command.id] = command.run_id
                case StartChild():
                    if command.asks:
                        self.runs[command.id] = command.run_id
                case Abort():
                    self.aborts.pop(command.id, None)
                case AwaitAbort():
                    self.aborts[command.id] = command.at
                case AskHook() | CancelRun() | SetAttributes():
                    pass
                case _:
                    assert_never(command)
