"""Transfer: a run as it leaves a world, and as it arrives in another.

Pure, and the same for every world. The run's pending work is written into the event that ends its
log here, so a departure that was cut short can be finished from the log alone, by anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cbor2

from .._model.events import Event, EventType, LoggedEvent
from .._model.hooks import HookRecord
from .._model.ids import EntityId, RunId
from .._model.queue import Message
from .._model.runs import RunOutcome, RunRecord, RunStatus
from .._model.transfer import Departure, PendingMessage, PendingWork, RunCopy
from ..errors import (
    HookTokenHeldError,
    RunBusyError,
    RunEndedError,
    RunExistsError,
    RunMovedError,
    RunWatchedError,
    WorldContractError,
    WorldUnavailableError,
)
from .plain import load_plain

if TYPE_CHECKING:
    from .book import Book
    from .claims import QueuedMessage
    from .leases import Claimable, Mailbox

__all__ = (
    "arrive",
    "arrived_already",
    "arrived_record",
    "check_here",
    "check_same_arrival",
    "check_tokens_free",
    "confirmed_record",
    "depart",
    "departed_outcome",
    "has_departed",
    "moved_event",
    "moved_key",
    "moved_to",
    "pending_message",
    "pending_work",
    "remains_of",
    "work_of",
)

_AWAY = (RunStatus.MOVING, RunStatus.MOVED)


def moved_key(position: int) -> str:
    """The key of the ``run_moved`` at *position* of a log."""
    return f"run/moved/{position}"


def moved_to(record: RunRecord) -> str | None:
    """The url of the world a run went to; None: it is not away."""
    if record.status not in _AWAY or record.payload is None:
        return None
    try:
        url = load_plain(record.payload, depth=0)
    except ValueError:  # it is away, still
        url = None
    return url if isinstance(url, str) else "(a url that cannot be read)"


def check_here(record: RunRecord) -> None:
    """Pass only a run that is not away.

    Raises:
        RunMovedError: it went to another world, or is on its way.
    """
    to = moved_to(record)
    if to is not None:
        raise RunMovedError(record.run_id, to=to, arrived=record.status is RunStatus.MOVED)


def has_departed(record: RunRecord, departure: Departure) -> bool:
    """Whether the run is away already, to where *departure* sends it.

    Raises:
        RunEndedError: it has ended here.
        RunMovedError: it went to another world.
    """
    to = moved_to(record)
    if to is None:
        if record.status.is_ended:
            raise RunEndedError(record.run_id, status=record.status)
        return False
    if to != departure.to:
        check_here(record)
    return True


def pending_message(
    message: Message, item: Claimable, *, losses: int, returned: int, now_ms: int
) -> PendingMessage:
    """A message as it waits, once a claim of it that nobody ended counts as lost."""
    due_ms, lease = item.due_ms or 0, item.lease
    if lease is not None:
        due_ms, losses = min(lease.expires_at_ms, now_ms), losses + 1
    return PendingMessage(
        message=message, due_ms=due_ms, claims=item.claims, losses=losses, returned=returned
    )


def pending_work(
    departure: Departure,
    wake: Mailbox,
    messages: Iterable[tuple[Message, Claimable, int, int]],
    hooks: Iterable[HookRecord],
    *,
    now_ms: int,
) -> PendingWork:
    """The run's pending work, free of claims: a turn that is under way is lost, so it is due.

    Args:
        messages: each with its claims, its lost ones and its returned ones.

    Raises:
        RunBusyError: a step is running, and *departure* is not to lose it.
    """
    items = list(messages)
    live = [
        (message.message_id, item.lease.expires_at_ms)
        for message, item, _, _ in items
        if item.lease is not None and item.lease.is_live(now_ms=now_ms)
    ]
    if live and not departure.lose_claims:
        names = tuple(sorted(name.partition("/")[2] for name, _ in live))
        raise RunBusyError(departure.run_id, steps=names, until_ms=max(at for _, at in live))
    due_ms = wake.due_ms if wake.lease is None else min(wake.lease.expires_at_ms, now_ms)
    pending = [
        pending_message(message, item, losses=losses, returned=returned, now_ms=now_ms)
        for message, item, losses, returned in items
    ]
    return PendingWork(
        wake_due_ms=due_ms,
        wake_generation=wake.generation,
        wake_claims=wake.claims,
        messages=tuple(sorted(pending, key=lambda one: one.message.message_id)),
        hooks=tuple(sorted(hooks, key=lambda hook: hook.token)),
    )


def moved_event(
    record: RunRecord, departure: Departure, work: PendingWork, *, url: str, now_ms: int
) -> Event:
    """The event that ends the log here.

    Args:
        url: of the world it leaves.
    """
    return Event(
        type=EventType.RUN_MOVED,
        key=moved_key(record.position + 1),
        at_ms=now_ms,
        payload=_pack(work),
        facts={"from": url, "to": departure.to},
    )


def departed_outcome(departure: Departure, *, now_ms: int) -> RunOutcome:
    """The run's outcome here until it is known to have arrived."""
    payload: bytes = cbor2.dumps(departure.to)
    return RunOutcome(status=RunStatus.MOVING, payload=payload, at_ms=now_ms)


