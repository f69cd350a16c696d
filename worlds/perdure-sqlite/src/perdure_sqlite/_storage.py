"""Storage: runs, logs, hook tokens, and the commit of a turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import final

from perdure.abc import DirectStorage
from perdure.errors import (
    HookNotFoundError,
)
from perdure.model import (
    Append,
    Appended,
    Committed,
    HookRecord,
    LoggedEvent,
    NewRun,
    RunId,
    RunRecord,
    RunState,
    TurnCommit,
)

from ._appending import append_event
from ._creation import create_run
from ._handle import Handle
from ._hooks import find_hook
from ._runs import RECORD, find_run, record_of
from ._schema import EVENT_COLUMNS, OF_RUN, bounded, ids_of, unpack_event
from ._sequences import Sequences
from ._snapshots import read_chain
from ._turn import commit_turn

__all__ = ("SqliteStorage",)


@final
class SqliteStorage(DirectStorage):
    """The storage of an SQLite world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._sequences = Sequences()

    async def create_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        return await self._handle.write(lambda transaction: create_run(transaction, new))

    async def append(self, append: Append) -> Appended:
        appended = await self._handle.write(lambda transaction: append_event(transaction, append))
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
