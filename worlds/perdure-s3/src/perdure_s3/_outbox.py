"""Outbox: bringing what a run has for others there.

Everybody may do it at any time, several at once: an event that is there already changes nothing.
"""

from __future__ import annotations

from perdure.model import Append, RunId

from ._runs import Runs
from ._txn import Txn

__all__ = ("deliver",)


async def deliver(runs: Runs, run_id: RunId) -> None:
    """Bring all that the run has for others there, and have it forget that.

    Raises:
        WorldUnavailableError: some of it may not be there; ask again.
    """
    head = await runs.read(run_id)
    if head is None or not head.outbox:
        return
    for notice in head.outbox:
        # Mypy infers no lambda with a default.
        await runs.change(notice.run_id, lambda txn, notice=notice: _absorb(txn, notice))  # type: ignore[misc]
    delivered = {(notice.run_id, notice.event.key) for notice in head.outbox}

    def forget(txn: Txn) -> None:
        if txn.found is not None:
            txn.found.outbox = [
                notice
                for notice in txn.found.outbox
                if (notice.run_id, notice.event.key) not in delivered
            ]

    await runs.change(run_id, forget)


def _absorb(txn: Txn, notice: Append) -> None:
    if txn.found is not None:
        txn.found.absorb(notice, now_ms=txn.now_ms)
