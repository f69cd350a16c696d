"""Transfer: a run on its way from one world to another, as values.

A run that departs leaves everything it had waiting in one event of its log, ``run_moved``, which
is the last of its log where it was and goes with it to where it arrives.
"""

from __future__ import annotations

from .._value_class import value_class
from .events import LoggedEvent
from .hooks import HookRecord
from .ids import RunId
from .queue import Message
from .runs import RunRecord
from .snapshot import Snapshot

__all__ = ("Departure", "PendingMessage", "PendingWork", "RunCopy", "StreamCopy", "StreamWrite")


@value_class
class Departure:
    """A run to be sent to another world."""

    run_id: RunId
    to: str  # the other world's url, without secrets
    lose_claims: bool = False  # steps that are running count as lost, instead of barring it


@value_class
class PendingMessage:
    """A step message that nobody holds, and its counters."""

    message: Message
    due_ms: int
    claims: int
    losses: int
    returned: int


@value_class
class PendingWork:
    """The wake and messages that wait for a departing run, and the hooks that it holds."""

    wake_due_ms: int | None  # None: not before somebody wakes it
    wake_generation: int
    wake_claims: int
    messages: tuple[PendingMessage, ...]
    hooks: tuple[HookRecord, ...]


@value_class
class StreamWrite:
    """The answer to one write to a stream, so that the same write again gets it too."""

    writer: str
    sequence: int
    length: int  # of the stream after it
    attempt: int = 1  # the writer's; lower ones of it are refused


@value_class
class StreamCopy:
    """A stream, whole."""

    name: str
    chunks: tuple[bytes, ...]
    closed: bool
    writes: tuple[StreamWrite, ...]  # in the order of (length, writer, attempt, sequence)


@value_class
class RunCopy:
    """A departed run, whole; its log ends with the ``run_moved`` of this departure."""

    record: RunRecord  # as it is where it departed from
    events: tuple[LoggedEvent, ...]
    chain: tuple[Snapshot, ...]
    streams: tuple[StreamCopy, ...]
