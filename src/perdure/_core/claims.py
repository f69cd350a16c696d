"""Claims: the wake and the messages of a run, and the leases on them.

Pure. A call that raises has changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .._model.queue import Lease, LeaseEnd, Message, MessageClaim, NewMessage, WakeClaim
from .._model.runs import RunRecord
from ..errors import LeaseLostError
from .leases import Claimable, Mailbox, check_lease

__all__ = ("Claims", "QueuedMessage")


@dataclass(slots=True, kw_only=True)
class QueuedMessage(Claimable):
    """A step message and its counters."""

    message: Message
    losses: int = 0
    returned: int = 0


@dataclass(slots=True, kw_only=True)
class Claims:
    """A run, its wake and its messages."""

    record: RunRecord
    wake: Mailbox | None  # None: the run has ended
    messages: dict[str, QueuedMessage] = field(default_factory=dict[str, QueuedMessage])

    def is_due(self, now_ms: int) -> bool:
        """Whether its wake can be claimed, by workers that know how to carry it."""
        return self.wake is not None and self.record.is_known and self.wake.is_claimable(now_ms)

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
            fruitless_claims=self.wake.claims,
        )

    def claim_message(self, lease: Lease) -> MessageClaim:
        """Give a message, which is claimable, to the holder of *lease*."""
        queued = self.messages[lease.item]
        queued.losses += queued.lease is not None
        queued.take(lease)
        return MessageClaim(
            message=queued.message,
            lease=lease,
            claims=queued.claims,
            losses=queued.losses,
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

    def _drop_claims(self) -> None:
        """The run has ended: there is nothing to claim any more."""
        self.wake = None
        self.messages = {}

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
