"""Catalogue: finding runs, and taking them away."""

from __future__ import annotations

from typing import final

from ..._core.landing import list_cursor, matches_filter, parse_cursor
from ..._model.ids import RunId
from ..._model.runs import RunFilter, RunPage, RunRecord
from ...abc import Catalogue
from ...errors import RunLiveError
from ._hooks import free_hooks
from ._queue import drop_work
from ._store import Handle, Store

__all__ = ("MemoryCatalogue",)


@final
class MemoryCatalogue(Catalogue):
    """The catalogue of a memory world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> RunPage:
        store = await self._handle.enter()
        last = parse_cursor(cursor)
        with store.lock:
            records = [run.record for run in store.runs.values()]
        matches = sorted(
            (r for r in records if _order(r) < last and matches_filter(r, where)),
            key=_order,
            reverse=True,
        )
        page = tuple(matches[: max(limit, 0)])
        more = len(matches) > len(page) and page
        return RunPage(runs=page, cursor=list_cursor(page[-1]) if more else None)

    async def delete_run(self, run_id: RunId) -> None:
        store = await self._handle.enter()
        with store.lock:
            run = store.runs.get(run_id)
            if run is not None and not run.record.status.is_over:
                raise RunLiveError(run_id)
            _forget(store, run_id)
        store.changed.ring()

    async def purge(self, *, ended_before_ms: int, limit: int = 100) -> int:
        store = await self._handle.enter()
        with store.lock:
            ended = sorted(
                (run.record.ended_at_ms, run_id)
                for run_id, run in store.runs.items()
                if run.record.status.is_over
                and run.record.ended_at_ms is not None
                and run.record.ended_at_ms < ended_before_ms
            )
            del ended[max(limit, 0) :]
            for _, run_id in ended:
                _forget(store, run_id)
        store.changed.ring()
        return len(ended)


def _order(record: RunRecord) -> tuple[int, str]:
    return record.created_at_ms, record.run_id


def _forget(store: Store, run_id: RunId) -> None:
    if run_id in store.runs:
        drop_work(store, run_id)
        free_hooks(store, run_id, None)
        store.watchers.pop(run_id, None)
        del store.runs[run_id]
    for key in [key for key in store.blobs if key[0] == run_id]:
        del store.blobs[key]
