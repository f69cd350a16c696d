"""Heads: those of runs, read and replaced.

All that is asked of one run in this process while a write is at work shares the next write. Heads
are kept in memory, and read by conditional GET where an answer depends on it: a write that lands
proves that it was built on the latest version; a call that changes nothing, or is refused, is
answered only on a head that has been read after the call.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar, final

import anyio

from perdure.errors import (
    PerdureError,
    RunNotFoundError,
    WorldContractError,
    WorldUnavailableError,
)
from perdure.model import RunId
from perdure.worldkit.waiting import Bells

from ._cas import UNCHANGED, Cas, Found, Refusal, Unchanged
from ._due import Due
from ._head import RECENT, Head
from ._index import View
from ._page import Page, comes_due_earlier, view_of
from ._parts import MissingPartError, Parts, part_names
from ._schema import Layout, new_mark
from ._together import together

__all__ = ("Heads",)

T = TypeVar("T")
_KEPT = 512  # heads in memory; most have a few KiB, none much over 100
_TRIES = 60
_ARMED_FOR = 5.0  # seconds that may pass between the index and the head
_DOUBTS = 1  # writes of unknown outcome after which one more is made


@dataclass(slots=True)
class _Work(Generic[T]):
    apply: Callable[[Page], T]
    prepare: Callable[[Page], Awaitable[None]] | None
    answer: asyncio.Future[T] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


_SomeWork: TypeAlias = "_Work[Any]"  # each has an answer of its own type


@dataclass(frozen=True, slots=True)
class _Try:
    page: Page
    head: Head
    answers: list[object]


@final
class Heads:
    """The heads of one open world."""

    def __init__(self, cas: Cas, due: Due, bells: Bells, *, now_ms: Callable[[], int]) -> None:
        self.parts = Parts(cas)
        self._cas = cas
        self._due = due
        self._bells = bells
        self._now_ms = now_ms
        self._heads: OrderedDict[RunId, Head] = OrderedDict()
        self._queued: dict[RunId, list[_SomeWork]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Heads {len(self._heads)} heads, {len(self._queued)} being written>"

    def cached(self, run_id: RunId) -> Head | None:
        """The version last seen here."""
        return self._heads.get(run_id)

    async def read(self, run_id: RunId) -> Head | None:
        """The latest version."""
        self.check(run_id)
        head = self._heads.get(run_id)
        reply = await self._cas.get(Layout.head(run_id), etag=None if head is None else head.etag)
        return self._take(run_id, head, reply)

    def check(self, run_id: RunId) -> None:
        """Pass only an id that all the run's objects can be named by.

        Raises:
            NameTooLongError: it is another.
        """
        self._cas.check_name(run_id, Layout.longest(run_id))

    async def get(self, run_id: RunId) -> Head:
        """The latest version.

        Raises:
            RunNotFoundError: no such run.
        """
        head = await self.read(run_id)
        if head is None:
            raise RunNotFoundError(run_id)
        return head

    async def view(self, run_id: RunId, look: Callable[[Head], Awaitable[T]]) -> T:
        """The result of *look* on the latest version; again if parts of it went meanwhile.

        Raises:
            RunNotFoundError: no such run.
        """
        head = await self.get(run_id)
        while True:
            try:
                return await look(head)
            except MissingPartError:
                newer = await self._read_newer(run_id, head)
                if newer is None:
                    raise RunNotFoundError(run_id) from None
                head = newer

    async def change(
        self,
        run_id: RunId,
        apply: Callable[[Page], T],
        *,
        prepare: Callable[[Page], Awaitable[None]] | None = None,
    ) -> T:
        """Change a run: *apply* is called on the latest version, again if another came first.

        It raises before it changes anything, or not at all. The change is durable once this
        returns; a caller that is cancelled does not know whether it is.

        Args:
            prepare: awaited before *apply*, on the same version.

        Raises:
            NameTooLongError: S3 cannot name the run's objects.
            WorldUnavailableError: the outcome is unknown.
        """
        self.check(run_id)
        work = _Work(apply, prepare)
        queued = self._queued.get(run_id)
        if queued is not None:
            queued.append(work)
        else:
            self._queued[run_id] = [work]
            self.follow(self._write_all(run_id))
        return await work.answer

    def follow(self, work: Coroutine[object, object, None]) -> None:
        """Have a coroutine run until it is done; ``settle`` waits for it."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until everything that was begun is done."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def bump(self, head: Head) -> bool:
        """Write a version again as it is, so that no write that was built on it can land.

        Returns:
            Whether that was so; if not, the run has another version already.
        """
        version = replace(head, seq=head.seq + 1, mark=new_mark(), etag="")
        version = replace(version, recent=(*head.recent, head.mark)[-RECENT:])
        etag = await self._cas.replace(Layout.head(head.record.run_id), version.body(), head.etag)
        if isinstance(etag, Refusal):
            return False
        self._keep(head.record.run_id, replace(version, etag=etag))
        return True

    def forget(self, run_id: RunId) -> None:
        """Keep nothing of a run that is gone."""
        self._heads.pop(run_id, None)

    # --- writing ------------------------------------------------------------------------------

    async def _write_all(self, run_id: RunId) -> None:
        try:
            while self._queued[run_id]:
                await asyncio.sleep(0)  # for changes that others ask for at the same moment
                batch, self._queued[run_id] = self._queued[run_id], []
                try:
                    answers = await self._land(run_id, batch)
                except Exception as exc:  # handed on to all of them, not swallowed
                    answers = [exc] * len(batch)
                _answer(batch, answers)
        finally:
            _answer(self._queued[run_id], [asyncio.CancelledError()] * len(self._queued[run_id]))
            del self._queued[run_id]

    async def _land(self, run_id: RunId, batch: list[_SomeWork]) -> list[object]:
        head, fresh = self._heads.get(run_id), False
        if head is None:
            head, fresh = await self.read(run_id), True
        tried: dict[bytes, _Try] = {}
        reserved: dict[str, str] = {}
        doubts = 0
        for tries in range(_TRIES):
            try:
                keyed = await self._with_keys(head)
                page = Page(run_id, keyed, now_ms=self._now_ms(), reserved=reserved)
            except MissingPartError:
                head, fresh = await self._read_newer(run_id, head), True
                continue
            answers = [await _apply(work, page) for work in batch]
            if not page.changes:
                before = head
                if not fresh:
                    head, fresh = await self.read(run_id), True
                if head is before:
                    if not doubts:  # else a write that holds them may land yet
                        await self._release(reserved)
                    return answers
                continue
            version = await self._prepare(page)
            tried[version.mark] = _Try(page, version, answers)
            landed = await self._put(page, version)
            if isinstance(landed, str):
                version = replace(version, etag=landed)
                self._landed(page, version, version)
                return answers
            # Sleep, then read: while others write, only what was just read is still so.
            await anyio.sleep(random.uniform(0, min(0.5, 0.005 * 2 ** min(tries, 8))))
            base, head, fresh = head, await self.read(run_id), True
            winner = _winner(head, tried)
            if winner is not None and head is not None:
                self._landed(winner.page, winner.head, head)
                return winner.answers
            doubts += landed is Refusal.DOUBTFUL
            if landed is Refusal.DOUBTFUL and (doubts > _DOUBTS or not _is_remembered(base, head)):
                break
        raise WorldUnavailableError(f"run {run_id}: the outcome of a write is unknown; ask again")

    async def _prepare(self, page: Page) -> Head:
        """Everything that comes before the head: large parts, entries in lists, the index."""
        version = page.next_head()
        spilled = await self.parts.spill(version)
        record, before = spilled.record, page.head
        needed: list[Awaitable[None]] = []
        if before is None:
            key = Layout.listed(Layout.CREATED, record.created_at_ms, record.run_id)
            needed.append(self._cas.put(key, b""))
        ended = record.ended_at_ms
        if ended is not None and (before is None or before.record.ended_at_ms is None):
            key = Layout.listed(Layout.ENDED, ended, record.run_id)
            needed.append(self._cas.put(key, b""))
        armed = comes_due_earlier(before, spilled)
        base = None if before is None else view_of(before, now_ms=page.now_ms)
        view = View(spilled.birth, spilled.seq, spilled.cover)
        if armed:
            needed.append(self._due.arm(record.run_id, view, base))
        began = anyio.current_time()
        await together(*needed)
        if armed and anyio.current_time() - began > _ARMED_FOR:
            await self._due.arm(record.run_id, view, base)  # the rest took a part of its guard
        return spilled

    async def _put(self, page: Page, version: Head) -> str | Refusal:
        key, body = Layout.head(page.run_id), version.body()
        if page.head is None:
            return await self._cas.create(key, body)
        return await self._cas.replace(key, body, page.head.etag)

    async def _release(self, reserved: Mapping[str, str]) -> None:
        """Let others have the tokens of a change that was refused."""
        for token, etag in reserved.items():
            await self._cas.drop(Layout.token(token), etag=etag)

    def _landed(self, page: Page, version: Head, latest: Head) -> None:
        """Settle the effects of a write; *latest* may be a version that others made of it."""
        latest.learn()
        self._keep(page.run_id, latest)
        before = page.head
        for name in part_names(before) - part_names(version) if before is not None else ():
            self.follow(self._cas.drop(Layout.part(page.run_id, version.birth, name)))
        for token, claim in {**({} if before is None else before.claimed), **page.granted}.items():
            if version.claimed.get(token) != claim:
                self.follow(self._cas.drop(Layout.token(token), etag=claim.etag))
        self._due.tidy(page.run_id, view_of(latest, now_ms=page.now_ms))
        self._due.hasten()
        self._bells.ring("due", page.run_id)

    # --- reading ------------------------------------------------------------------------------

    def _take(
        self, run_id: RunId, old: Head | None, reply: Found | Unchanged | None
    ) -> Head | None:
        if reply is UNCHANGED:
            return old
        if reply is None:
            if self._heads.get(run_id) is old:
                self._heads.pop(run_id, None)
            return None
        latest = self._heads.get(run_id)
        head = Head.parse(reply.body, reply.etag, latest)
        if latest is not None and latest.birth == head.birth and latest.seq > head.seq:
            return latest  # a write of ours came meanwhile
        self._keep(run_id, head)
        return head

    def _keep(self, run_id: RunId, head: Head) -> None:
        self._heads[run_id] = head
        self._heads.move_to_end(run_id)
        while len(self._heads) > _KEPT:
            self._heads.popitem(last=False)

    async def _read_newer(self, run_id: RunId, head: Head | None) -> Head | None:
        """The latest version, where one before it names a part that is gone.

        Raises:
            WorldContractError: there is no newer one: the store has lost something.
        """
        latest = await self.read(run_id)
        if latest is head:
            raise WorldContractError(f"run {run_id}: a part of it is missing")
        return latest

    async def _with_keys(self, head: Head | None) -> Head | None:
        """The version, with the positions of all its keys known."""
        if head is not None and not head.knows_keys:
            keys = await self.parts.read_keys(head)
            head.positions.update((key, at) for at, key in enumerate(keys, start=1))
        return head


async def _apply(work: _SomeWork, page: Page) -> object:
    try:
        if work.prepare is not None:
            await work.prepare(page)
        return work.apply(page)
    except PerdureError as exc:
        return exc


def _answer(batch: list[_SomeWork], answers: Sequence[object]) -> None:
    for work, answer in zip(batch, answers, strict=True):
        if work.answer.done():
            continue
        if isinstance(answer, BaseException):
            work.answer.set_exception(answer)
        else:
            work.answer.set_result(answer)


def _winner(head: Head | None, tried: Mapping[bytes, _Try]) -> _Try | None:
    if head is None:
        return None
    return next((one for mark, one in tried.items() if head.has(mark)), None)


def _is_remembered(base: Head | None, head: Head | None) -> bool:
    """Whether *head* would remember a write on *base*, had that landed."""
    if head is None:
        return base is None
    if base is None:
        return head.seq <= len(head.recent) + 1
    return head.birth == base.birth and base.seq <= head.seq <= base.seq + len(head.recent)
