"""Page: one try to change a run, in memory, before anything of it is written.

It holds the version that was read and the book that becomes the next one; a version's view for the
due index is worked out here, too. Nothing here reads or writes an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import final

from perdure.errors import RunNotFoundError
from perdure.model import RunId
from perdure.worldkit.pure import Book

from ._head import Claimed, Head, claimable
from ._index import View
from ._schema import new_mark

__all__ = ("Page", "comes_due_earlier", "view_of")


@final
class Page:
    """One try to change a run: the version that was read, and the book that becomes the next."""

    def __init__(
        self,
        run_id: RunId,
        head: Head | None,
        *,
        now_ms: int,
        reserved: dict[str, str] | None = None,
    ) -> None:
        self.run_id = run_id
        self.head = head
        self.now_ms = now_ms
        self.birth = f"{now_ms:012x}{new_mark()[:4].hex()}" if head is None else head.birth
        self.granted: dict[str, Claimed] = {}
        # Token objects that this change made, by ETag; nobody else relies on them.
        self.reserved: dict[str, str] = {} if reserved is None else reserved
        self._book = None if head is None else head.book()

    @property
    def book(self) -> Book:
        """The run.

        Raises:
            RunNotFoundError: there is none.
        """
        if self._book is None:
            raise RunNotFoundError(self.run_id)
        return self._book

    @property
    def found(self) -> Book | None:
        """The run, if there is one."""
        return self._book

    def create(self, book: Book) -> None:
        """Let this be the run, which is not there yet."""
        self._book = book

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        if self._book is None:
            return False
        return self.head is None or self.head.differs(self._book)

    def next_head(self) -> Head:
        """The version to write."""
        if self.head is None:
            version = Head.first(self.book, birth=self.birth, now_ms=self.now_ms)
        else:
            version = self.head.after(self.book, now_ms=self.now_ms)
        claims = {**version.claimed, **self.granted}
        return replace(version, claimed={token: claims[token] for token in version.hooks})


def view_of(head: Head, *, now_ms: int) -> View:
    """A version's view for the index; covers whose time has come are replaced by true times."""
    times = claimable(head)
    dues = {k: times.get(k) if at <= now_ms else at for k, at in head.cover.items()}
    return View(head.birth, head.seq, {k: at for k, at in dues.items() if at is not None})


def comes_due_earlier(before: Head | None, after: Head) -> bool:
    """Whether the index must hear of a version before it is written."""
    cover: Mapping[str, int] = {} if before is None else before.cover
    return any(kind not in cover or at < cover[kind] for kind, at in after.cover.items())
