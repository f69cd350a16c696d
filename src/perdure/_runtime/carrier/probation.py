"""Probation: the checks that a heap of a snapshot must pass at each turn before its word counts.

A snapshot is executable state, and its digest proves nothing without a key: a store may be damaged,
or written by others. So an answer of such a heap that no sound one would return is a
``SnapshotRejectedError``; the run is then made from its log, which costs time alone. A heap that
was made from the log is never looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

from ..._core.ledger import Ledger
from ..._model.commands import (
    Answer,
    AwaitAbort,
    DeliveryOutput,
    Failed,
    Interrupted,
    OpenHook,
    ScheduleStep,
    StartWait,
    WatchRun,
)
from ..._model.events import Event, EventType, LoggedEvent
from ..._model.ids import EntityId
from ..._protocol.codec import decode_error
from ...errors import PerdureError, SnapshotRejectedError

__all__ = ("UnconfirmedFailureError", "check_answer", "check_open", "refusal")

_SHOWN_CHARS = 200  # of an error
_TABLES: dict[EventType, Callable[[Ledger], Mapping[EntityId, object]]] = {
    EventType.STEP_COMPLETED: lambda ledger: ledger.steps,
    EventType.STEP_FAILED: lambda ledger: ledger.steps,
    EventType.WAIT_COMPLETED: lambda ledger: ledger.waits,
    EventType.CHILD_STARTED: lambda ledger: ledger.runs,
    EventType.CHILD_ENDED: lambda ledger: ledger.runs,
}


@final
class UnconfirmedFailureError(SnapshotRejectedError):
    """The run would fail by the word of a snapshot that has no tag: its log is asked first."""


def refusal(cause: Exception) -> SnapshotRejectedError:
    """The error of a snapshot that cannot be thawed, or whose heap cannot be used."""
    if isinstance(cause, SnapshotRejectedError):
        return cause
    text = f"{type(cause).__name__}: {cause}".splitlines()[0]
    return SnapshotRejectedError(f"its heap cannot be used: {text[:_SHOWN_CHARS]}")


def check_answer(deliveries: Sequence[LoggedEvent], answer: Answer, ledger: Ledger) -> None:
    """Pass only an answer that a sound heap may return to these deliveries.

    Args:
        ledger: the run's, before them.

    Raises:
        SnapshotRejectedError: it trapped, ran past the deadline, answered other deliveries than it
            was told, was told of an entity that its fold lacks, or makes one that is there already.
    """
    match answer.outcome:
        case Interrupted():
            raise SnapshotRejectedError("a turn of its heap passed the deadline")
        case Failed(error) if not answer.turns:
            raise SnapshotRejectedError(f"its heap fails: {_message(error)}")
        case _:
            pass
    answered = [output.position for output in answer.turns]
    positions = [logged.position for logged in deliveries]
    if answer.outcome is not None:
        positions = positions[: len(answered)]  # the rest is left undelivered
    if not answered or answered != positions or answer.consumed != answered[-1]:
        raise SnapshotRejectedError("its heap answers what it was not told")
    entities: set[EntityId] = set()
    for logged, output in zip(deliveries, answer.turns, strict=False):
        _check_delivery(logged.event, ledger, entities)
        _check_commands(output, ledger, entities)


def _check_delivery(event: Event, ledger: Ledger, entities: set[EntityId]) -> None:
    table, entity = _TABLES.get(event.type), event.entity
    if table is None or entity is None or entity in entities:
        return
    if entity not in table(ledger) and ledger.cancel is None:  # else it may have been withdrawn
        raise SnapshotRejectedError(f"its fold lacks {entity}")


def _check_commands(output: DeliveryOutput, ledger: Ledger, entities: set[EntityId]) -> None:
    for command in output.commands:
        if isinstance(command, ScheduleStep | StartWait | OpenHook | WatchRun | AwaitAbort):
            name = command.id
            if name in entities or any(name in table for table in _tables(ledger)):
                raise SnapshotRejectedError(f"its heap asks for {name[:_SHOWN_CHARS]} again")
            entities.add(name)


def check_open(answer: Answer, ledger: Ledger) -> None:
    """Pass only a heap that waits for as much as its fold says.

    Args:
        ledger: the run's, after the answer.

    Raises:
        SnapshotRejectedError: one of them is wrong.
    """
    count = sum([len(table) for table in _tables(ledger)])
    if answer.outcome is None and answer.open != count:
        raise SnapshotRejectedError(f"its heap waits for {answer.open}, its fold for {count}")


def _tables(ledger: Ledger) -> tuple[Mapping[EntityId, object], ...]:
    """All that are open, by kind."""
    return ledger.steps, ledger.waits, ledger.hooks, ledger.runs, ledger.aborts


def _message(error: bytes) -> str:
    try:
        failure = decode_error(error)
    except PerdureError as exc:
        return str(exc)[:_SHOWN_CHARS]
    return str(failure)[:_SHOWN_CHARS]
