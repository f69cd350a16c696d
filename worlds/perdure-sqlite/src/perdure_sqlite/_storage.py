"""Storage: runs, logs, hook tokens, and the commit of a turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import final

from perdure.abc import DirectStorage
from perdure.errors import (
    HookNotFoundError,
    LeaseLostError,
    RunEndedError,
)
from perdure.model import (
    Append,
    Appended,
    Committed,
    EventType,
    HookRecord,
    LoggedEvent,
    NewRun,
    RunId,
    RunOutcome,
    RunRecord,
    RunState,
    RunStatus,
    TurnCommit,
)

from ._creation import create_run
from ._ends import end_run
from ._handle import Handle
from ._hooks import find_hook, free_hooks
from ._log import Log
from ._messages import (
    check_message,
    end_message,
    give_message_back,
    spill,
    withdraw_messages,
)
from ._runs import RECORD, Wake, find_run, record_of, set_attributes, store_wake
from ._schema import EVENT_COLUMNS, OF_RUN, bounded, ids_of, unpack_event
from ._sequences import Sequences
from ._snapshots import read_chain
from ._turn import commit_turn
from ._writer import Transaction

__all__ = ("SqliteStorage",)

_FREES_HOOK = frozenset({EventType.HOOK_DISPOSED, EventType.HOOK_REVOKED})
_NEEDS_HOOK = frozenset({EventType.HOOK_RECEIVED, *_FREES_HOOK})


@final
class SqliteStorage(DirectStorage):
    """The storage of an SQLite world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._sequences = Sequences()

    async def create_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        return await self._handle.write(lambda transaction: create_run(transaction, new))

    async def append(self, append: Append) -> Appended:
        appended = await self._handle.write(lambda transaction: _append(transaction, append))
        self._handle.counters["appends"] += 1
        return appended

    async def commit(self, commit: TurnCommit) -> Committed:
        work = partial(commit_turn, commit, self._handle.owner, self._sequences)
        committed = await self._handle.write(work)
        self._handle.counters["commits"] += 1
        return committed

    def commit_soon(
        self, commit: TurnCommit, callback: Callable[[Committed | BaseException], None]
    ) -> None:
        counters = self._handle.counters

        def landed(answer: Committed | Exception) -> None:
            if isinstance(answer, Committed):
                counters["commits"] += 1
            callback(answer)

        try:
            writer = self._handle.writer
        except Exception as error:  # handed on, not swallowed: the world is closed
            callback(error)
            return
        writer.land(partial(commit_turn, commit, self._handle.owner, self._sequences), landed)

    async def get_run(self, run_id: RunId) -> RunRecord:
        return record_of(await self._handle.read(lambda db: find_run(db, run_id, RECORD)))

    async def load_run(self, run_id: RunId, *, after: int | None = None) -> RunState:
        return await self._handle.read(lambda db: _load(db, run_id, after))

    async def read_events(
        self, run_id: RunId, *, after: int = 0, limit: int = 1000
    ) -> tuple[LoggedEvent, ...]:
        def work(db: sqlite3.Connection) -> tuple[LoggedEvent, ...]:
            (n,) = find_run(db, run_id, "n")
            rows = db.execute(
                f"SELECT {EVENT_COLUMNS} FROM events WHERE {OF_RUN} ORDER BY id LIMIT ?",
                (*ids_of(n, after=bounded(after)), bounded(max(limit, 0))),
            )
            return tuple(unpack_event(row) for row in rows)

        return await self._handle.read(work)

    async def get_hook(self, token: str) -> HookRecord:
        now_ms = self._handle.now_ms()
        hook = await self._handle.read(lambda db: find_hook(db, token, now_ms=now_ms))
        if hook is None:
            raise HookNotFoundError(token)
        return hook

    async def wait_ended(self, run_id: RunId, *, wait_ms: int) -> RunRecord:
        record: RunRecord | None = None
        async for _ in self._handle.looks(run_id, wait_ms):
            record = await self.get_run(run_id)
            if record.status.is_ended:
                break
        assert record is not None  # there is always a first look
        return record


