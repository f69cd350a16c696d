"""Recent: documents of runs as this process last saw them, to spare a read before a write.

One may be out of date: its user says its version when writing, and believes it in nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import final

from ._driver import Document

__all__ = ("Recent",)

MOST = 512  # documents


@final
class Recent:
    """The latest documents, by run id."""

    def __init__(self) -> None:
        self._documents: OrderedDict[str, Document] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Recent {len(self._documents)}>"

    def note(self, document: Document) -> None:
        """Remember a whole document; one of a run that has ended is forgotten."""
        run_id = document["_id"]
        self._documents.pop(run_id, None)
        if document["ended_at_ms"] is None:
            self._documents[run_id] = document
            if len(self._documents) > MOST:
                self._documents.popitem(last=False)

    def get(self, run_id: str) -> Document | None:
        """The run's document as it was."""
        return self._documents.get(run_id)

    def forget(self, run_id: str) -> None:
        """The run's document was changed; nobody here knows its new fields."""
        self._documents.pop(run_id, None)
