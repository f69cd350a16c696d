"""Commands: a guest's requests in a turn, and the state in which a turn left it.

Commands are imperative; the events that record them are in the past tense. Payloads are opaque
CBOR bytes. ``at`` is the source position of the await (``checkout.ts:7:19``), for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .._value_class import value_class
from .ids import EntityId

__all__ = (
    "Abort",
    "Answer",
    "AskHook",
    "AwaitAbort",
    "CancelRun",
    "Command",
    "Completed",
    "DeliveryOutput",
    "DisposeHook",
    "Failed",
    "Interrupted",
    "OpenHook",
    "Outcome",
    "ScheduleStep",
    "SetAttributes",
    "StartChild",
    "StartWait",
    "WatchRun",
)


@value_class
class ScheduleStep:
    """Run a step."""

    id: EntityId
    step: str
    args: bytes
    at: str


@value_class
class StartWait:
    """Deliver ``wait_completed`` when this time has come."""

    id: EntityId
    resume_at_ms: int
    at: str


@value_class
class OpenHook:
    """Claim a token and deliver the payloads that are sent to it."""

    id: EntityId
    token: str
    metadata: bytes | None
    webhook: bool
    at: str
    keep_ms: int = 0  # the token stays blocked so long after the hook was made, past the run's end
    force: bool = False  # take the token from another run


@value_class
class AskHook:
    """Deliver ``hook_registered`` once the hook has its token."""

    id: EntityId  # of the hook


@value_class
class DisposeHook:
    """Free a hook's token."""

    id: EntityId


@value_class
class Abort:
    """Record that the guest aborted a signal that steps may have."""

    id: EntityId  # abort_5
    reason: bytes


@value_class
class AwaitAbort:
    """Keep the run for the abort of a signal that others may abort: the code listens to it."""

    id: EntityId  # abort_5
    at: str


@value_class
class StartChild:
    """Create a run of the same bundle."""

    id: EntityId  # child_3
    entry: str  # "module.ts#export"
    name: str  # of its workflow
    input: bytes
    attributes: Mapping[str, str]
    token: str | None  # of a keyed start
    run_id: str
    asks: bool  # deliver whether it was created
    at: str


@value_class
class WatchRun:
    """Deliver ``child_ended`` once this run has ended."""

    id: EntityId  # watch_4
    run_id: str
    at: str


@value_class
class CancelRun:
    """Cancel another run, or ask it to end."""

    id: EntityId  # cancel_5
    run_id: str
    reason: bytes | None
    graceful_ms: int | None  # None: at once
    children: bool  # those that it started, too
    at: str


@value_class
class SetAttributes:
    """Merge into the run's attributes; None removes."""

    id: EntityId  # attributes_4: the guest's one counter, for the event's key
    changes: Mapping[str, str | None]
    at: str


Command: TypeAlias = (
    ScheduleStep
    | StartWait
    | OpenHook
    | AskHook
    | DisposeHook
    | Abort
    | AwaitAbort
    | CancelRun
    | SetAttributes
    | StartChild
    | WatchRun
)


@value_class
class DeliveryOutput:
    """The guest's commands and console lines after one delivery."""

    position: int
    commands: tuple[Command, ...]
    console: tuple[tuple[str, str], ...]  # (level, text)


@value_class(kw_only=False)
class Completed:
    """The workflow returned."""

    value: bytes


@value_class(kw_only=False)
class Failed:
    """The workflow threw, or went past a limit."""

    error: bytes


@value_class(kw_only=False)
class Interrupted:
    """The wall-clock flag was seen; the VM must be discarded."""


Outcome: TypeAlias = "Completed | Failed | Interrupted"


@value_class
class Answer:
    """One guest call's answer."""

    turns: tuple[DeliveryOutput, ...]
    consumed: int  # position of the last delivery processed
    outcome: Outcome | None
    unhandled: tuple[bytes, ...]
    instructions: int
    heap_bytes: int
    clock_ms: int
    open: int  # entities the guest still waits for
