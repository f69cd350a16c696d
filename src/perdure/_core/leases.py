"""Leases: which worker may handle an item, and until when.

Pure. Time is an argument (integer milliseconds, world clock); nothing here sleeps, reads a
clock or touches storage. Worlds call this in a transaction, on items that they read there.
Invariant: at most one live lease per item; a count of claims falls only where a claim is ended or
given back, never by a lease that runs out.
"""

from __future__ import annotations

from .._model.queue import Lease, LeaseEnd
from .._value_class import record_class
from ..errors import LeaseLostError

__all__ = ("Claimable", "Mailbox", "check_lease", "rearmed_due_ms")


@record_class
class Claimable:
    """An item that workers claim, as a world keeps it."""

    due_ms: int | None
    lease: Lease | None = None  # the latest that nobody ended; it may have run out
    claims: int = 0  # so far; of a wake the fruitless ones

    @property
    def claimable_ms(self) -> int | None:
        """From when it can be claimed; a claim that ran out is due since then."""
        return self.due_ms if self.lease is None else self.lease.expires_at_ms

    def is_claimable(self, now_ms: int) -> bool:
        """Whether it is due and unclaimed."""
        return self.claimable_ms is not None and self.claimable_ms <= now_ms

    def take(self, lease: Lease) -> None:
        """Give it to the holder of *lease*, and count the claim.

        Counting claims, not completions: a worker that dies must still cost one.
        """
        self.claims += 1
        self.lease = lease

    def uncount(self) -> None:
        """Let the claim not have counted; a commit may have begun the count anew meanwhile."""
        self.claims = max(0, self.claims - 1)

    def drop(self) -> None:
        """End the latest claim; the item itself stays as it is."""
        self.lease = None


@record_class
class Mailbox(Claimable):
    """A run's wake. While it is claimed ``due_ms`` is the time that was asked for meanwhile."""

    generation: int = 0

    def arm(self, due_ms: int) -> None:
        """Make it due at *due_ms* at the latest."""
        self.due_ms = due_ms if self.due_ms is None else min(self.due_ms, due_ms)
        self.generation += 1

    def take(self, lease: Lease) -> None:
        """Give it to the holder of *lease*; its due time is consumed, a later one starts afresh."""
        Claimable.take(self, lease)
        self.due_ms = None

    def end(self, end: LeaseEnd, *, now_ms: int, next_due_ms: int | None = None) -> None:
        """End the live claim and re-arm.

        Args:
            next_due_ms: a timer besides the one in *end*.

        Raises:
            LeaseLostError: the lease is no longer live; nothing was changed.
        """
        check_lease(self.lease, end.lease, now_ms=now_ms)
        timers = [due for due in (end.next_due_ms, next_due_ms) if due is not None]
        self.drop()
        self.claims = 0
        self.due_ms = rearmed_due_ms(
            generation=self.generation,
            claim_generation=end.generation,
            due_ms=self.due_ms,
            next_due_ms=min(timers, default=None),
            now_ms=now_ms,
        )

    def give_back(self, *, due_ms: int | None, ran: bool = True) -> None:
        """End a claim without an outcome: due at *due_ms*, or sooner if it was woken meanwhile.

        Args:
            ran: whether it is to count among the run's fruitless claims.
        """
        self.drop()
        if not ran:
            self.uncount()
        times = [due for due in (self.due_ms, due_ms) if due is not None]
        self.due_ms = min(times, default=None)


def check_lease(current: Lease | None, lease: Lease, *, now_ms: int) -> None:
    """Pass only the holder of the item's live lease.

    Raises:
        LeaseLostError: *lease* is not the item's latest lease, or has run out.
    """
    if current is None or current.token != lease.token or not current.is_live(now_ms=now_ms):
        raise LeaseLostError(lease.item)


def rearmed_due_ms(
    *,
    generation: int,
    claim_generation: int,
    due_ms: int | None,
    next_due_ms: int | None,
    now_ms: int,
) -> int | None:
    """When a wake whose claim just ended is due again; None: not before somebody wakes it.

    Args:
        generation: the mailbox's present generation.
        claim_generation: the generation the ended claim saw.
        due_ms: the mailbox's due time; None if it has none.
        next_due_ms: the time that the ender asks for; None for none.
    """
    if generation == claim_generation:
        return next_due_ms
    # Woken during the claim: the time it was woken for counts, and the next timer besides.
    wake_ms = now_ms if due_ms is None else due_ms
    return wake_ms if next_due_ms is None else min(wake_ms, next_due_ms)
