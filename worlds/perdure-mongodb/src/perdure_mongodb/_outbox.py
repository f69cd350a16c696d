"""Outbox: what a run has for others lies in its document until it is there.

Everybody may bring it there at any time, several at once: an event that is there already changes
nothing. ``outbox_at_ms`` says from when that is to be done by anybody: its writer has died.
"""

from __future__ import annotations

import time
from typing import final

from perdure.errors import RunNotFoundError
from perdure.model import Append, RunId

from ._driver import Document
from ._handle import Handle
from ._lander import Lander, Work
from ._notices import notices_of
from ._page import Needs, Page
from ._schema import ANY_TIME

__all__ = ("Post",)

EVERY = 1.0  # seconds between looks for what writers left
_AT_ONCE = 20  # runs whose outbox is brought away in one look


@final
class Post:
    """Brings what runs have for others there."""

    def __init__(self, handle: Handle, lander: Lander) -> None:
        self._handle = handle
        self._lander = lander
        self._looked_at = -EVERY

    def __repr__(self) -> str:
        return f"<Post of {self._handle.url}>"

    async def deliver(self, run_id: RunId) -> None:
        """Bring all that the run has for others there, and have it forget that.

        Raises:
            WorldUnavailableError: some of it may not be there; ask again.
        """
        document = await self._handle.db.runs.find_one({"_id": run_id}, {"outbox": 1})
        notices = [] if document is None else notices_of(document)
        for notice in notices:
            await self._land(notice.run_id, notice)
        delivered = {(notice.run_id, notice.event.key) for notice in notices}

        def forget(page: Page, now_ms: int) -> None:
            page.book.outbox = [
                notice
                for notice in page.book.outbox
                if (notice.run_id, notice.event.key) not in delivered
            ]

        if notices:
            await self._lander.land(run_id, Work(needs=Needs(), act=forget))

    async def look(self) -> None:
        """Deliver what writers that have died left, unless that was done just now."""
        now = time.monotonic()
        if now - self._looked_at < EVERY:
            return
        self._looked_at = now
        due: Document = {"outbox_at_ms": {"$gte": ANY_TIME, "$lte": self._handle.now_ms()}}
        runs = self._handle.db.runs.find(due, {"_id": 1}).limit(_AT_ONCE)
        for run in await runs.to_list(None):
            await self.deliver(RunId(run["_id"]))

    async def _land(self, run_id: RunId, notice: Append) -> None:
        def absorb(page: Page, now_ms: int) -> None:
            page.book.absorb(notice, now_ms=now_ms)

        needs = Needs(keys={notice.event.key}, hooks=True)
        try:
            await self._lander.land(run_id, Work(needs=needs, act=absorb))
        except RunNotFoundError:
            return
