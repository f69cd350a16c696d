"""Storage: runs, logs, hook tokens, and the commit of a turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from ..._model.commit import Append, Appended, Committed, TurnCommit
from ..._model.events import LoggedEvent
from ..._model.hooks import HookRecord
from ..._model.ids import RunId
from ..._model.runs import NewRun, RunRecord
from ..._model.state import RunState
from ...abc import DirectStorage
from ...errors import HookNotFoundError, IdempotencyConflictError
from ._appending import append_event
from ._hooks import find_hook
from ._runs import create_run, is_same
from ._store import Handle
from ._turn import commit_turn

__all__ = ("MemoryStorage",)


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
            appended = append_event(store, append, now_ms=self._handle.now_ms())
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
