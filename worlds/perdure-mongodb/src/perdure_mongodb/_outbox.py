"""Outbox: the letters of a run lie in its document until they are there.

Everybody may bring it there at any time, several at once: an event or a watch that is there already
changes nothing. ``outbox_at_ms`` says from when that is to be done by anybody: its writer has died.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeAlias, final

from perdure.errors import RunNotFoundError
from perdure.model import Append, Event, EventType, RunId, RunRecord, Watch
from perdure.worldkit.pure import end_of_missing, end_of_run, take_letter

from ._driver import Document
from ._handle import Handle
from ._lander import Lander, Work
from ._page import Needs, Page
from ._runs import book_of, record_of
from ._schema import ANY_TIME
from ._values import MissingChunksError, Owner, load_values

__all__ = ("Post",)

EVERY = 1.0  # seconds between looks for what writers left
_AT_ONCE = 20  # runs whose outbox is brought away in one look
_TOGETHER = 50  # letters that are on their way at a time

_Letter: TypeAlias = Append | Watch
_Receipt: TypeAlias = tuple[_Letter, Event | None]  # a letter that is there, the answer to it


@final
class Post:
    """Brings the letters of runs to others."""

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
        document = await self._handle.db.runs.find_one({"_id": run_id}, {"snapshots.data": 0})
        book = None if document is None else book_of(document)
        if document is None or book is None or not book.letters:
            return
        sender = await self._whole(document)
        if sender is None:  # a run that has gone has brought all it had
            return
        for letters in (book.watches, book.outbox):
            for at in range(0, len(letters), _TOGETHER):
                receipts = await self._bring(letters[at : at + _TOGETHER], sender)
                await self._forget(run_id, document["n"], receipts)

    async def look(self) -> None:
        """Deliver the letters that dead writers left, unless that was done just now."""
        now = time.monotonic()
        if now - self._looked_at < EVERY:
            return
        self._looked_at = now
        due: Document = {"outbox_at_ms": {"$gte": ANY_TIME, "$lte": self._handle.now_ms()}}
        runs = self._handle.db.runs.find(due, {"_id": 1}).limit(_AT_ONCE)
        for run in await runs.to_list(None):
            await self.deliver(RunId(run["_id"]))

    async def _whole(self, document: Document) -> RunRecord | None:
        """A run with the payload that it has ended with; None: it is gone."""
        stored: list[tuple[Owner, object]] = [(document["n"], document.get("payload"))]
        try:
            return record_of(document, await load_values(self._handle.db.chunks, stored))
        except MissingChunksError:  # deleted since its document was read
            return None

    async def _bring(self, letters: Sequence[_Letter], sender: RunRecord) -> list[_Receipt]:
        answers = await asyncio.gather(
            *(self._land(letter, sender) for letter in letters), return_exceptions=True
        )
        receipts: list[_Receipt] = []
        for letter, answer in zip(letters, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            receipts.append((letter, answer))
        return receipts

    async def _land(self, letter: _Letter, sender: RunRecord) -> Event | None:
        if isinstance(letter, Watch):
            return await self._watch(letter, sender)
        notice, hooks = letter, letter.event.type is not EventType.CHILD_ENDED
        if not hooks:
            notice = replace(letter, event=replace(letter.event, payload=sender.payload))
        work = Work(needs=Needs(keys={letter.event.key}, hooks=hooks), act=_taking(notice, sender))
        with suppress(RunNotFoundError):
            await self._lander.land(letter.run_id, work)
        return None

    async def _watch(self, watch: Watch, sender: RunRecord) -> Event | None:
        """Have a run watched. Returns its end if that has come."""
        while True:
            try:
                work = Work(needs=Needs(), act=_taking(watch, sender))
                if await self._lander.land(watch.run_id, work) is None:
                    return None
            except RunNotFoundError:
                return end_of_missing(watch, now_ms=self._handle.now_ms())
            document = await self._handle.db.runs.find_one({"_id": watch.run_id})
            record = None if document is None else await self._whole(document)
            if record is not None and record.status.is_ended:  # else it was deleted meanwhile
                return end_of_run(watch.entity, record, now_ms=self._handle.now_ms())

    async def _forget(self, run_id: RunId, n: Owner, receipts: Sequence[_Receipt]) -> None:
        def settle(page: Page, now_ms: int) -> None:
            for letter, answer in receipts if page.n == n else ():
                page.book.settle(letter, answer, now_ms=now_ms)

        keys = {answer.key for _, answer in receipts if answer is not None}
        await self._lander.land(run_id, Work(needs=Needs(keys=keys), act=settle))


def _taking(letter: _Letter, sender: RunRecord) -> Callable[[Page, int], Event | None]:
    def take(page: Page, now_ms: int) -> Event | None:
        return take_letter(page.book, letter, sender=sender, now_ms=now_ms)

    return take
