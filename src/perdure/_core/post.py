"""Post: the effect of a letter where it arrives, for stores that keep each run as a book. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from .._model.children import ChildStart, Watch
from .._model.commit import Append
from .._model.events import Event
from .._model.ids import RunId
from .._model.runs import NewRun, RunRecord
from ..errors import HookConflictError, IdempotencyConflictError
from .book import Book
from .children import child_answer, parent_of, watcher_of

__all__ = ("cancel_child", "refused_start", "start_child", "take_letter")


def start_child(
    start: ChildStart, create: Callable[[NewRun], tuple[RunRecord, bool]], *, now_ms: int
) -> Event | None:
    """Create a child by *create*, a ``Storage.create_run``. Returns the event for its parent."""
    try:
        create(start.new)
    except (HookConflictError, IdempotencyConflictError) as exc:
        return refused_start(start, exc, now_ms=now_ms)
    return child_answer(start, owner=None, now_ms=now_ms) if start.asks else None


def refused_start(
    start: ChildStart, error: HookConflictError | IdempotencyConflictError, *, now_ms: int
) -> Event:
    """The event for a parent when ``create_run`` has refused its child."""
    token = error.token if isinstance(error, HookConflictError) else None
    owner = RunId(error.run_id) if isinstance(error, HookConflictError) else start.new.run_id
    return child_answer(start, owner=owner, token=token, now_ms=now_ms)


def cancel_child(book: Book, event: Event, *, parent: RunId, now_ms: int) -> None:
    """Tell a run that its parent was cancelled; one that another started is not its child."""
    if parent_of(book.record) == parent:
        book.absorb(Append(run_id=book.record.run_id, event=event), now_ms=now_ms)


def take_letter(
    book: Book, letter: Append | Watch, *, sender: RunRecord, now_ms: int
) -> Event | None:
    """Take a letter in at its run. Returns the event for *sender*, if any."""
    match letter:
        case Append():
            book.absorb(letter, now_ms=now_ms)
            return None
        case Watch():
            return book.watch(watcher_of(sender, letter), now_ms=now_ms)
        case _:
            assert_never(letter)
