"""Log: a run's log while it is written.

Synchronous; the caller is in a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from perdure.model import Event

from ._schema import EVENT_INSERT, EVENT_PLACES, pack_event, pack_key

__all__ = ("Log",)

# For events in one statement: there is a prepared one for each count.
_INSERTS = [f"{EVENT_INSERT} {', '.join([EVENT_PLACES] * count)}" for count in range(9)]


@dataclass(slots=True)
class Log:
    """A run's log while it is written."""

    db: sqlite3.Connection
    n: int
    position: int
    first_at_ms: int | None = None  # of the first event written

    def write(self, event: Event) -> bool:
        """Put *event* at the next position, unless its key is there."""
        row = pack_event(self.n, self.position + 1, event)
        try:
            self.db.execute(_INSERTS[1], row)
        except sqlite3.IntegrityError:
            return False
        self.position += 1
        if self.first_at_ms is None:
            self.first_at_ms = event.at_ms
        return True

    def write_all(self, events: Sequence[Event]) -> list[bool]:
        """Put *events* at the next positions; says of each whether its key was not there."""
        if len(events) > 1 and self.write_new(events):
            return [True] * len(events)
        return [self.write(event) for event in events]

    def write_new(self, events: Sequence[Event]) -> bool:
        """Put a few *events* at the next positions, in one statement.

        Returns:
            Whether that could be done: no key was there, and no position was taken.
        """
        if not 0 < len(events) < len(_INSERTS):
            return False
        values: list[object] = []
        for position, event in enumerate(events, start=self.position + 1):
            values += pack_event(self.n, position, event)
        try:
            self.db.execute(_INSERTS[len(events)], values)
        except sqlite3.IntegrityError:
            return False
        self.position += len(events)
        if self.first_at_ms is None:
            self.first_at_ms = events[0].at_ms
        return True

    def find(self, key: str) -> int | None:
        """The position of the event with this key."""
        row = self.db.execute(
            "SELECT position FROM events WHERE n = ? AND key = ?", (self.n, pack_key(key))
        ).fetchone()
        return None if row is None else int(row[0])
