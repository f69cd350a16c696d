"""Notices: events that a write to one run puts into the log of another.

Synchronous; the caller is in a transaction.
"""

from __future__ import annotations

from perdure.model import Append, RunStatus

from ._log import Log
from ._runs import Wake, store_wake
from ._writer import Transaction

__all__ = ("bring",)


def bring(transaction: Transaction, notice: Append) -> None:
    """Write the event and make its run due; one that has ended, or is gone, absorbs nothing."""
    db, event = transaction.db, notice.event
    row = db.execute(
        f"SELECT status, position, {Wake.COLUMNS} FROM runs WHERE run_id = ?", (notice.run_id,)
    ).fetchone()
    if row is None or RunStatus(row[0]).is_ended:
        return
    wake = Wake(*row[2:])
    log = Log(db, wake.n, row[1])
    if log.find(event.key) is None:
        log.write(event)
        db.execute("UPDATE runs SET position = ? WHERE n = ?", (log.position, wake.n))
    wake.arm(transaction.now_ms)
    store_wake(transaction, wake)
