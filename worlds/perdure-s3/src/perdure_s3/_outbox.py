"""Outbox: bringing a run's letters to others.

All that one other run gets is one write of its head. Everybody may do it at any time, several at
once: a letter that is there already changes nothing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import final

from perdure.errors import NameTooLongError, WorldError
from perdure.model import Append, ChildStart, Event, HookRecord, NewRun, RunId, RunRecord, Watch
from perdure.worldkit.pure import (
    Book,
    Letter,
    cancel_child,
    end_of_missing,
    is_cancel,
    start_child,
    started_by,
    take_letter,
)

from ._handle import Handle
from ._head import Head
from ._page import Page
from ._together import each

__all__ = ("Courier", "Creation", "deliver", "deliver_written")

_log = logging.getLogger("perdure")
_PUT_OFF_MS = 60_000


@final
@dataclass(slots=True)
class Creation:
    """The creation of a run, with the token that it is started with."""

    handle: Handle
    new: NewRun
    holders: dict[str, HookRecord] = field(default_factory=dict[str, HookRecord])

    async def prepare(self, page: Page) -> None:
        """Claim the token, if there is one."""
        self.holders.clear()
        if page.found is None and self.new.hook is not None:
            token = self.new.hook.token
            holder = await self.handle.tokens.claim(page, token)
            if holder is not None:
                self.holders[token] = holder

    def apply(self, page: Page) -> tuple[RunRecord, bool]:
        """Create the run as ``Storage.create_run`` promises."""
        if page.found is not None:
            page.found.check_same(self.new)
            return page.found.record, False
        page.create(Book.create(self.new, due_ms=page.now_ms, holder=self.holders.get))
        return page.book.record, True


async def deliver(handle: Handle, run_id: RunId) -> None:
    """Bring all that the run has for others there, and have it forget that.

    Of runs that are cancelled by that, likewise.

    Raises:
        WorldUnavailableError: some of it may not be there; ask again.
    """
    await _deliver_all(handle, await handle.runs.read(run_id))


async def deliver_written(handle: Handle, run_id: RunId) -> None:
    """The same for a run that was just written here, whose head is in memory.

    Raises:
        WorldUnavailableError: some of it may not be there; ask again.
    """
    await _deliver_all(handle, handle.runs.cached(run_id) or await handle.runs.read(run_id))


async def _deliver_all(handle: Handle, head: Head | None) -> None:
    runs = await _deliver(handle, head)
    while runs:
        runs += await _deliver(handle, await handle.runs.read(runs.pop()))


async def _deliver(handle: Handle, head: Head | None) -> list[RunId]:
    """Bring a run's letters. Returns the runs that may have something for others by that."""
    if head is None or not head.letters:
        return []
    letters, sender = head.letters, head.record
    cancels = [one for one in letters if isinstance(one, Append) and is_cancel(one.event)]
    own = [one for one in cancels if one.run_id == sender.run_id]
    others = [one for one in letters if not any(one is other for other in own)]
    answers = await _bring(handle, sender, others)
    cancelled = [one.run_id for one in cancels if one.run_id != sender.run_id]
    for letter in own:
        cancelled += await _cancel_children(handle, sender.run_id, letter.event)

    def settle(page: Page) -> None:
        if page.found is not None and page.birth == head.birth:
            for letter, answer in zip(others, answers, strict=True):
                page.found.settle(letter, answer, now_ms=page.now_ms)
            for letter in own:
                page.found.settle(letter, None, now_ms=page.now_ms)

    await handle.runs.change(sender.run_id, settle)
    return cancelled


async def _cancel_children(handle: Handle, run_id: RunId, event: Event) -> list[RunId]:
    """Have the runs that a run started told that it was cancelled. Returns them."""

    def cancel(page: Page) -> None:
        if page.found is not None:
            cancel_child(page.found, event, parent=run_id, now_ms=page.now_ms)

    runs = handle.runs
    log = await runs.view(
        run_id, lambda head: runs.parts.events(head, after=0, limit=head.record.position)
    )
    children = started_by([logged.event for logged in log])
    await each(runs.change(child, cancel) for child in children)
    return children


