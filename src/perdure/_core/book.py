"""Book: one run as a value that is read whole, changed in memory, and written whole or not at all.

For worlds whose transaction is one document (a conditional PUT, a file, a guarded row). Pure: the
world brings its stored document, the time and fresh tokens, and writes the book's fields after.
A call that raises has changed nothing, so that many calls can share one write and fail alone. Log
entries may stay behind in the store: a book needs the positions of the keys that a call may
repeat, no event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import final

from .._model.commit import Append, Appended, Committed, TurnCommit
from .._model.events import Event, EventType
from .._model.hooks import HookRecord
from .._model.ids import EntityId
from .._model.queue import Lease, LeaseEnd
from .._model.runs import NewRun, RunOutcome, RunRecord, RunStatus
from .._model.snapshot import Snapshot
from ..errors import (
    HookNotFoundError,
    IdempotencyConflictError,
    LeaseLostError,
    RunEndedError,
    StaleTurnError,
)
from .attributes import attributes_after, merged_attributes
from .cancellation import asked_record, reaches_children, withdraw
from .children import unfenced
from .hooks import (
    Holder,
    check_token,
    claim_hooks,
    free_hooks,
    hook_record,
    is_blocking,
    is_held,
    kept_hooks,
    keyed_event,
    revocation,
)
from .landing import (
    advanced_record,
    check_turn,
    conflict_event,
    created_event,
    ended_event,
    ended_record,
    fresh_record,
)
from .leases import Mailbox
from .mail import Mail

__all__ = ("Book",)

_FREES_HOOK = frozenset({EventType.HOOK_DISPOSED, EventType.HOOK_REVOKED})
_NEEDS_HOOK = frozenset({EventType.HOOK_RECEIVED, *_FREES_HOOK})


@final
@dataclass(slots=True, kw_only=True)
class Book(Mail):
    """A run, its wake and messages, the tokens it holds and its snapshots."""

    record: RunRecord  # replaced here, so declared here again
    input_digest: bytes
    snapshots: list[Snapshot] = field(default_factory=list[Snapshot])
    hooks: dict[str, HookRecord] = field(default_factory=dict[str, HookRecord])  # by token
    last_commit: tuple[str, Committed] | None = None

    @classmethod
    def create(cls, new: NewRun, *, due_ms: int | None, holder: Holder | None = None) -> Book:
        """A run with its first event, due at *due_ms*, and with the token it is started with.

        Args:
            holder: returns the hook of another run that blocks a token, or None.

        Raises:
            HookConflictError: another run holds that token.
        """
        claim = new.hook
        if claim is not None and holder is not None:
            check_token(claim, holder)
        book = cls(
            record=replace(fresh_record(new), position=0),
            input_digest=hashlib.sha256(new.input).digest(),
            wake=Mailbox(due_ms=due_ms, generation=1),
        )
        book._write(created_event(new))
        if claim is not None:
            book._write(keyed_event(claim, new.created_at_ms))
            record = hook_record(claim, new.run_id, now_ms=new.created_at_ms, level=new.level)
            book.hooks[claim.token] = record
        return book

    @classmethod
    def begin(
        cls, commit: TurnCommit, *, now_ms: int, holder: Holder, new_token: Callable[[], str]
    ) -> tuple[Book, Committed]:
        """A run that the commit of its first turn creates; its wake is not due before that says so.

        Args:
            commit: one with ``new``.
            holder: returns the hook of another run that holds a token, or None.

        Raises:
            StaleTurnError: as the contract says.
        """
        assert commit.new is not None
        book = cls.create(commit.new, due_ms=None)
        book._check_commit(commit)
        return book, book._land(commit, now_ms=now_ms, holder=holder, new_token=new_token)

    def blocking(self, token: str, *, now_ms: int) -> HookRecord | None:
        """The run's hook that has *token*, if no other run may have it now."""
        hook, has_ended = self.hooks.get(token), self.record.status.is_ended
        is_ours = hook is not None and is_blocking(hook, has_ended=has_ended, now_ms=now_ms)
        return hook if is_ours else None

    def check_same(self, new: NewRun) -> None:
        """Pass only a run that is this one, asked for again.

        Raises:
            IdempotencyConflictError: its workflow or input is another.
        """
        same = self.input_digest == hashlib.sha256(new.input).digest()
        if self.record.workflow != new.workflow or not same:
            raise IdempotencyConflictError(new.idempotency_key or new.run_id, run_id=new.run_id)

    def append(self, append: Append, *, now_ms: int) -> Appended:
        """Append an event as ``Storage.append`` promises.

        Raises:
            RunEndedError: the run has ended.
            LeaseLostError: ``append.lease`` is no longer live.
            HookNotFoundError: the event needs a hook that is not live.
            AttributeLimitError: the run would have too many.
        """
        event = append.event
        first = self.positions.get(event.key)
        if first is None:
            self._check_append(append, now_ms=now_ms)
            if event.type is EventType.CANCEL_REQUESTED:
                event = self._withdraw(event, now_ms=now_ms)
            self._write(event)
        elif self.record.status.is_ended:
            return Appended(position=first, duplicate=True)
        self._end_appended(append, now_ms=now_ms)
        if append.wake:
            self.arm(now_ms)
        if first is not None:
            return Appended(position=first, duplicate=True)
        if event.type in _FREES_HOOK and event.entity is not None:
            free_hooks(self.hooks, {event.entity})
        if event.type is EventType.ATTRIBUTES_SET:
            attributes = merged_attributes(self.record.attributes, event.facts)
            self.record = replace(self.record, attributes=attributes)
        if reaches_children(event):
            self._post_cancel(append.event)
        if event.type is EventType.RUN_CANCELLED:
            end = RunOutcome(status=RunStatus.CANCELLED, payload=event.payload, at_ms=event.at_ms)
            self.record = ended_record(self.record, end)
            self._end(now_ms)
        return Appended(position=self.record.position, duplicate=False)

    def absorb(self, notice: Append, *, now_ms: int) -> None:
        """Take an event from another run's outbox in; one that has no place here is dropped."""
        event = notice.event
        if event.type is EventType.CHILD_ENDED:
            end = unfenced(event, self.record)
            if end is None or end.entity is None:
                return  # another run had this id then
            self.watching.pop(end.entity, None)
            event, notice = end, replace(notice, event=end)
        if event.key in self.positions:
            return  # brought here before, and its wake with it
        if self.record.status.is_ended and event.type is EventType.HOOK_REVOKED and event.entity:
            free_hooks(self.hooks, {event.entity})  # kept till now; the log stays as it is
            return
        with suppress(RunEndedError, HookNotFoundError):
            self.append(notice, now_ms=now_ms)

    def commit(
        self, commit: TurnCommit, *, now_ms: int, holder: Holder, new_token: Callable[[], str]
    ) -> Committed:
        """Commit a turn of a run that is there, as ``Storage.commit`` promises.

        Args:
            holder: returns the hook of another run that holds a token, or None.

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
        claims = claim_hooks(self.hooks, commit, holder, now_ms=now_ms, level=self.record.level)
        conflicts = claims.conflicts
        if commit.starts or commit.watches:
            self._post_children(commit)
        self.outbox.extend(
            revocation(hook, commit.run_id, now_ms=now_ms) for hook in claims.revoked
        )
        self.outbox.extend(commit.cancels)
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
        self.wake.claims = 0
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
        """Write the last event the run has here, and end it; it takes its hooks along."""
        self._write(event)
        self.record = ended_record(self.record, outcome)
        self._drop_claims()
        self.hooks = {}

    def _withdraw(self, event: Event, *, now_ms: int) -> Event:
        """Have the run end within a time. Returns the request as it is logged."""
        items = [(name, queued, queued.returned) for name, queued in self.messages.items()]
        event, withdrawn = withdraw(event, items, now_ms=now_ms)
        for message_id in withdrawn:
            del self.messages[message_id]
        self.record = asked_record(self.record, event)
        return event

    def _check_append(self, append: Append, *, now_ms: int) -> None:
        if self.record.status.is_ended:
            raise RunEndedError(append.run_id, status=self.record.status)
        if append.lease is not None:
            self._held(append.lease, now_ms=now_ms)
        event = append.event
        if event.type in _NEEDS_HOOK and not is_held(self.hooks, event.entity):
            raise HookNotFoundError(event.entity or event.key)
        attributes_after(append.run_id, self.record.attributes, [event])

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
        check_turn(
            commit,
            status=record.status,
            turn=record.turn,
            position=record.position,
            cancel_at_ms=record.cancel_at_ms,
        )
        for event in commit.deliveries:
            if event.key in self.positions:
                raise StaleTurnError(record.run_id, reason=f"{event.key} is in the log already")
        attributes_after(record.run_id, record.attributes, commit.events)

    def _write_turn(
        self, commit: TurnCommit, conflicts: Mapping[EntityId, HookRecord]
    ) -> Mapping[str, str]:
        """Write the commit's events. Returns the run's attributes after them."""
        attributes = self.record.attributes
        for event in (*commit.deliveries, *commit.events):
            holder = conflicts.get(event.entity) if event.entity is not None else None
            if event.type is EventType.HOOK_CREATED and holder is not None:
                event = conflict_event(event, holder, commit)
            if self._write(event) and event.type is EventType.ATTRIBUTES_SET:
                attributes = merged_attributes(attributes, event.facts)
        if commit.outcome is not None:
            self._write(ended_event(commit.outcome))
        return attributes

    def _finish_turn(
        self, commit: TurnCommit, conflicts: bool, *, now_ms: int, new_token: Callable[[], str]
    ) -> tuple[Lease, ...]:
        """Settle messages, leases and the wake. Returns the leases of messages sent leased."""
        if commit.outcome is not None:
            self._end(now_ms)
            return ()
        leases = [
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
        return tuple(lease for lease in leases if lease is not None)

    def _end(self, now_ms: int) -> None:
        self._drop_claims()
        self.hooks = kept_hooks(self.hooks, now_ms=now_ms)
        self._post_end(now_ms)
