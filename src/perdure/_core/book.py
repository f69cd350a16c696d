"""Book: one run as a value that is read whole, changed in memory, and written whole or not at all.

For worlds whose transaction is one document (a conditional PUT, a file, a guarded row). Pure: the
world brings what it has stored, the time and fresh tokens, and writes what the book holds after.
A call that raises has changed nothing, so that many calls can share one write and fail alone. Log
entries may stay behind in the store: a book needs the positions of the keys that a call may
repeat, no event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, final

from .._model.commit import Append, Appended, Committed, HookRecord, TurnCommit
from .._model.events import Event, EventType, LoggedEvent
from .._model.ids import EntityId
from .._model.queue import Lease, LeaseEnd, Message, MessageClaim, NewMessage, WakeClaim
from .._model.runs import NewRun, RunOutcome, RunRecord, RunStatus
from .._model.snapshot import Snapshot
from ..errors import (
    HookNotFoundError,
    IdempotencyConflictError,
    LeaseLostError,
    RunEndedError,
    StaleTurnError,
)
from .landing import (
    advanced_record,
    check_turn,
    conflict_event,
    created_event,
    ended_event,
    ended_record,
    fresh_record,
    merged_attributes,
)
from .leases import Claimable, Mailbox, check_lease

__all__ = ("Book", "Holder", "QueuedMessage")

Holder: TypeAlias = Callable[[str], "HookRecord | None"]
_NEEDS_HOOK = frozenset({EventType.HOOK_RECEIVED, EventType.HOOK_DISPOSED})


@dataclass(slots=True, kw_only=True)
class QueuedMessage(Claimable):
    """A step message and its counters."""

    message: Message
    lost: int = 0
    returned: int = 0


@final
@dataclass(slots=True, kw_only=True)
class Book:
    """A run, its wake and messages, the tokens it holds and its snapshots."""

    record: RunRecord
    input_digest: bytes
    wake: Mailbox | None  # None: the run has ended
    positions: MutableMapping[str, int] = field(default_factory=dict[str, int])  # by event key
    written: list[LoggedEvent] = field(default_factory=list[LoggedEvent])  # since it was read
    snapshots: list[Snapshot] = field(default_factory=list[Snapshot])
    hooks: dict[str, HookRecord] = field(default_factory=dict[str, HookRecord])  # by token
    messages: dict[str, QueuedMessage] = field(default_factory=dict[str, QueuedMessage])
    last_commit: tuple[str, Committed] | None = None

    @classmethod
    def create(cls, new: NewRun, *, due_ms: int | None) -> Book:
        """A run with its first event, due at *due_ms*."""
        book = cls(
            record=replace(fresh_record(new), position=0),
            input_digest=hashlib.sha256(new.input).digest(),
            wake=Mailbox(due_ms=due_ms, generation=1),
        )
        book._write(created_event(new))
        return book

    @classmethod
    def begin(
        cls, commit: TurnCommit, *, now_ms: int, holder: Holder, new_token: Callable[[], str]
    ) -> tuple[Book, Committed]:
        """A run that the commit of its first turn creates; its wake is not due before that says so.

        Args:
            commit: one with ``new``.
            holder: who else holds a token.

        Raises:
            StaleTurnError: as the contract says.
        """
        assert commit.new is not None
        book = cls.create(commit.new, due_ms=None)
        book._check_commit(commit)
        return book, book._land(commit, now_ms=now_ms, holder=holder, new_token=new_token)

    def check_same(self, new: NewRun) -> None:
        """Pass only a run that is this one, asked for again.

        Raises:
            IdempotencyConflictError: its workflow or input is another.
        """
        same = self.input_digest == hashlib.sha256(new.input).digest()
        if self.record.workflow != new.workflow or not same:
            raise IdempotencyConflictError(new.idempotency_key or new.run_id, run_id=new.run_id)

    # --- storage ------------------------------------------------------------------------------

    def append(self, append: Append, *, now_ms: int) -> Appended:
        """What ``Storage.append`` does.

        Raises:
            RunEndedError: the run has ended.
            LeaseLostError: ``append.lease`` is no longer live.
            HookNotFoundError: the event needs a hook that is not live.
        """
        event = append.event
        first = self.positions.get(event.key)
        if first is None:
            self._check_append(append, now_ms=now_ms)
            self._write(event)
        elif self.record.status.is_ended:
            return Appended(position=first, duplicate=True)
        self._end_appended(append, now_ms=now_ms)
        if append.wake:
            self.arm(now_ms)
        if first is not None:
            return Appended(position=first, duplicate=True)
        if event.type is EventType.HOOK_DISPOSED and event.entity is not None:
            self._free_hooks({event.entity})
        if event.type is EventType.RUN_CANCELLED:
            end = RunOutcome(status=RunStatus.CANCELLED, payload=event.payload, at_ms=event.at_ms)
            self.leave(event, end)
        return Appended(position=self.record.position, duplicate=False)

    def commit(
        self, commit: TurnCommit, *, now_ms: int, holder: Holder, new_token: Callable[[], str]
    ) -> Committed:
        """What ``Storage.commit`` does to a run that is there.

        Args:
            holder: who else holds a token.

        Raises:
            StaleTurnError, RunEndedError: as the contract says.
        """
        if self.last_commit is not None and self.last_commit[0] == commit.commit_id:
            return self.last_commit[1]
        self.check_commit(commit)
        return self._land(commit, now_ms=now_ms, holder=holder, new_token=new_token)

    def check_commit(self, commit: TurnCommit) -> None:
        """Pass only a commit that would land, or that has landed last.

        Raises:
            StaleTurnError, RunEndedError: as the contract says.
        """
        if self.last_commit is not None and self.last_commit[0] == commit.commit_id:
            return
        if commit.new is not None:
            raise StaleTurnError(commit.run_id, reason="it is there already")
        self._check_commit(commit)

    def _land(
        self, commit: TurnCommit, *, now_ms: int, holder: Holder, new_token: Callable[[], str]
    ) -> Committed:
        before, first = self.record.position, len(self.written)
        conflicts = self._claim_hooks(commit, holder)
        attributes = self._write_turn(commit, conflicts)
        self.record = advanced_record(
            self.record,
            commit,
            position=self.record.position,
            first_at_ms=self.written[first].event.at_ms if len(self.written) > first else None,
            attributes=attributes,
            now_ms=now_ms,
        )
        assert self.wake is not None  # or the check had raised: the run has ended
        self.wake.attempt = 0
        if commit.snapshot is not None:
            self.keep_snapshot(commit.snapshot)
        leases = self._finish_turn(commit, bool(conflicts), now_ms=now_ms, new_token=new_token)
        committed = Committed(
            turn=self.record.turn,
            position=self.record.position,
            first_position=before + 1,
            leases=leases,
            conflicts=tuple(conflicts),
        )
        self.last_commit = (commit.commit_id, committed)
        return committed

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep it as the run's newest, or pass it over."""
        newest = self.snapshots[-1].turn if self.snapshots else None
        if newest is not None and snapshot.turn <= newest:
            return
        if snapshot.parent_turn is None:
            self.snapshots = [snapshot]
        elif snapshot.parent_turn == newest:
            self.snapshots = [*self.snapshots, snapshot]

    def leave(self, event: Event, outcome: RunOutcome) -> None:
        """Write the last event the run has here, and end it."""
        self._write(event)
        self.record = ended_record(self.record, outcome)
        self._end()

    # --- queue --------------------------------------------------------------------------------

    def arm(self, due_ms: int) -> None:
        """Make the run due at *due_ms* at the latest, unless it has ended."""
        if self.wake is not None:
            self.wake.arm(due_ms)

    def claim_wake(self, lease: Lease) -> WakeClaim:
        """Give the wake, which is claimable, to the holder of *lease*."""
        assert self.wake is not None
        self.wake.take(lease)
        return WakeClaim(
            run_id=self.record.run_id,
            lease=lease,
            generation=self.wake.generation,
            attempt=self.wake.attempt,
        )

    def claim_message(self, lease: Lease) -> MessageClaim:
        """Give a message, which is claimable, to the holder of *lease*."""
        queued = self.messages[lease.item]
        queued.lost += queued.lease is not None
        queued.take(lease)
        return MessageClaim(
            message=queued.message,
            lease=lease,
            attempt=queued.attempt,
            lost=queued.lost,
            returned=queued.returned,
        )

    def send(self, new: NewMessage, *, now_ms: int, token: str | None = None) -> Lease | None:
        """Queue a message unless its id is there or the run has ended; leased if it has a token."""
        if new.message_id in self.messages or self.wake is None:
            return None
        message = Message(
            message_id=new.message_id, run_id=new.run_id, topic=new.topic, body=new.body
        )
        queued = self.messages[new.message_id] = QueuedMessage(message=message, due_ms=new.due_ms)
        if token is None or new.lease_ms is None:
            return None
        lease = Lease(
            item=new.message_id,
            token=token,
            is_wake=False,
            expires_at_ms=now_ms + new.lease_ms,
        )
        queued.take(lease)
        return lease

    def extend(self, lease: Lease, *, now_ms: int, until_ms: int) -> Lease:
        """Renew a live lease.

        Raises:
            LeaseLostError: it is no longer live.
        """
        item = self._held(lease, now_ms=now_ms)
        item.lease = replace(lease, expires_at_ms=until_ms)
        return item.lease

    def finish(self, end: LeaseEnd, *, now_ms: int, next_due_ms: int | None = None) -> None:
        """End a live claim; a wake is re-armed, a message is gone.

        Raises:
            LeaseLostError: the lease is no longer live.
        """
        item = self._held(end.lease, now_ms=now_ms)
        if isinstance(item, Mailbox):
            item.end(end, now_ms=now_ms, next_due_ms=next_due_ms)
        else:
            del self.messages[end.lease.item]

    def release(self, lease: Lease, *, now_ms: int, delay_ms: int, ran: bool) -> None:
        """Give a live claim back.

        Raises:
            LeaseLostError: the lease is no longer live.
        """
        item = self._held(lease, now_ms=now_ms)
        if isinstance(item, Mailbox):
            item.give_back(due_ms=now_ms + delay_ms, ran=ran)
            return
        assert isinstance(item, QueuedMessage)
        item.lease, item.due_ms = None, now_ms + delay_ms
        item.returned += not ran

    # --- within -------------------------------------------------------------------------------

    def _held(self, lease: Lease, *, now_ms: int) -> Claimable:
        item: Claimable | None = None
        if not lease.is_wake:
            item = self.messages.get(lease.item)
        elif lease.item == self.record.run_id:
            item = self.wake
        if item is None:
            raise LeaseLostError(lease.item)
        check_lease(item.lease, lease, now_ms=now_ms)
        return item

    def _write(self, event: Event) -> bool:
        if event.key in self.positions:
            return False
        position = self.record.position + 1
        self.positions[event.key] = position
        self.written.append(LoggedEvent(position=position, event=event))
        self.record = replace(self.record, position=position)
        return True

    def _check_append(self, append: Append, *, now_ms: int) -> None:
        if self.record.status.is_ended:
            raise RunEndedError(append.run_id, status=self.record.status)
        if append.lease is not None:
            self._held(append.lease, now_ms=now_ms)
        event = append.event
        if event.type in _NEEDS_HOOK and event.entity not in self._hook_ids():
            raise HookNotFoundError(event.entity or event.key)

    def _end_appended(self, append: Append, *, now_ms: int) -> None:
        lease, delay_ms = append.lease, append.release_delay_ms
        if lease is None:
            return
        try:
            if delay_ms is not None:
                self.release(lease, now_ms=now_ms, delay_ms=delay_ms, ran=True)
            elif not lease.is_wake:
                self.finish(LeaseEnd(lease=lease), now_ms=now_ms)
            else:
                self._held(lease, now_ms=now_ms).lease = None
        except LeaseLostError:
            return  # a repeated append: the first one ended it

    def _check_commit(self, commit: TurnCommit) -> None:
        record = self.record
        check_turn(commit, status=record.status, turn=record.turn, position=record.position)
        for event in commit.deliveries:
            if event.key in self.positions:
                raise StaleTurnError(record.run_id, reason=f"{event.key} is in the log already")

    def _claim_hooks(self, commit: TurnCommit, holder: Holder) -> dict[EntityId, HookRecord]:
        """Take the tokens that are free; gives the holders of those that are not, by our hook."""
        self._free_hooks(commit.hooks_released)
        conflicts: dict[EntityId, HookRecord] = {}
        for claim in commit.hooks_claimed:
            held = self.hooks.get(claim.token) or holder(claim.token)
            if held is not None and held.run_id == commit.run_id and claim.token not in self.hooks:
                held = None  # the store's word on what this commit has just released
            if held is None:
                self.hooks[claim.token] = HookRecord(
                    run_id=commit.run_id,
                    hook_id=claim.hook_id,
                    token=claim.token,
                    metadata=claim.metadata,
                    is_webhook=claim.is_webhook,
                )
            elif (held.run_id, held.hook_id) != (commit.run_id, claim.hook_id):
                conflicts[claim.hook_id] = held
        self._free_hooks(commit.hooks_released)  # those claimed just now, too
        return conflicts

    def _write_turn(
        self, commit: TurnCommit, conflicts: Mapping[EntityId, HookRecord]
    ) -> Mapping[str, str]:
        """Write the commit's events; gives the run's attributes after them."""
        attributes = self.record.attributes
        for event in (*commit.deliveries, *commit.events):
            held = conflicts.get(event.entity) if event.entity is not None else None
            if event.type is EventType.HOOK_CREATED and held is not None:
                event = conflict_event(event, held)
            if self._write(event) and event.type is EventType.ATTRIBUTES_SET:
                attributes = merged_attributes(attributes, event.facts)
        if commit.outcome is not None:
            self._write(ended_event(commit.outcome))
        return attributes

    def _finish_turn(
        self, commit: TurnCommit, conflicts: bool, *, now_ms: int, new_token: Callable[[], str]
    ) -> tuple[Lease, ...]:
        """Messages, leases and the wake; gives the leases of messages that were sent leased."""
        if commit.outcome is not None:
            self._end()
            return ()
        sent = [
            self.send(new, now_ms=now_ms, token=new_token() if new.lease_ms is not None else None)
            for new in commit.messages
        ]
        armed = False
        for end in commit.leases:
            ours = end.lease.is_wake and end.lease.item == commit.run_id
            try:
                self.finish(end, now_ms=now_ms, next_due_ms=commit.wake_at_ms if ours else None)
            except LeaseLostError:
                continue
            armed |= ours
        if not armed and commit.wake_at_ms is not None:
            self.arm(commit.wake_at_ms)
        if conflicts:
            self.arm(now_ms)
        return tuple(lease for lease in sent if lease is not None)

    def _hook_ids(self) -> set[EntityId]:
        return {hook.hook_id for hook in self.hooks.values()}

    def _free_hooks(self, hook_ids: Collection[EntityId]) -> None:
        for token, hook in list(self.hooks.items()):
            if hook.hook_id in hook_ids:
                del self.hooks[token]

    def _end(self) -> None:
        self.wake = None
        self.hooks = {}
        self.messages = {}
