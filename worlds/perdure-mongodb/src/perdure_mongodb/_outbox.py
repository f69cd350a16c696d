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
from perdure.worldkit.pure import (
    cancel_child,
    end_of_missing,
    end_of_run,
    is_cancel,
    started_by,
    take_letter,
)

from ._driver import Document
from ._handle import Handle
from ._lander import Lander, Work
from ._page import Needs, Page
from ._runs import book_of, record_of
from ._schema import ANY_TIME, event_of
from ._values import MissingChunksError, Owner, Values, load_values

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

        Of runs that are cancelled by that, likewise.

        Raises:
            WorldUnavailableError: some of it may not be there; ask again.
        """
        runs = [run_id]
        while runs:
            runs += await self._deliver(runs.pop())

    async def _deliver(self, run_id: RunId) -> list[RunId]:
        """Likewise of the run alone. Returns those that may have something for others now."""
        cancelled: list[RunId] = []
        document = await self._handle.db.runs.find_one({"_id": run_id}, {"snapshots.data": 0})
        book = None if document is None else book_of(document)
        if document is None or book is None or not book.letters:
            return cancelled
        sender = await self._whole(document)
        if sender is None:  # a run that has gone has brought all it had
            return cancelled
        for letters in (book.watches, book.outbox):
            for at in range(0, len(letters), _TOGETHER):
                some = letters[at : at + _TOGETHER]
                cancelled += [one.run_id for one in some if _cancels_another(one, run_id)]
                receipts = await self._bring(some, sender)
                for letter in some:
                    if _is_own(letter, run_id):
                        cancelled += await self._cancel_children(letter, document)
                await self._forget(run_id, document["n"], receipts)
        return cancelled

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
        if _is_own(letter, sender.run_id):
            return None  # see ``_cancel_children``
        if is_cancel(letter.event):
            await self._cancel(letter, _taking(letter, sender))
            return None
        notice, hooks = letter, letter.event.type is not EventType.CHILD_ENDED
        if not hooks:
            notice = replace(letter, event=replace(letter.event, payload=sender.payload))
        work = Work(needs=Needs(keys={letter.event.key}, hooks=hooks), act=_taking(notice, sender))
        with suppress(RunNotFoundError):
            await self._lander.land(letter.run_id, work)
        return None

    async def _cancel_children(self, letter: _Letter, document: Document) -> list[RunId]:
        """Have the runs that a run started told that it was cancelled. Returns them."""
        assert isinstance(letter, Append)
        kinds = [EventType.CHILD_CREATED.value, EventType.CHILD_CONFLICT.value]
        query = {"_id.n": document["n"], "type": {"$in": kinds}}
        events = self._handle.db.events.find(query).sort("_id.p", 1)
        nothing = Values()
        log = [event_of({**one, "payload": None}, nothing) for one in await events.to_list(None)]
        children = started_by([logged.event for logged in log])
        for child in children:
            cancel = replace(letter, run_id=child)
            await self._cancel(cancel, _cancelling(cancel, RunId(document["_id"])))
        return children

    async def _cancel(self, cancel: Append, act: Callable[[Page, int], object]) -> None:
        """Land an event that cancels a run, or asks it to end, unless it is gone."""
        is_request = cancel.event.type is EventType.CANCEL_REQUESTED

        def take(page: Page, now_ms: int) -> None:
            messages = list(page.book.messages) if is_request else []
            act(page, now_ms)
            page.departed += [name for name in messages if name not in page.book.messages]

        needs = Needs(keys={cancel.event.key}, hooks=True, whole=is_request)
        with suppress(RunNotFoundError):
            await self._lander.land(cancel.run_id, Work(needs=needs, act=take))

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


def _is_own(letter: _Letter, run_id: RunId) -> bool:
    """Whether it is for the runs that the run itself has started."""
    return letter.run_id == run_id and isinstance(letter, Append) and is_cancel(letter.event)


def _cancels_another(letter: _Letter, run_id: RunId) -> bool:
    return letter.run_id != run_id and isinstance(letter, Append) and is_cancel(letter.event)


def _cancelling(cancel: Append, parent: RunId) -> Callable[[Page, int], None]:
    def take(page: Page, now_ms: int) -> None:
        cancel_child(page.book, cancel.event, parent=parent, now_ms=now_ms)

    return take


def _taking(letter: _Letter, sender: RunRecord) -> Callable[[Page, int], Event | None]:
    def take(page: Page, now_ms: int) -> Event | None:
        return take_letter(page.book, letter, sender=sender, now_ms=now_ms)

    return take
