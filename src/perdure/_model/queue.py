"""Queue values: wakes, step messages and the leases on them.

A *wake* is a run's one mailbox: a due time and a generation that rises with every wake. A
*message* asks some worker to run one step. A *lease* is one worker's claim on either.
Invariants: at most one live lease per item; nothing before it is due; a count of claims falls only
where a claim is ended or given back, never by a lease that runs out.
"""

from __future__ import annotations

from .._value_class import value_class
from .ids import RunId

__all__ = ("Lease", "LeaseEnd", "Message", "MessageClaim", "NewMessage", "WakeClaim")


@value_class
class Lease:
    """One worker's claim on one wake or message."""

    item: str  # the message's id, or the run's id for a wake
    token: str  # unique to this claim; a later claim has another
    is_wake: bool
    expires_at_ms: int  # dead *at* this instant, not after it

    def is_live(self, *, now_ms: int) -> bool:
        """Whether this lease still bars every other claim at *now_ms*."""
        return now_ms < self.expires_at_ms


@value_class
class LeaseEnd:
    """How a claim is ended by the worker that holds it.

    For a wake: it is due again at once if its generation has moved past *generation*, else at
    *next_due_ms* (None: not before somebody wakes it). For a message: it is gone.
    """

    lease: Lease
    generation: int = 0  # wakes only: the generation the claim saw
    next_due_ms: int | None = None  # wakes only


@value_class
class WakeClaim:
    """A run that is due, leased to the caller."""

    run_id: RunId
    lease: Lease
    generation: int
    fruitless_claims: int  # lost or given back ``ran``; this one included


@value_class
class NewMessage:
    """A step to run, to be sent."""

    message_id: str  # the run's id, "/", a name; sending an id twice is one message
    run_id: RunId
    topic: str  # queue name + "/" + step id
    body: bytes
    due_ms: int
    lease_ms: int | None = None  # in a commit: hand it back leased to the committer this long


@value_class
class Message:
    """A step to run, as stored."""

    message_id: str
    run_id: RunId
    topic: str
    body: bytes


@value_class
class MessageClaim:
    """A step to run, leased to the caller."""

    message: Message
    lease: Lease
    claims: int  # so far, this one included; the first is 1
    losses: int  # earlier claims whose lease ran out without an end or a release
    returned: int  # earlier claims given back unrun
