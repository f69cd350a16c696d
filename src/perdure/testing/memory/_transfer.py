"""Transfer: runs that leave for another world, and runs that come."""

from __future__ import annotations

from typing import final

from ..._core.landing import ended_record
from ..._core.leases import Mailbox
from ..._core.stream_log import StreamLog
from ..._core.transfer import (
    arrived_record,
    check_same_arrival,
    check_tokens_free,
    confirmed_record,
    departed_outcome,
    has_departed,
    moved_event,
    moved_key,
    pending_work,
    work_of,
)
from ..._model.ids import RunId
from ..._model.runs import RunRecord
from ..._model.transfer import Departure, RunCopy, StreamCopy
from ...abc import Transfer
from ...errors import RunWatchedError
from ._children import watches_of
from ._hooks import find_hook, free_hooks
from ._queue import drop_work
from ._store import Handle, Store, StoredMessage, StoredRun, write_event

__all__ = ("MemoryTransfer",)


@final
class MemoryTransfer(Transfer):
    """Departures from a memory world, and arrivals."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def depart(self, departure: Departure) -> RunRecord:
        store = await self._handle.enter()
        with store.lock:
            run = store.run(departure.run_id)
            if not has_departed(run.record, departure):
                _depart(store, run, departure, url=self._handle.url, now_ms=self._handle.now_ms())
            record = run.record
        store.changed.ring()
        return record

    async def read_streams(self, run_id: RunId) -> tuple[StreamCopy, ...]:
        store = await self._handle.enter()
        with store.lock:
            streams = store.run(run_id).streams
            return tuple(streams[name].copied(name) for name in sorted(streams))

    async def arrive(self, copy: RunCopy) -> RunRecord:
        store = await self._handle.enter()
        with store.lock:
            run = store.runs.get(copy.record.run_id)
            if run is None:
                run = _arrive(store, copy, now_ms=self._handle.now_ms())
            else:
                at = run.positions.get(moved_key(copy.record.position))
                check_same_arrival(run.record, at, copy)
            record = run.record
        store.changed.ring()
        return record

    async def confirm(self, run_id: RunId) -> RunRecord:
        store = await self._handle.enter()
        with store.lock:
            run = store.run(run_id)
            run.record = confirmed_record(run.record)
            return run.record


def _depart(store: Store, run: StoredRun, departure: Departure, *, url: str, now_ms: int) -> None:
    assert run.wake is not None  # it has not ended
    run_id = departure.run_id
    others = watches_of(store, run)
    if others:
        raise RunWatchedError(run_id, others=others)
    work = pending_work(
        departure,
        run.wake,
        [
            (stored.message, stored, stored.losses, stored.returned)
            for stored in store.messages.values()
            if stored.message.run_id == run_id
        ],
        [hook for hook in store.hooks.values() if hook.run_id == run_id],
        now_ms=now_ms,
    )
    write_event(run, moved_event(run.record, departure, work, url=url, now_ms=now_ms))
    run.record = ended_record(run.record, departed_outcome(departure, now_ms=now_ms))
    free_hooks(store, run_id, None)
    drop_work(store, run_id)


def _arrive(store: Store, copy: RunCopy, *, now_ms: int) -> StoredRun:
    work = work_of(copy)
    check_tokens_free(work, lambda token: find_hook(store, token, now_ms=now_ms))
    run = StoredRun(
        record=arrived_record(copy),
        wake=Mailbox(
            due_ms=work.wake_due_ms, generation=work.wake_generation, claims=work.wake_claims
        ),
        events=list(copy.events),
        positions={logged.event.key: logged.position for logged in copy.events},
        snapshots=list(copy.chain),
        streams={stream.name: StreamLog.of(stream) for stream in copy.streams},
    )
    store.runs[copy.record.run_id] = run
    store.hooks.update((hook.token, hook) for hook in work.hooks)
    for one in work.messages:
        store.messages[one.message.message_id] = StoredMessage(
            message=one.message,
            due_ms=one.due_ms,
            claims=one.claims,
            losses=one.losses,
            returned=one.returned,
        )
    return run
