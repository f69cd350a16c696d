"""Births: the runs that a turn starts, created in the transaction of the turn.

So a start is never on its way: it has landed with the turn or not, and a child that was deleted
is not created again. Children are at first taken not to be there; the unique index of run ids
objects if one is, and then they are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from bson import ObjectId

from perdure.model import HookRecord, NewRun, RunId, RunRecord
from perdure.worldkit.pure import Book, start_child, watcher_of

from ._driver import Collection, Document
from ._page import Birth, Page
from ._runs import book_of, new_fields
from ._schema import event_document, hook_document
from ._transaction import Command, insert
from ._values import Pending

__all__ = ("Births", "land_starts")


def land_starts(page: Page, now_ms: int) -> None:
    """Create the runs that the page's run starts, and answer those starts.

    A watch of one of them lands with its birth. Other watches are still to be brought.
    """
    book = page.book
    for start in book.starts:
        answer = start_child(start, lambda new: _create(page, new, now_ms), now_ms=now_ms)
        book.settle(start, answer, now_ms=now_ms)
    for watch in book.watches:
        child = page.births.get(watch.run_id)
        if child is not None:
            child.book.watch(watcher_of(book.record, watch), now_ms=now_ms)
            book.settle(watch, None, now_ms=now_ms)


@final
@dataclass(frozen=True, slots=True)
class Births:
    """The documents of new runs."""

    runs: Sequence[Document]
    events: Sequence[Document]
    hooks: Sequence[Document]
    pending: Sequence[Pending]  # their large values

    @classmethod
    def of(cls, page: Page, *, version: str) -> Births:
        """Those of the page's children."""
        runs: list[Document] = []
        events: list[Document] = []
        hooks: list[Document] = []
        values: list[Pending] = []
        for birth in page.births.values():
            n, book, pending = birth.n, birth.book, Pending(birth.n)
            runs.append({**new_fields(book, n, pending), "v": version})
            events += [event_document(n, logged, pending) for logged in book.written]
            hooks += [hook_document(hook, n, pending) for hook in book.hooks.values()]
            values.append(pending)
        return cls(runs, events, hooks, values)

    async def store_values(self, chunks: Collection) -> None:
        """Write their large values; to be called before their documents are written."""
        for pending in self.pending:
            await pending.store(chunks)

    def commands(self) -> Iterator[Command]:
        """The writes of the documents."""
        if self.runs:
            yield from insert("runs", self.runs)
            yield from insert("events", self.events)
        if self.hooks:
            yield from insert("hooks", self.hooks)


def _create(page: Page, new: NewRun, now_ms: int) -> tuple[RunRecord, bool]:
    """Create a run with the page, as ``Storage.create_run`` promises."""
    present = _find(page, new.run_id)
    if present is not None:
        present.check_same(new)
        return present.record, False
    book = Book.create(new, due_ms=now_ms, holder=lambda token: _holder(page, token, now_ms))
    page.births[new.run_id] = Birth(n=ObjectId(), book=book)
    return book.record, True


def _find(page: Page, run_id: RunId) -> Book | None:
    if run_id == page.book.record.run_id:
        return page.book
    birth, document = page.births.get(run_id), page.others.get(run_id)
    if birth is not None:
        return birth.book
    return None if document is None else book_of(document)


def _holder(page: Page, token: str, now_ms: int) -> HookRecord | None:
    """The hook that bars a child from a token: its parent's, a sibling's, or another run's."""
    ours = [page.book, *(birth.book for birth in page.births.values())]
    hooks = (book.blocking(token, now_ms=now_ms) for book in ours)
    return next(filter(None, hooks), None) or page.holder(token)
