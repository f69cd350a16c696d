"""Queue: the runs that are due, and the steps that wait for a worker.

Claims belong to the world handle that made them. At most one live lease per item; nothing is
handed out before it is due; an item whose lease has run out can be claimed again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .._model.ids import RunId
from .._model.queue import Lease, LeaseEnd, MessageClaim, NewMessage, WakeClaim

__all__ = ("Queue",)


class Queue(ABC):
    """Wakes and step messages.

    A lease is dead *visibility_ms* after the claim. *topics* are those of messages: queue and step.
    """

    @abstractmethod
    async def wake(self, run_id: RunId, *, due_ms: int) -> None:
        """Make the run due at *due_ms* at the latest, and raise its generation.

        An earlier due time stands. A claim that is live when this is called does not swallow it.
        An ended or unknown run is passed over.
        """

    @abstractmethod
    async def claim_wakes(
        self, *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[WakeClaim, ...]:
        """Lease up to *limit* due runs, each to one caller; the longest due first, equals by id.

        Runs above ``perdure.model.LEVEL`` are passed over, however long they are due and however
        many: workers of a later version carry them. They are listed, read, woken and cancelled as
        others are.

        A limit below 1 claims nothing, at once.

        However often its claims were lost a run stays due. ``fruitless_claims`` counts this one and
        the lost ones; it begins anew at a commit and when a claim is finished.

        Waits up to *wait_ms* for the first, or until the caller's ``Ending``
        (``perdure.worldkit.waiting``) has come; an empty answer is no error. Cancelling may leave a
        lease that runs out by itself: a worker that drains ends the wait instead, and gives back
        claims that came of it.
        """

    @abstractmethod
    async def send(self, messages: Sequence[NewMessage]) -> None:
        """Queue messages of one run, all or none; an id that is there already is passed over."""

    @abstractmethod
    async def claim_messages(
        self, topics: Sequence[str], *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[MessageClaim, ...]:
        """Lease up to *limit* due messages of these topics; longest due first, equals by id.

        A limit below 1 claims nothing, at once.

        However often its claims were lost a message stays, and ``losses`` is exact.

        Waits up to *wait_ms*, and is cancelled, as ``claim_wakes``; an empty answer is no error.
        """

    @abstractmethod
    async def extend(self, leases: Sequence[Lease], *, visibility_ms: int) -> tuple[Lease, ...]:
        """Renew the leases that are still live until now + *visibility_ms*; lost ones are left out.

        Returns the renewed leases.
        """

    @abstractmethod
    async def finish(self, end: LeaseEnd) -> None:
        """End a claim; a wake is re-armed as ``LeaseEnd`` says, a message is gone.

        Raises:
            LeaseLostError: the lease is no longer live; nothing was changed.
        """

    @abstractmethod
    async def release(self, lease: Lease, *, delay_ms: int = 0, ran: bool = False) -> None:
        """Give a claim back, due again after *delay_ms*.

        With *ran* False the claim counts among a message's ``returned``, and not in a wake's
        ``fruitless_claims``.

        Raises:
            LeaseLostError: the lease is no longer live; nothing was changed.
        """

    @abstractmethod
    async def count_waiting(self, topics: Sequence[str] | None = None) -> dict[str, int]:
        """How many due, unclaimed messages each topic has; due, unclaimed wakes under ``""``:
        those that ``claim_wakes`` would hand out.
        """
