"""Children: the runs that a turn starts, and those that it waits for.

Synchronous; the caller is in a transaction, in which the turn has landed.
"""

from __future__ import annotations

from dataclasses import replace

from perdure.errors import HookConflictError, IdempotencyConflictError
from perdure.model import ChildStart, Committed, Event, RunId, TurnCommit
from perdure.worldkit.pure import check_token, child_answer

from ._creation import create_run
from ._hooks import find_hook
from ._log import Log
from ._runs import RECORD, Wake, find_run, pack_committed, record_of, store_wake
from ._watchers import watch_run
from ._writer import Transaction

__all__ = ("land_children",)


def land_children(
    transaction: Transaction, n: int, commit: TurnCommit, committed: Committed
) -> Committed:
    """Create the runs that a commit starts, and watch those that it waits for.

    Answers, and ends that have come, are written to the committing run's log if that goes on.

    Returns:
        The commit's answer, with the log's last position.
    """
    answers = [_start(transaction, start) for start in commit.starts]
    if commit.outcome is not None:
        return committed
    if commit.watches:
        record = record_of(find_run(transaction.db, commit.run_id, RECORD))
        answers += [watch_run(transaction, record, watch) for watch in commit.watches]
    events = [answer for answer in answers if answer is not None]
    return _answer(transaction, n, commit, committed, events) if events else committed


def _answer(
    transaction: Transaction,
    n: int,
    commit: TurnCommit,
    committed: Committed,
    events: list[Event],
) -> Committed:
    db, log = transaction.db, Log(transaction.db, n, committed.position)
    for event in events:
        log.write(event)
    committed = replace(committed, position=log.position)
    db.execute(
        "UPDATE runs SET position = ?, committed = ? WHERE n = ?",
        (log.position, pack_committed(committed), n),
    )
    wake = Wake(*find_run(db, commit.run_id, Wake.COLUMNS))
    wake.arm(transaction.now_ms)
    store_wake(transaction, wake)
    return committed


def _start(transaction: Transaction, start: ChildStart) -> Event | None:
    db, new, now_ms = transaction.db, start.new, transaction.now_ms
    row = db.execute("SELECT 1 FROM runs WHERE run_id = ?", (new.run_id,)).fetchone()
    try:
        if row is None and new.hook is not None:  # before anything of it is written
            check_token(new.hook, lambda token: find_hook(db, token, now_ms=now_ms))
        create_run(transaction, new)
    except HookConflictError as exc:
        owner = RunId(exc.run_id)
        return child_answer(start, owner=owner, token=exc.token, now_ms=now_ms)
    except IdempotencyConflictError:
        return child_answer(start, owner=new.run_id, now_ms=now_ms)
    return child_answer(start, owner=None, now_ms=now_ms) if start.asks else None
