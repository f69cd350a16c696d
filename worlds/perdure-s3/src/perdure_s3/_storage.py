"""Storage: runs, logs, hook tokens, and the commit of a turn."""

from __future__ import annotations

import secrets
from typing import final

import anyio

from perdure.abc import Storage
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
    RunStatus,
    TurnCommit,
)
from perdure.worldkit.pure import Book, check_turn, reaches_children

from ._handle import Handle
from ._head import Head
from ._outbox import Creation, deliver_written
from ._page import Page

__all__ = ("S3Storage",)

_FIRST_LOOK = 0.1  # seconds between looks for a run's end; they grow up to the last
_LAST_LOOK = 2.0


@final
class S3Storage(Storage):
    """The storage of an S3 world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def create_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        creation = Creation(self._handle, new)
        return await self._handle.runs.change(
            new.run_id, creation.apply, prepare=None if new.hook is None else creation.prepare
        )

    async def append(self, append: Append) -> Appended:
        has_mail = False

        def apply(page: Page) -> Appended:
            nonlocal has_mail
            appended = page.book.append(append, now_ms=page.now_ms)
            # Other letters of the run are brought by the commit that they come from.
            is_over = page.book.record.status.is_ended or reaches_children(append.event)
            has_mail = is_over and bool(page.book.letters)
            return appended

        appended = await self._handle.runs.change(append.run_id, apply)
        if has_mail:
            await deliver_written(self._handle, append.run_id)
        self._handle.counters["appends"] += 1
        return appended

    async def commit(self, commit: TurnCommit) -> Committed:
        for start in commit.starts:
            self._handle.runs.check(start.new.run_id)  # else it could never be brought there
        tokens, holders = self._handle.tokens, dict[str, HookRecord]()
        forced = {claim.token: False for claim in commit.hooks_claimed}
        forced |= {claim.token: True for claim in commit.hooks_claimed if claim.force}
        has_mail = False

        async def prepare(page: Page) -> None:
            holders.clear()
            _check(page, commit)  # before anything is claimed
            for token, force in forced.items():
                holder = await tokens.claim(page, token, force=force)
                if holder is not None:
                    holders[token] = holder

        def apply(page: Page) -> Committed:
            nonlocal has_mail
            committed = _commit(page, commit, holders)
            has_mail = bool(page.book.letters)
            return committed

        committed = await self._handle.runs.change(
            commit.run_id, apply, prepare=prepare if commit.hooks_claimed else None
        )
        if has_mail:
            await deliver_written(self._handle, commit.run_id)
        self._handle.counters["commits"] += 1
        return committed

    async def get_run(self, run_id: RunId) -> RunRecord:
        return (await self._handle.runs.get(run_id)).record

    async def load_run(self, run_id: RunId, *, after: int | None = None) -> RunState:
        parts = self._handle.runs.parts

        async def load(head: Head) -> RunState:
            if head.record.status.is_ended:
                return RunState(record=head.record, chain=(), events=())
            chain = await parts.chain(head) if after is None else ()
            start = after if after is not None else chain[-1].consumed if chain else 0
            events = await parts.events(head, after=max(start, 0), limit=head.record.position)
            return RunState(record=head.record, chain=chain, events=events)

        return await self._handle.runs.view(run_id, load)

    async def read_events(
        self, run_id: RunId, *, after: int = 0, limit: int = 1000
    ) -> tuple[LoggedEvent, ...]:
        runs = self._handle.runs
        return await runs.view(
            run_id, lambda head: runs.parts.events(head, after=max(after, 0), limit=max(limit, 0))
        )

    async def get_hook(self, token: str) -> HookRecord:
        return await self._handle.tokens.find(token, now_ms=self._handle.now_ms())

    async def wait_ended(self, run_id: RunId, *, wait_ms: int) -> RunRecord:
        record, every, looked_at = await self.get_run(run_id), _FIRST_LOOK, anyio.current_time()
        async for _ in self._handle.looks(run_id, wait_ms):
            # A ring is a write of our own, which is in memory; for others' there are looks.
            head = self._handle.runs.cached(run_id)
            has_ended = head is not None and head.record.status.is_ended
            if has_ended or anyio.current_time() - looked_at >= every:
                record, looked_at = await self.get_run(run_id), anyio.current_time()
                every = min(_LAST_LOOK, every * 1.5)
            if record.status.is_ended:
                return record
        return await self.get_run(run_id) if wait_ms else record


def _check(page: Page, commit: TurnCommit) -> None:
    if page.found is not None:
        page.found.check_commit(commit)
    elif commit.new is not None:
        check_turn(commit, status=RunStatus.PENDING, turn=0, position=1)
    else:
        page.book  # noqa: B018  # raises what is to be raised


def _commit(page: Page, commit: TurnCommit, holders: dict[str, HookRecord]) -> Committed:
    if page.found is None and commit.new is not None:
        book, committed = Book.begin(
            commit, now_ms=page.now_ms, holder=holders.get, new_token=_new_token
        )
        page.create(book)
        return committed
    return page.book.commit(commit, now_ms=page.now_ms, holder=holders.get, new_token=_new_token)


def _new_token() -> str:
    return secrets.token_hex(8)
