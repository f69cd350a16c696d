"""Commit: the changes of one turn as one value, and the world's answer.

A ``TurnCommit`` lands whole or not at all. The same ``commit_id`` again gets the first answer,
so an ambiguous time-out is resolved by asking again.
"""

from __future__ import annotations

from .._value_class import value_class
from .children import ChildStart, Watch
from .events import Event
from .hooks import HookClaim
from .ids import EntityId, RunId
from .queue import Lease, LeaseEnd, NewMessage
from .runs import NewRun, RunOutcome
from .snapshot import Snapshot

__all__ = ("Append", "Appended", "Committed", "TurnCommit")


@value_class
class Append:
    """An event from outside a turn.

    With *lease*, the event lands only if the lease is live, and ends it: the item is gone, or,
    with *release_delay_ms*, due again after that long (a retry).
    """

    run_id: RunId
    event: Event
    wake: bool = True  # make the run due at once
    lease: Lease | None = None
    release_delay_ms: int | None = None


@value_class
class Appended:
    """Where an appended event is."""

    position: int
    duplicate: bool  # the key was there already; *position* is the first one's


@value_class
class TurnCommit:
    """The changes of one turn, to be written together."""

    run_id: RunId
    commit_id: str  # random, unique to this commit, also when it is asked again
    turn: int  # the run's turn number it builds on
    expected_position: int  # the log's last position the turn knew of
    consumed: int  # deliveries consumed through, the inline ones of this commit included
    log_digest: bytes
    deliveries: tuple[Event, ...] = ()  # ran inline, told to the guest, not yet in the log
    events: tuple[Event, ...] = ()  # the guest's commands, and the run's own
    snapshot: Snapshot | None = None  # of this turn, or of an earlier one
    messages: tuple[NewMessage, ...] = ()
    hooks_claimed: tuple[HookClaim, ...] = ()
    hooks_released: tuple[EntityId, ...] = ()
    outcome: RunOutcome | None = None
    wake_at_ms: int | None = None  # the run's next timer; None if it has none
    leases: tuple[LeaseEnd, ...] = ()
    starts: tuple[ChildStart, ...] = ()
    watches: tuple[Watch, ...] = ()
    cancels: tuple[Append, ...] = ()  # of other runs
    cancel_at_ms: int | None = None  # the deadline that the turn knew of
    new: NewRun | None = None  # create the run in the same write; the turn is its first


@value_class
class Committed:
    """A commit that landed."""

    turn: int  # the run's turn number after it
    position: int  # the log's last position after it
    first_position: int  # of the first event it wrote; position + 1 if it wrote none
    leases: tuple[Lease, ...] = ()  # for messages sent with lease_ms, in the order sent
    conflicts: tuple[EntityId, ...] = ()  # hooks whose token another run holds
