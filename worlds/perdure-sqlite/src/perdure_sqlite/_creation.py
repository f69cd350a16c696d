"""Creation: how a run comes to be, with its first events and its token.

Synchronous; the caller is in a transaction, and an error leaves what is to be rolled back.
"""

from __future__ import annotations

from perdure.errors import IdempotencyConflictError
from perdure.model import NewRun, RunRecord
from perdure.worldkit.pure import check_token, created_event, hook_record, keyed_event

from ._hooks import INSERT_HOOK, find_hook, hook_values
from ._log import Log
from ._runs import RECORD, find_run, insert_run, record_of
from ._writer import Transaction

__all__ = ("create_run",)


def create_run(transaction: Transaction, new: NewRun) -> tuple[RunRecord, bool]:
    """Create a run as ``Storage.create_run`` promises.

    Raises:
        IdempotencyConflictError: its id is another run's.
        HookConflictError: another run holds its token.
    """
    db, claim, now_ms = transaction.db, new.hook, transaction.now_ms
    transaction.is_promise = True
    is_new = insert_run(db, new, due_ms=now_ms)
    n, *row = find_run(db, new.run_id, f"n, {RECORD}")
    record = record_of(tuple(row))
    if is_new:
        log = Log(db, n, 0)
        log.write(created_event(new))
        if claim is not None:  # what is written so far is rolled back if it is refused
            check_token(claim, lambda token: find_hook(db, token, now_ms=now_ms))
            log.write(keyed_event(claim, new.created_at_ms))
            hook = hook_record(claim, new.run_id, now_ms=new.created_at_ms, level=new.level)
            db.execute(INSERT_HOOK, (n, *hook_values(hook)))
        transaction.rings.add("wakes")
        return record, True
    (payload,) = db.execute("SELECT payload FROM events WHERE id = ? << 32 | 1", (n,)).fetchone()
    if (record.workflow, payload) != (new.workflow, new.input):
        raise IdempotencyConflictError(new.idempotency_key or new.run_id, run_id=new.run_id)
    return record, False
