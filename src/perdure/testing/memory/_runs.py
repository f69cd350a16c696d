"""Runs: how one comes to be in the store.

Synchronous; the caller holds the store's lock.
"""

from __future__ import annotations

from dataclasses import replace

from ..._core.hooks import check_token, hook_record, keyed_event
from ..._core.landing import created_event, fresh_record
from ..._core.leases import Mailbox
from ..._model.runs import NewRun
from ._hooks import find_hook
from ._store import Store, StoredRun, write_event

__all__ = ("create_run", "fresh_run", "is_same")


def fresh_run(new: NewRun, *, due_ms: int | None) -> StoredRun:
    """A run with its first event."""
    record = replace(fresh_record(new), position=0)
    run = StoredRun(record=record, wake=Mailbox(due_ms=due_ms, generation=1))
    write_event(run, created_event(new))
    if new.hook is not None:
        write_event(run, keyed_event(new.hook, new.created_at_ms))
    return run


def create_run(store: Store, new: NewRun, *, now_ms: int) -> StoredRun:
    """Put a run into the store that is not there, with its token.

    Raises:
        HookConflictError: another run holds that; nothing was changed.
    """
    claim = new.hook
    if claim is not None:
        check_token(claim, lambda token: find_hook(store, token, now_ms=now_ms))
        hook = hook_record(claim, new.run_id, now_ms=new.created_at_ms, level=new.level)
        store.hooks[claim.token] = hook
    run = store.runs[new.run_id] = fresh_run(new, due_ms=now_ms)
    return run


def is_same(run: StoredRun, new: NewRun) -> bool:
    """Whether it is the run that is asked for."""
    return (run.record.workflow, run.events[0].event.payload) == (new.workflow, new.input)
