"""Shelf: many books at once, to claim those that are due and to list pages of them.

For worlds that hold runs as ``Book`` values. Pure: books are changed in memory, and the world
writes each that is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from .._model.events import LoggedEvent
from .._model.ids import RunId
from .._model.queue import Lease, MessageClaim, WakeClaim
from .._model.runs import RunFilter, RunPage, RunRecord
from .._model.snapshot import Snapshot
from .._model.state import RunState
from .book import Book
from .landing import list_cursor, matches_filter, parse_cursor

__all__ = (
    "claim_due_messages",
    "claim_due_wakes",
    "count_due",
    "ended_before",
    "list_page",
    "run_state",
)


def claim_due_wakes(
    books: Iterable[Book], *, limit: int, now_ms: int, until_ms: int, new_token: Callable[[], str]
) -> list[tuple[Book, WakeClaim]]:
    """Claim the wakes that are longest due; equals by id."""
    due = [
        (book.wake.claimable_ms or 0, book.record.run_id, book)
        for book in books
        if book.wake is not None and book.is_due(now_ms)
    ]
    return [
        (book, book.claim_wake(_lease(name, until_ms, new_token, is_wake=True)))
        for _, name, book in _longest(due, limit)
    ]


def claim_due_messages(
    books: Iterable[Book],
    topics: Collection[str],
    *,
    limit: int,
    now_ms: int,
    until_ms: int,
    new_token: Callable[[], str],
) -> list[tuple[Book, MessageClaim]]:
    """Claim the messages of these topics that are longest due; equals by id."""
    due = [
        (queued.claimable_ms or 0, name, book)
        for book in books
        for name, queued in book.messages.items()
        if queued.message.topic in topics and queued.is_claimable(now_ms)
    ]
    return [
        (book, book.claim_message(_lease(name, until_ms, new_token, is_wake=False)))
        for _, name, book in _longest(due, limit)
    ]


def count_due(
    books: Iterable[Book], topics: Collection[str] | None, *, now_ms: int
) -> dict[str, int]:
    """The answer of ``Queue.count_waiting``."""
    counts = {"": 0}
    for book in books:
        counts[""] += book.is_due(now_ms)
        for queued in book.messages.values():
            topic = queued.message.topic
            if queued.is_claimable(now_ms) and (topics is None or topic in topics):
                counts[topic] = counts.get(topic, 0) + 1
    return counts


def list_page(
    records: Iterable[RunRecord], where: RunFilter, *, cursor: str | None, limit: int
) -> RunPage:
    """The answer of ``Catalogue.list_runs``, from all the runs there are.

    Raises:
        CursorError: it is not one of ``list_cursor``.
    """
    last = parse_cursor(cursor)
    matches = sorted(
        (r for r in records if _order(r) < last and matches_filter(r, where)),
        key=_order,
        reverse=True,
    )
    page = tuple(matches[: max(limit, 0)])
    more = len(matches) > len(page) and page
    return RunPage(runs=page, cursor=list_cursor(page[-1]) if more else None)


def ended_before(records: Iterable[RunRecord], ended_before_ms: int, *, limit: int) -> list[RunId]:
    """Which runs ``Catalogue.purge`` deletes, of all the runs there are."""
    ended = [
        (record.ended_at_ms, record.run_id)
        for record in records
        if record.status.is_over and record.ended_at_ms is not None
    ]
    return [run_id for at, run_id in sorted(ended) if at < ended_before_ms][: max(limit, 0)]


def run_state(
    record: RunRecord,
    chain: Sequence[Snapshot],
    events: Sequence[LoggedEvent],
    *,
    after: int | None,
) -> RunState:
    """The answer of ``Storage.load_run`` to *after*, from all the run's snapshots and events."""
    if record.status.is_ended:
        return RunState(record=record, chain=(), events=())
    chain = tuple(chain) if after is None else ()
    if after is None:
        after = chain[-1].consumed if chain else 0
    return RunState(record=record, chain=chain, events=tuple(events[after:]))


def _order(record: RunRecord) -> tuple[int, str]:
    return record.created_at_ms, record.run_id


def _longest(due: Sequence[tuple[int, str, Book]], limit: int) -> list[tuple[int, str, Book]]:
    return sorted(due, key=lambda item: item[:2])[: max(limit, 0)]


def _lease(name: str, until_ms: int, new_token: Callable[[], str], *, is_wake: bool) -> Lease:
    return Lease(item=name, token=new_token(), is_wake=is_wake, expires_at_ms=until_ms)
