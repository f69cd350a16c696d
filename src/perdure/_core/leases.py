"""Leases: which worker may handle an item, and until when.

Pure. Time is an argument (integer milliseconds, world clock); nothing here sleeps, reads a
clock or touches storage. Worlds call this in a transaction.
Invariant: at most one live lease per item; ``attempt`` never falls.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._model.queue import Lease
from ..errors import LeaseHeldError, LeaseLostError

__all__ = ("Claimed", "acquire_lease", "check_lease", "rearmed_due_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A claim, and the counters it leaves behind."""

    lease: Lease
    attempt: int
    lost: int


def acquire_lease(
    current: Lease | None,
    *,
    fresh: Lease,
    attempt: int,
    lost: int,
    now_ms: int,
) -> Claimed:
    """Claim an item after its last lease, if any, has lapsed.

    Args:
        current: the item's latest lease that nobody ended; None if there is none.
        fresh: the lease to give.
        attempt: claims so far.
        lost: claims so far that lapsed without an end.

    Raises:
        LeaseHeldError: *current* is live, whoever holds it.
    """
    if current is not None and current.is_live(now_ms=now_ms):
        raise LeaseHeldError(current.item, until_ms=current.expires_at_ms)
    # Counting claims, not completions: a worker that dies must still cost one.
    return Claimed(lease=fresh, attempt=attempt + 1, lost=lost + (current is not None))


def check_lease(current: Lease | None, held: Lease, *, now_ms: int) -> None:
    """Pass only the holder of the item's live lease.

    Raises:
        LeaseLostError: *held* is not the item's latest lease, or has run out.
    """
    if current is None or current.token != held.token or not current.is_live(now_ms=now_ms):
        raise LeaseLostError(held.item)


def rearmed_due_ms(
    *, generation: int, seen: int, due_ms: int | None, next_due_ms: int | None, now_ms: int
) -> int | None:
    """When a wake whose claim just ended is due again; None: not before somebody wakes it.

    Args:
        generation: the mailbox's present generation.
        seen: the generation the ended claim saw.
        due_ms: the mailbox's due time; None if it has none.
        next_due_ms: what the ender asks for.
    """
    if generation == seen:
        return next_due_ms
    # Woken during the claim: what it was woken for counts, and the next timer besides.
    woken = now_ms if due_ms is None else due_ms
    return woken if next_due_ms is None else min(woken, next_due_ms)
