"""Children: the runs that a turn starts, and who is told the end of a run.

Synchronous; the caller holds the store's lock.
"""

from __future__ import annotations

from ..._core.children import (
    child_answer,
    end_notice,
    end_of_missing,
    end_of_run,
    is_watching,
    watch_fence,
    watcher_of,
)
from ..._model.children import ChildStart, Watch
from ..._model.commit import TurnCommit
from ..._model.events import Event
from ..._model.ids import RunId
from ..._model.runs import RunRecord
from ...errors import HookConflictError
from ._runs import create_run, is_same
from ._store import Store, StoredRun, write_event

__all__ = ("land_children", "tell_watchers", "watches_of")


def land_children(store: Store, run: StoredRun, commit: TurnCommit, *, now_ms: int) -> None:
    """Create the runs that a commit starts, and watch those that it waits for.

    Answers, and ends that have come, are written to the log of *run* if that goes on.
    """
    has_ended = commit.outcome is not None
    answers = [_start(store, start, now_ms=now_ms) for start in commit.starts]
    if not has_ended:
        answers += [_watch(store, run, watch, now_ms=now_ms) for watch in commit.watches]
    for answer in answers:
        if answer is not None and not has_ended and write_event(run, answer) and run.wake:
            run.wake.arm(now_ms)


def _start(store: Store, start: ChildStart, *, now_ms: int) -> Event | None:
    new, present = start.new, store.runs.get(start.new.run_id)
    if present is not None and not is_same(present, new):
        return child_answer(start, owner=new.run_id, now_ms=now_ms)
    if present is None:
        try:
            create_run(store, new, now_ms=now_ms)
        except HookConflictError as exc:
            owner = RunId(exc.run_id)
            return child_answer(start, owner=owner, token=exc.token, now_ms=now_ms)
    return child_answer(start, owner=None, now_ms=now_ms) if start.asks else None


def _watch(store: Store, run: StoredRun, watch: Watch, *, now_ms: int) -> Event | None:
    other = store.runs.get(watch.run_id)
    if other is None:
        return end_of_missing(watch, now_ms=now_ms)
    if other.record.status.is_ended:
        return end_of_run(watch.entity, other.record, now_ms=now_ms)
    store.watchers.setdefault(watch.run_id, []).append(watcher_of(run.record, watch))
    return None


def tell_watchers(store: Store, run: StoredRun, *, now_ms: int) -> None:
    """Tell those who wait for a run that it has ended; one that is gone is passed over."""
    for watcher in store.watchers.pop(run.record.run_id, ()):
        other = store.live_run(watcher.run_id)
        if other is None or not is_watching(watcher, other.record):
            continue
        notice = end_notice(watcher, run.record, now_ms=now_ms)
        if write_event(other, notice.event) and other.wake is not None:
            other.wake.arm(now_ms)


def watches_of(store: Store, run: StoredRun) -> list[RunId]:
    """The runs that a run waits for, and those that wait for it."""
    run_id = run.record.run_id
    others = [
        watcher.run_id
        for watcher in store.watchers.get(run_id, ())
        if is_watching(watcher, _record(store, watcher.run_id))
    ]
    for target, watchers in store.watchers.items():
        others += [
            target
            for watcher in watchers
            if watcher.run_id == run_id and watcher.fence == watch_fence(run.record, watcher.entity)
        ]
    return list(dict.fromkeys(others))


def _record(store: Store, run_id: RunId) -> RunRecord | None:
    run = store.runs.get(run_id)
    return None if run is None else run.record