def confirmed_record(record: RunRecord) -> RunRecord:
    """The run here once it is known to have arrived there.

    Raises:
        WorldContractError: it never left.
    """
    if record.status not in _AWAY:
        raise WorldContractError(f"run {record.run_id} has not departed ({record.status})")
    return replace(record, status=RunStatus.MOVED)


def arrived_record(copy: RunCopy) -> RunRecord:
    """The run where it arrives: as it was before it left, with the event of that."""
    record = copy.record
    status = RunStatus.RUNNING if record.turn else RunStatus.PENDING
    return replace(record, status=status, payload=None, ended_at_ms=None)


def work_of(copy: RunCopy) -> PendingWork:
    """The run's pending work, from the last event of its copy.

    Raises:
        WorldContractError: its log is not whole, or does not end with its departure.
    """
    record, events = copy.record, copy.events
    last = events[-1].event if events else None
    if (
        last is None
        or last.payload is None
        or (last.type, last.key) != (EventType.RUN_MOVED, moved_key(record.position))
        or [logged.position for logged in events] != [*range(1, record.position + 1)]
    ):
        raise WorldContractError(f"run {record.run_id}: its copy is not a whole departed run")
    try:
        return _unpack(last.payload)
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise WorldContractError(
            f"run {record.run_id}: what waited for it when it left cannot be read"
            f" ({type(exc).__name__}): its log is damaged, or of a later version"
        ) from exc


def check_same_arrival(record: RunRecord, at: int | None, copy: RunCopy) -> None:
    """Pass only a run that is here because this very copy has arrived before.

    Args:
        record: the run that is here.
        at: the position in its log of the key of this departure; None: it has no such event.

    Raises:
        RunExistsError: it is another.
        WorldContractError: the copy is not whole.
    """
    work_of(copy)
    there = copy.record
    same = (record.created_at_ms, record.workflow, record.bundle) == (
        there.created_at_ms,
        there.workflow,
        there.bundle,
    )
    if at != there.position or not same:
        raise RunExistsError(record.run_id, status=record.status)


def remains_of(record: RunRecord, log: Sequence[LoggedEvent]) -> bool:
    """Whether this record is the remains of the run with this log, left when it moved on from here.

    Remains hold nothing that the log does not hold: their log is an earlier part of it. A run that
    has moved on since this log ends is none, since its own log is longer.
    """
    at, created = record.position, log[0].event
    return (
        record.status in _AWAY
        and record.created_at_ms == created.at_ms
        and at <= len(log)
        and log[at - 1].event.key == moved_key(at)
    )


def check_tokens_free(work: PendingWork, holder: Callable[[str], HookRecord | None]) -> None:
    """Pass only if nobody holds the tokens that a run brings.

    Raises:
        HookTokenHeldError: another run does.
    """
    for hook in work.hooks:
        record = holder(hook.token)
        if record is not None:
            raise HookTokenHeldError(hook.token, run_id=record.run_id)


# --- books ----------------------------------------------------------------------------------


