"""Plan: a turn's commit as statements, decided from the run's row and the other rows it depends on.

Pure: nothing is read or run here. A plan starts from one of three rows, as ``_turn`` chooses: the
row that was read, that of a run which the commit itself creates, or the one that a commit of a
sequence expects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from typing import Any, final

from perdure.errors import LeaseLostError, StaleTurnError
from perdure.model import (
    LEVEL,
    Committed,
    EntityId,
    Event,
    EventType,
    HookClaim,
    HookRecord,
    Lease,
    LeaseEnd,
    NewMessage,
    NewRun,
    TurnCommit,
)
from perdure.worldkit.pure import (
    attributes_after,
    conflict_event,
    ended_event,
    hook_changes,
    hook_record,
    make_committed,
    make_lease,
    takes_over,
)
from perdure.worldkit.values import record_class, value_class

from ._hooks import INSERT_HOOK, hook_values
from ._messages import EMPTY, END_MESSAGE, INLINE, MAX_INLINE_BYTES
from ._runs import Wake, pack_committed
from ._schema import Row, pack_map, unpack_map, unreadable

__all__ = ("NOTHING_READ", "ExpectedRow", "Landing", "Reads", "RunRow", "plan")

_ATTRIBUTES_SET = EventType.ATTRIBUTES_SET
_FREE_HOOK = "DELETE FROM hooks WHERE n = ? AND hook_id = ?"
_LET_GO = dict.fromkeys(("wake_due_ms", "wake_token", "wake_expires_ms", "leased_ms", *INLINE))


@final
@record_class(kw_only=False)
class RunRow:
    """A run's row as it was read, or as it is about to be created."""

    wake: Wake
    turn: int
    position: int
    inline_name: str | None
    inline_token: str | None
    inline_expires_ms: int | None
    status: str
    started_at_ms: int | None
    attributes: bytes | None
    commit_id: str | None
    committed: bytes | None
    leased_ms: int | None
    cancel_at_ms: int | None = None

    COLUMNS = (
        f"{Wake.COLUMNS}, turn, position, inline_name, inline_token, inline_expires_ms, status,"
        " started_at_ms, attributes, commit_id, committed, leased_ms, cancel_at_ms"
    )

    @property
    def n(self) -> int:
        """The run's number; 0: it has none yet."""
        return self.wake.n

    @classmethod
    def read(cls, row: Row) -> RunRow:
        """The row in ``COLUMNS``."""
        return cls(Wake(*row[:6]), *row[6:])

    @classmethod
    def of(cls, new: NewRun) -> RunRow:
        """That of a run that is about to be created, its first event in its log."""
        attributes, wake = pack_map(new.attributes), Wake(0, None, 1, None, None, 0)
        return cls(
            *(wake, 0, 1),
            *(None, None, None),
            *("pending", None, attributes),
            *(None, None, None),
        )


@final
class ExpectedRow:
    """A run's row as a commit expects it: the part that the plan of such a commit depends on."""

    __slots__ = ("inline_expires_ms", "inline_token", "n", "position", "turn")

    inline_name = ""  # another than the next message's
    status = "running"
    started_at_ms = 0  # some time
    attributes = None  # which it does not change
    leased_ms = 0  # before the next message's lease runs out
    wake = None  # to which it does nothing

    def __init__(self, n: int, turn: int, position: int, token: str, expires_ms: int) -> None:
        self.n = n
        self.turn = turn
        self.position = position
        self.inline_token = token
        self.inline_expires_ms = expires_ms


@final
@value_class(kw_only=False)
class Reads:
    """The rows that a commit depends on besides the run's."""

    holders: Mapping[str, HookRecord] = field(default_factory=dict[str, HookRecord])  # by token
    names: Collection[str] = ()  # of the commit's messages that are there
    keys: Collection[str] | None = None  # of its events that are logged; None: it is tried


NOTHING_READ = Reads()


@final
class Landing:
    """All that a commit writes."""

    __slots__ = ("columns", "committed", "events", "messages", "revoked", "rings", "statements")

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.columns: dict[str, Any] = {}  # of the run's row
        self.messages: list[Row] = []  # rows, without the run's number
        self.statements: list[tuple[str, Row]] = []  # the number is the first value
        self.rings: list[str] = []
        self.revoked: list[HookRecord] = []  # by force
        self.committed: Committed


