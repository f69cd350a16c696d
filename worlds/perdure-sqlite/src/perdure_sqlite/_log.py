"""Log: a run's log while it is written.

Synchronous; the caller is in a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from perdure.model import Event
from perdure.worldkit.values import record_class

from ._schema import (
    EVENT_INSERT,
    EVENT_PLACES,
    OF_RUN,
    ids_of,
    pack_event,
    pack_events,
    pack_key,
)

__all__ = ("MAX_AT_ONCE", "Log", "remove_events", "write_events")

# For events in one statement: there is a prepared one for each count.
MAX_AT_ONCE = 8
_INSERTS = [
    f"{EVENT_INSERT} {', '.join([EVENT_PLACES] * count)}" for count in range(MAX_AT_ONCE + 1)
]


def write_events(
    cursor: sqlite3.Cursor, n: int, position: int, events: Sequence[Event], *, is_last: bool
) -> bool:
    """Write *events* after a position, all or none.

    Args:
        is_last: the position is known to be the last one of the log. Else no more than
            ``MAX_AT_ONCE`` are written, in one statement, which changes nothing if it fails.

    Returns:
        Whether they could be written: no key was there, and no position was taken.
    """
    try:
        if len(events) > MAX_AT_ONCE:
            assert is_last
            rows = [pack_event(n, at, event) for at, event in enumerate(events, position + 1)]
            cursor.executemany(_INSERTS[1], rows)
        elif events:
            cursor.execute(_INSERTS[len(events)], pack_events(n, position, events))
    except sqlite3.IntegrityError:
        if is_last:
            remove_events(cursor, n, position)
        return False
    return True


def remove_events(cursor: sqlite3.Cursor, n: int, position: int) -> None:
    """Take the events after a position back."""
    cursor.execute(f"DELETE FROM events WHERE {OF_RUN}", ids_of(n, after=position))


@record_class(kw_only=False)
class Log:
    """A run's log while it is written."""

    db: sqlite3.Connection
    n: int
    position: int

    def write(self, event: Event) -> bool:
        """Put *event* at the next position, unless its key is there."""
        row = pack_event(self.n, self.position + 1, event)
        try:
            self.db.execute(_INSERTS[1], row)
        except sqlite3.IntegrityError:
            return False
        self.position += 1
        return True

    def find(self, key: str) -> int | None:
        """The position of the event with this key."""
        row = self.db.execute(
            "SELECT position FROM events WHERE n = ? AND key = ?", (self.n, pack_key(key))
        ).fetchone()
        return None if row is None else int(row[0])