def depart(
    book: Book,
    departure: Departure,
    *,
    url: str,
    now_ms: int,
    bodies: Mapping[str, bytes] | None = None,
) -> RunRecord:
    """Depart as ``Transfer.depart`` promises; the book must know the run's hooks and messages.

    Args:
        url: of the world that the run leaves.
        bodies: message id → body, of messages whose body the book lacks.

    Raises:
        RunEndedError, RunMovedError, RunBusyError, RunWatchedError: as the contract says; nothing
            was changed.
        WorldUnavailableError: its outbox is not empty.
    """
    if has_departed(book.record, departure):
        return book.record
    if book.family:
        raise RunWatchedError(departure.run_id, others=book.family)
    if book.letters:
        reason = "it has something for other runs that is not there yet; try again"
        raise WorldUnavailableError(f"run {departure.run_id} cannot depart now: {reason}")
    assert book.wake is not None  # it has not ended
    whole = bodies or {}
    items = [
        (replace(q.message, body=whole.get(name, q.message.body)), q, q.losses, q.returned)
        for name, q in book.messages.items()
    ]
    work = pending_work(departure, book.wake, items, book.hooks.values(), now_ms=now_ms)
    event = moved_event(book.record, departure, work, url=url, now_ms=now_ms)
    book.leave(event, departed_outcome(departure, now_ms=now_ms))
    return book.record


def arrive(copy: RunCopy, *, holder: Callable[[str], HookRecord | None]) -> Book:
    """The book of a run that comes from another world; its streams are the world's to keep.

    Args:
        holder: returns the hook that holds a token here, or None.

    Raises:
        HookTokenHeldError: another run holds one that it brings.
        WorldContractError: the copy is not a whole departed run.
    """
    from .book import Book  # for a move alone
    from .leases import Mailbox

    work = work_of(copy)
    check_tokens_free(work, holder)
    return Book(
        record=arrived_record(copy),
        input_digest=hashlib.sha256(copy.events[0].event.payload or b"").digest(),
        wake=Mailbox(
            due_ms=work.wake_due_ms, generation=work.wake_generation, claims=work.wake_claims
        ),
        positions={logged.event.key: logged.position for logged in copy.events},
        written=list(copy.events),
        snapshots=list(copy.chain),
        hooks={hook.token: hook for hook in work.hooks},
        messages={one.message.message_id: _queued(one) for one in work.messages},
    )


def arrived_already(book: Book, copy: RunCopy) -> RunRecord:
    """The run that is here, if that is because the copy has arrived before.

    Raises:
        RunExistsError: it is another.
    """
    check_same_arrival(book.record, book.positions.get(moved_key(copy.record.position)), copy)
    return book.record


def _queued(one: PendingMessage) -> QueuedMessage:
    from .claims import QueuedMessage  # for a move alone

    return QueuedMessage(
        message=one.message,
        due_ms=one.due_ms,
        claims=one.claims,
        losses=one.losses,
        returned=one.returned,
    )


def _pack(work: PendingWork) -> bytes:
    data: bytes = cbor2.dumps(
        {
            "wake": [work.wake_due_ms, work.wake_generation, work.wake_claims],
            "messages": [
                [
                    one.message.message_id,
                    one.message.topic,
                    one.message.body,
                    one.due_ms,
                    one.claims,
                    one.losses,
                    one.returned,
                ]
                for one in work.messages
            ],
            "hooks": [
                [
                    hook.run_id,
                    hook.hook_id,
                    hook.token,
                    hook.metadata,
                    hook.is_webhook,
                    hook.created_at_ms,
                    hook.keep_until_ms,
                    hook.level,
                ]
                for hook in work.hooks
            ],
        }
    )
    return data


def _unpack(data: bytes) -> PendingWork:
    fields = load_plain(data, depth=3)
    due_ms, generation, claims = fields["wake"]
    return PendingWork(
        wake_due_ms=due_ms,
        wake_generation=generation,
        wake_claims=claims,
        messages=tuple(_message(*parts) for parts in fields["messages"]),
        hooks=tuple(_hook(*parts) for parts in fields["hooks"]),
    )


def _hook(
    run_id: str,
    hook_id: str,
    token: str,
    metadata: bytes | None,
    is_webhook: bool,
    created_at_ms: int,
    keep_until_ms: int | None,
    level: int,
) -> HookRecord:
    return HookRecord(
        run_id=RunId(run_id),
        hook_id=EntityId(hook_id),
        token=token,
        metadata=metadata,
        is_webhook=is_webhook,
        created_at_ms=created_at_ms,
        keep_until_ms=keep_until_ms,
        level=level,
    )


def _message(
    message_id: str, topic: str, body: bytes, due_ms: int, claims: int, losses: int, returned: int
) -> PendingMessage:
    message = Message(
        message_id=message_id, run_id=RunId(message_id.partition("/")[0]), topic=topic, body=body
    )
    return PendingMessage(
        message=message, due_ms=due_ms, claims=claims, losses=losses, returned=returned
    )