def plan(
    commit: TurnCommit,
    row: RunRow | ExpectedRow,
    reads: Reads,
    *,
    now_ms: int,
    new_token: Callable[[], str],
) -> Landing:
    """All that *commit* writes.

    Raises:
        StaleTurnError: a delivery is in the log already.
        WorldContractError: the row is damaged.
    """
    landing = Landing([*commit.deliveries, *commit.events])
    columns, outcome = landing.columns, commit.outcome
    conflicts: tuple[EntityId, ...] = ()
    if commit.hooks_claimed or commit.hooks_released:
        conflicts = _claim_hooks(landing, commit, reads.holders, now_ms)
    if outcome is not None:
        landing.events.append(ended_event(outcome))
    if reads.keys is not None:
        landing.events = _new_events(commit, landing.events, reads.keys)
    leases: tuple[Lease, ...] = ()
    if outcome is None:
        leases = _send(landing, commit, row, reads.names, now_ms, new_token)
    if row.wake is not None:
        _set_wake(landing, commit, row.wake, row.inline_token, now_ms, bool(conflicts))
    for event in landing.events:
        if event.type is _ATTRIBUTES_SET:
            columns["attributes"] = _attributes(commit, row, landing.events)
            break
    landing.committed = committed = make_committed(
        turn=row.turn + 1,
        position=row.position + len(landing.events),
        first_position=row.position + 1,
        leases=leases,
        conflicts=conflicts,
    )
    columns["turn"] = committed.turn
    columns["position"] = committed.position
    columns["consumed"] = commit.consumed
    columns["log_digest"] = commit.log_digest
    columns["commit_id"] = commit.commit_id
    columns["committed"] = pack_committed(committed)
    if row.started_at_ms is None:
        columns["started_at_ms"] = landing.events[0].at_ms if landing.events else now_ms
    if outcome is not None:
        columns.update(_LET_GO)
        columns["status"] = outcome.status
        columns["payload"] = outcome.payload
        columns["ended_at_ms"] = outcome.at_ms
        if outcome.code is not None:
            columns["code"] = outcome.code
    elif row.status != "running":
        columns["status"] = "running"
    return landing


def _send(
    landing: Landing,
    commit: TurnCommit,
    row: RunRow | ExpectedRow,
    names: Collection[str],
    now_ms: int,
    new_token: Callable[[], str],
) -> tuple[Lease, ...]:
    """Send the commit's messages; the leases of those that are sent leased."""
    columns, here = landing.columns, row.inline_name
    for end in commit.leases:
        expires_ms = row.inline_expires_ms
        if end.lease.token == row.inline_token and expires_ms is not None and now_ms < expires_ms:
            columns.update(EMPTY)
            here = None  # there is room again
    leases: list[Lease] = []
    taken_names = set(names)
    first_ms = row.leased_ms
    for new in commit.messages:
        item, lease_ms = new.message_id, new.lease_ms
        name = item.partition("/")[2]
        if name == row.inline_name or name == here or name in taken_names:
            continue
        token = expires_ms = None
        if lease_ms is not None:
            token, expires_ms = new_token(), now_ms + lease_ms
            leases.append(
                make_lease(item=item, token=token, is_wake=False, expires_at_ms=expires_ms)
            )
            if first_ms is None or expires_ms < first_ms:
                columns["leased_ms"] = first_ms = expires_ms
        if here is None and token is not None and len(new.body) <= MAX_INLINE_BYTES:
            here = columns["inline_name"] = name
            columns["inline_topic"] = new.topic
            columns["inline_body"] = new.body
            columns["inline_due_ms"] = new.due_ms
            columns["inline_token"] = token
            columns["inline_expires_ms"] = expires_ms
        else:
            taken_names.add(name)
            _queue(landing, name, new, token, expires_ms)
    return tuple(leases)


