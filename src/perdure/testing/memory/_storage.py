"""Storage: runs, logs, hook tokens, and the commit of a turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import final

from ..._core.attributes import attributes_after, merged_attributes
from ..._core.cancellation import asked_record
from ..._core.landing import ended_record
from ..._model.commit import Append, Appended, Committed, TurnCommit
from ..._model.events import EventType, LoggedEvent
from ..._model.hooks import HookRecord
from ..._model.ids import RunId
from ..._model.runs import NewRun, RunOutcome, RunRecord, RunStatus
from ..._model.state import RunState
from ...abc import DirectStorage
from ...errors import HookNotFoundError, IdempotencyConflictError, LeaseLostError, RunEndedError
from ._children import tell_watchers
from ._hooks import find_hook, free_hooks, keep_hooks
from ._queue import check_own, drop_work, give_back, withdraw_messages
from ._runs import create_run, is_same
from ._store import Handle, Store, StoredMessage, StoredRun, write_event
from ._turn import commit_turn

__all__ = ("MemoryStorage",)

_FREES_HOOK = frozenset({EventType.HOOK_DISPOSED, EventType.HOOK_REVOKED})
_NEEDS_HOOK = frozenset({EventType.HOOK_RECEIVED, *_FREES_HOOK})


@final
class MemoryStorage(DirectStorage):
    """The storage of a memory world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def create_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        store = await self._handle.enter()
        with store.lock:
            run = store.runs.get(new.run_id)
            if run is not None:
                if not is_same(run, new):
                    raise IdempotencyConflictError(
                        new.idempotency_key or new.run_id, run_id=new.run_id
                    )
                return run.record, False
            run = create_run(store, new, now_ms=self._handle.now_ms())
        store.changed.ring()
        return run.record, True

    async def append(self, append: Append) -> Appended:
        store = await self._handle.enter()
        with store.lock:
            appended = _append(store, append, now_ms=self._handle.now_ms())
            self._handle.counters["appends"] += 1
        store.changed.ring()
        return appended

    async def commit(self, commit: TurnCommit) -> Committed:
        await self._handle.enter()
        return self._commit(commit)

    def commit_soon(
        self, commit: TurnCommit, callback: Callable[[Committed | BaseException], None]
    ) -> None:
        try:
            answer: Committed | BaseException = self._commit(commit)
        except Exception as error:  # handed on, not swallowed
            answer = error
        callback(answer)

    async def get_run(self, run_id: RunId) -> RunRecord:
        return (await self._handle.enter()).run(run_id).record

    async def load_run(self, run_id: RunId, *, after: int | None = None) -> RunState:
        store = await self._handle.enter()
        with store.lock:
            run = store.run(run_id)
            if run.record.status.is_ended:
                return RunState(record=run.record, chain=(), events=())
            chain = tuple(run.snapshots) if after is None else ()
            if after is None:
                after = chain[-1].consumed if chain else 0
            return RunState(record=run.record, chain=chain, events=tuple(run.events[after:]))

    async def read_events(
        self, run_id: RunId, *, after: int = 0, limit: int = 1000
    ) -> tuple[LoggedEvent, ...]:
        store = await self._handle.enter()
        with store.lock:
            return tuple(store.run(run_id).events[max(after, 0) :][: max(limit, 0)])

    async def get_hook(self, token: str) -> HookRecord:
        store = await self._handle.enter()
        with store.lock:
            hook = find_hook(store, token, now_ms=self._handle.now_ms())
        if hook is None:
            raise HookNotFoundError(token)
        return hook

    async def wait_ended(self, run_id: RunId, *, wait_ms: int) -> RunRecord:
        record = await self.get_run(run_id)
        async for _ in self._handle.looks(wait_ms):
            record = self._handle.store.run(run_id).record
            if record.status.is_ended:
                break
        return record

    def _commit(self, commit: TurnCommit) -> Committed:
        store = self._handle.store
        with store.lock:
            committed = commit_turn(store, commit, now_ms=self._handle.now_ms())
            self._handle.counters["commits"] += 1
        store.changed.ring()
        return committed


def _append(store: Store, append: Append, *, now_ms: int) -> Appended:
    run, event = store.run(append.run_id), append.event
    first = run.positions.get(event.key)
    if first is None:
        _check_append(store, run, append, now_ms=now_ms)
        if event.type is EventType.CANCEL_REQUESTED:
            event = withdraw_messages(store, append.run_id, event, now_ms=now_ms)
            run.record = asked_record(run.record, event)
        write_event(run, event)
    elif run.record.status.is_ended:
        return Appended(position=first, duplicate=True)
    _end_lease(store, append, now_ms=now_ms)
    if append.wake and run.wake is not None:
        run.wake.arm(now_ms)
    if first is not None:
        return Appended(position=first, duplicate=True)
    if event.type in _FREES_HOOK and event.entity is not None:
        free_hooks(store, append.run_id, {event.entity})
    if event.type is EventType.ATTRIBUTES_SET:
        merged = merged_attributes(run.record.attributes, event.facts)
        run.record = replace(run.record, attributes=merged)
    if event.type is EventType.RUN_CANCELLED:
        end = RunOutcome(status=RunStatus.CANCELLED, payload=event.payload, at_ms=event.at_ms)
        run.record = ended_record(run.record, end)
        tell_watchers(store, run, now_ms=now_ms)
        keep_hooks(store, append.run_id, now_ms=now_ms)
        drop_work(store, append.run_id)
    return Appended(position=run.record.position, duplicate=False)


def _check_append(store: Store, run: StoredRun, append: Append, *, now_ms: int) -> None:
    if run.record.status.is_ended:
        raise RunEndedError(append.run_id, status=run.record.status)
    if append.lease is not None:
        check_own(store, append.lease, append.run_id, now_ms=now_ms)
    if append.event.type in _NEEDS_HOOK:
        holders = {(hook.run_id, hook.hook_id) for hook in store.hooks.values()}
        if (append.run_id, append.event.entity) not in holders:
            raise HookNotFoundError(append.event.entity or append.event.key)
    attributes_after(append.run_id, run.record.attributes, [append.event])


def _end_lease(store: Store, append: Append, *, now_ms: int) -> None:
    if append.lease is None:
        return
    try:
        item = check_own(store, append.lease, append.run_id, now_ms=now_ms)
    except LeaseLostError:
        return  # a repeated append: the first one ended it
    if append.release_delay_ms is not None:
        give_back(item, due_ms=now_ms + append.release_delay_ms)
    elif isinstance(item, StoredMessage):
        del store.messages[item.message.message_id]
    else:
        item.lease = None