def _load(db: sqlite3.Connection, run_id: RunId, after: int | None) -> RunState:
    db.execute("BEGIN")  # one instant for all three
    try:
        return _load_at_once(db, run_id, after)
    finally:
        db.execute("COMMIT")


def _load_at_once(db: sqlite3.Connection, run_id: RunId, after: int | None) -> RunState:
    n, *row = find_run(db, run_id, f"n, {RECORD}")
    record = record_of(tuple(row))
    if record.status.is_ended:
        return RunState(record=record, chain=(), events=())
    chain = read_chain(db, n) if after is None else ()
    if after is None:
        after = chain[-1].consumed if chain else 0
    rows = db.execute(
        f"SELECT {EVENT_COLUMNS} FROM events WHERE {OF_RUN} ORDER BY id",
        ids_of(n, after=after),
    )
    return RunState(record=record, chain=chain, events=tuple(unpack_event(row) for row in rows))


def _append(transaction: Transaction, append: Append) -> Appended:
    db, event = transaction.db, append.event
    row = find_run(db, append.run_id, f"status, position, inline_token, {Wake.COLUMNS}")
    status, position, wake = RunStatus(row[0]), row[1], Wake(*row[3:])
    if append.lease is not None and append.lease.token == row[2]:
        spill(db, "n = ?", (wake.n,))
    log = Log(db, wake.n, position)
    first = log.find(event.key)
    if first is not None and status.is_ended:
        return Appended(position=first, duplicate=True)
    if first is None:
        if status.is_ended:
            raise RunEndedError(append.run_id, status=status)
        _check_append(transaction, append, wake)
        if event.type is EventType.CANCEL_REQUESTED:
            event = withdraw_messages(transaction, wake.n, event)
        log.write(event)
        db.execute("UPDATE runs SET position = ? WHERE n = ?", (log.position, wake.n))
    _end_lease(transaction, append, wake)
    if append.wake:
        wake.arm(transaction.now_ms)
    store_wake(transaction, wake)
    if first is not None:
        return Appended(position=first, duplicate=True)
    if event.type in _FREES_HOOK and event.entity is not None:
        free_hooks(db, wake.n, {event.entity})
    if event.type is EventType.ATTRIBUTES_SET:
        set_attributes(db, wake.n, append.run_id, event)
    if event.type is EventType.RUN_CANCELLED:
        outcome = RunOutcome(status=RunStatus.CANCELLED, payload=event.payload, at_ms=event.at_ms)
        end_run(transaction, wake.n, append.run_id, outcome)
    return Appended(position=log.position, duplicate=False)


def _check_append(transaction: Transaction, append: Append, wake: Wake) -> None:
    lease, event = append.lease, append.event
    if lease is not None and not lease.is_wake:
        check_message(transaction, lease, n=wake.n)
    elif lease is not None:
        _own_wake(append, wake).check_live(lease, now_ms=transaction.now_ms)
    if event.type in _NEEDS_HOOK:
        row = transaction.db.execute(
            "SELECT 1 FROM hooks WHERE n = ? AND hook_id = ?", (wake.n, event.entity)
        ).fetchone()
        if row is None:
            raise HookNotFoundError(event.entity or event.key)


def _own_wake(append: Append, wake: Wake) -> Wake:
    """The wake that the lease is on: an append never carries another run's."""
    if append.lease is not None and append.lease.item != append.run_id:
        raise LeaseLostError(append.lease.item)
    return wake


def _end_lease(transaction: Transaction, append: Append, wake: Wake) -> None:
    lease, delay_ms = append.lease, append.release_delay_ms
    if lease is None:
        return
    due_ms = None if delay_ms is None else transaction.now_ms + delay_ms
    try:
        if lease.is_wake:
            _own_wake(append, wake).check_live(lease, now_ms=transaction.now_ms)
            wake.give_back(due_ms=due_ms)
        elif due_ms is None:
            end_message(transaction, lease, n=wake.n)
        else:
            give_message_back(transaction, lease, due_ms=due_ms, ran=True, n=wake.n)
    except LeaseLostError:
        return  # a repeated append: the first one ended it