def _queue(
    landing: Landing, name: str, new: NewMessage, token: str | None, expires_ms: int | None
) -> None:
    attempt = int(token is not None)
    place = (name, new.message_id, new.topic, new.body, new.due_ms)
    landing.messages.append((*place, token, expires_ms, attempt))
    if token is None:
        landing.rings.append("messages")


def _set_wake(
    landing: Landing,
    commit: TurnCommit,
    wake: Wake,
    inline_token: str | None,
    now_ms: int,
    has_conflicts: bool,
) -> None:
    """End the commit's leases but the inline message's; set the wake, and its count anew."""
    armed = False
    for end in commit.leases:
        lease = end.lease
        if lease.token == inline_token:
            continue
        if not lease.is_wake:
            name = lease.item.partition("/")[2]
            landing.statements.append((END_MESSAGE, (name, lease.token, now_ms)))
        elif lease.item == commit.run_id:
            armed |= _end_wake(wake, end, commit.wake_at_ms, now_ms)
    if not armed and commit.wake_at_ms is not None:
        wake.arm(commit.wake_at_ms)
    if has_conflicts:
        wake.arm(now_ms)
    columns = landing.columns
    if wake.attempt or wake.dirty:
        columns["wake_attempt"] = 0
    if wake.dirty and commit.outcome is None:
        columns["wake_due_ms"] = wake.due_ms
        columns["wake_generation"] = wake.generation
        columns["wake_token"] = wake.token
        columns["wake_expires_ms"] = wake.expires_ms
        if wake.token is None and wake.due_ms is not None:
            landing.rings.append("wakes")


def _end_wake(wake: Wake, end: LeaseEnd, next_due_ms: int | None, now_ms: int) -> bool:
    try:
        wake.end(end, now_ms=now_ms, next_due_ms=next_due_ms)
    except LeaseLostError:
        return False
    return True


def _claim_hooks(
    landing: Landing, commit: TurnCommit, holders: Mapping[str, HookRecord], now_ms: int
) -> tuple[EntityId, ...]:
    """Claim and free tokens in order; returns the hooks whose token another has, logged as such."""
    run_id, by_token = commit.run_id, dict(holders)
    conflicts: dict[EntityId | None, HookRecord] = {}
    for change in hook_changes(commit):
        if not isinstance(change, HookClaim):
            landing.statements.append((_FREE_HOOK, (change,)))
            by_token = {
                token: hook
                for token, hook in by_token.items()
                if (hook.run_id, hook.hook_id) != (run_id, change)
            }
            continue
        holder = by_token.get(change.token)
        if holder is not None and takes_over(change, holder, run_id):
            landing.revoked.append(holder)
            holder = None
        if holder is None:
            hook = hook_record(change, run_id, now_ms=now_ms, level=LEVEL)  # which nobody asks here
            by_token[change.token] = hook
            landing.statements.append((INSERT_HOOK, hook_values(hook)))
        elif (holder.run_id, holder.hook_id) != (run_id, change.hook_id):
            conflicts[change.hook_id] = holder
    for index, event in enumerate(landing.events):
        barrier = conflicts.get(event.entity)
        if event.type is EventType.HOOK_CREATED and barrier is not None:
            landing.events[index] = conflict_event(event, barrier, commit)
    return tuple([hook_id for hook_id in conflicts if hook_id is not None])


def _new_events(commit: TurnCommit, events: list[Event], keys: Collection[str]) -> list[Event]:
    """Those whose key is not in the log; a delivery's has to be new."""
    all_keys, new = set(keys), list[Event]()
    for index, event in enumerate(events):
        if event.key not in all_keys:
            all_keys.add(event.key)
            new.append(event)
        elif index < len(commit.deliveries):
            raise StaleTurnError(commit.run_id, reason=f"{event.key} is in the log already")
    return new


def _attributes(commit: TurnCommit, row: RunRow | ExpectedRow, events: list[Event]) -> bytes | None:
    """The run's attributes after these events."""
    try:
        attributes: dict[str, str] = unpack_map(row.attributes)
    except ValueError as exc:
        raise unreadable(f"the record of run {commit.run_id}", exc) from exc
    return pack_map(attributes_after(commit.run_id, attributes, events))