async def _bring(
    handle: Handle, sender: RunRecord, letters: Sequence[Letter]
) -> list[Event | None]:
    """Bring letters to their runs, and return the answers.

    Of two starts with one token the first has it: those with tokens go one after the other.
    """
    numbers: defaultdict[RunId, list[int]] = defaultdict(list)
    for number, letter in enumerate(letters):
        numbers[_target(letter)].append(number)
    batches = [_Batch(handle, sender, [letters[n] for n in ns]) for ns in numbers.values()]
    keyed = [batch for batch in batches if batch.is_keyed]
    for batch in keyed:
        await batch.bring()
    await each(batch.bring() for batch in batches if not batch.is_keyed)
    answers: list[Event | None] = [None] * len(letters)
    for batch, ns in zip(batches, numbers.values(), strict=True):
        for number, answer in zip(ns, batch.answers, strict=True):
            answers[number] = answer
    return answers


def _target(letter: Letter) -> RunId:
    return letter.new.run_id if isinstance(letter, ChildStart) else letter.run_id


@final
class _Batch:
    """The letters of one run for one other, in order."""

    def __init__(self, handle: Handle, sender: RunRecord, letters: Sequence[Letter]) -> None:
        self._handle = handle
        self._sender = sender
        self._letters = letters
        starts = [letter for letter in letters if isinstance(letter, ChildStart)]
        self._creations = {start.entity: Creation(handle, start.new) for start in starts}
        self.is_keyed = any(start.new.hook is not None for start in starts)
        self.answers: list[Event | None] = []

    async def bring(self) -> None:
        """Have the other run take them in, and keep the answers."""
        run_id, prepare = _target(self._letters[0]), self._prepare if self.is_keyed else None
        try:
            self.answers = await self._handle.runs.change(run_id, self._apply, prepare=prepare)
        except NameTooLongError:  # no run can have that id, and one may be watched all the same
            self.answers = [_missing(letter, self._handle.now_ms()) for letter in self._letters]

    async def _prepare(self, page: Page) -> None:
        for creation in self._creations.values():
            await creation.prepare(page)

    def _apply(self, page: Page) -> list[Event | None]:
        return [self._take(page, letter) for letter in self._letters]

    def _take(self, page: Page, letter: Letter) -> Event | None:
        if isinstance(letter, ChildStart):
            creation = self._creations[letter.entity]
            return start_child(letter, lambda new: creation.apply(page), now_ms=page.now_ms)
        if page.found is not None:
            return take_letter(page.found, letter, sender=self._sender, now_ms=page.now_ms)
        return _missing(letter, page.now_ms)


def _missing(letter: Letter, now_ms: int) -> Event | None:
    return end_of_missing(letter, now_ms=now_ms) if isinstance(letter, Watch) else None


@final
class Courier:
    """Brings the letters of writers that died."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._put_off: dict[RunId, int] = {}  # runs whose letters cannot be brought, until when

    def is_due(self, head: Head, now_ms: int) -> bool:
        """Whether it is time to look after the run's letters."""
        return head.has_mail(now_ms) and self._put_off.get(head.record.run_id, 0) <= now_ms

    async def bring(self, heads: Iterable[Head]) -> None:
        """Bring the letters of these runs; one that cannot be brought is no other's trouble."""
        now_ms = self._handle.now_ms()
        self._put_off = {run_id: at for run_id, at in self._put_off.items() if at > now_ms}
        await each(self._bring(head.record.run_id) for head in heads if self.is_due(head, now_ms))

    async def _bring(self, run_id: RunId) -> None:
        try:
            await deliver(self._handle, run_id)
        except WorldError as exc:
            if exc.retryable:
                raise
            self._put_off[run_id] = self._handle.now_ms() + _PUT_OFF_MS
            _log.warning(
                "run %s has something for others that cannot be brought there: %s; it is tried "
                "again in %d s",
                run_id,
                exc,
                _PUT_OFF_MS // 1000,
            )
