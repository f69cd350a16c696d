"""Outbox: bringing what a run has for others there.

Everybody may do it at any time, several at once: an event that is there already changes nothing.
"""

from __future__ import annotations

from perdure.model import Append, RunId

from ._heads import Heads
from ._page import Page

__all__ = ("deliver",)


async def deliver(runs: Heads, run_id: RunId) -> None:
    """Bring all that the run has for others there, and have it forget that.

    Raises:
        WorldUnavailableError: some of it may not be there; ask again.
    """
    head = await runs.read(run_id)
    if head is None or not head.outbox:
        return
    for notice in head.outbox:
        # Mypy infers no lambda with a default.
        await runs.change(notice.run_id, lambda page, notice=notice: _absorb(page, notice))  # type: ignore[misc]
    delivered = {(notice.run_id, notice.event.key) for notice in head.outbox}

    def forget(page: Page) -> None:
        if page.found is not None:
            page.found.outbox = [
                notice
                for notice in page.found.outbox
                if (notice.run_id, notice.event.key) not in delivered
            ]

    await runs.change(run_id, forget)


def _absorb(page: Page, notice: Append) -> None:
    if page.found is not None:
        page.found.absorb(notice, now_ms=page.now_ms)
