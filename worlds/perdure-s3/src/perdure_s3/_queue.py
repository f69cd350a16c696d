"""Queue: wakes and step messages, claimed under leases that live in the runs' heads.

The index says whose head is worth a look; a claim is a write of the head.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, final

from perdure.abc import Queue
from perdure.errors import LeaseLostError, RunNotFoundError, WorldContractError
from perdure.model import Lease, LeaseEnd, MessageClaim, NewMessage, RunId, WakeClaim
from perdure.worldkit.pure import Book

from ._handle import Handle
from ._head import OUTBOX, WAKES, Head
from ._index import View
from ._outbox import Courier
from ._page import Page, view_of
from ._parts import MissingPartError
from ._schema import run_of
from ._together import each

__all__ = ("S3Queue",)

T = TypeVar("T")
_log = logging.getLogger("perdure")
_AHEAD = 32  # heads that are looked at beyond what is asked for, to find the longest due
_COUNTED = 256  # heads that ``count_waiting`` looks into; beyond that an entry counts for one
_ROUNDS = 3
_FIRST_MISS = 0.05  # seconds until a look in vain is repeated; doubled up to the last
_LAST_MISS = 3.2
_DAMAGED = 60  # seconds until a head that cannot be read is read again


@dataclass(frozen=True, slots=True)
class _Miss:
    """Looks in vain at a run that the index names: a write is under way, or its writer died."""

    head: Head | None
    count: int
    again_at: float  # by the loop's clock


@final
class S3Queue(Queue):
    """The queue of an S3 world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._courier = Courier(handle)
        self._misses: dict[tuple[str, bool], _Miss] = {}  # by run, and whether for wakes

    async def wake(self, run_id: RunId, *, due_ms: int) -> None:
        def arm(page: Page) -> None:
            if page.found is not None:
                page.found.arm(due_ms)

        await self._handle.runs.change(run_id, arm)

    async def claim_wakes(
        self, *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[WakeClaim, ...]:
        async def claim(heads: Sequence[Head]) -> list[WakeClaim]:
            now_ms = self._handle.now_ms()
            await self._courier.bring(heads)
            due = [head for head in heads if head.is_due(now_ms)]
            wakes = [(h.wake.claimable_ms or 0, h.record.run_id) for h in due if h.wake]
            run_ids = [run_id for _, run_id in sorted(wakes)[:limit]]
            claims = await each(
                self._handle.runs.change(run_id, lambda page: _claim_wake(page, visibility_ms))
                for run_id in run_ids
            )
            return [one for one in claims if one is not None]

        def is_due(head: Head, now_ms: int) -> bool:
            return head.is_due(now_ms) or self._courier.is_due(head, now_ms)

        kinds = {*WAKES, OUTBOX}
        return tuple(await self._wait(kinds, limit, wait_ms, is_due, claim))

    async def send(self, messages: Sequence[NewMessage]) -> None:
        self._handle.check_open()
        by_run: defaultdict[RunId, list[NewMessage]] = defaultdict(list)
        for new in messages:
            by_run[new.run_id].append(replace(new, lease_ms=None))

        def send(page: Page, mine: Sequence[NewMessage]) -> None:
            for new in mine:
                if page.found is not None:
                    page.found.send(new, now_ms=page.now_ms)

        for run_id, mine in by_run.items():
            # Mypy infers no lambda with a default.
            await self._handle.runs.change(run_id, lambda page, mine=mine: send(page, mine))  # type: ignore[misc]

    async def claim_messages(
        self, topics: Sequence[str], *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[MessageClaim, ...]:
        kinds = frozenset(topics)

        async def claim(heads: Sequence[Head]) -> list[MessageClaim]:
            names_due = _longest_due(heads, kinds, limit=limit, now_ms=self._handle.now_ms())
            by_run: defaultdict[RunId, list[str]] = defaultdict(list)
            for name in names_due:
                by_run[run_of(name)].append(name)
            batches = await each(
                self._claim_messages(run_id, names, visibility_ms)
                for run_id, names in by_run.items()
            )
            claims = [one for some in batches for one in some]
            return sorted(claims, key=lambda one: names_due.index(one.lease.item))

        def is_due(head: Head, now_ms: int) -> bool:
            return any(
                q.message.topic in kinds and q.is_claimable(now_ms) for q in head.messages.values()
            )

        return tuple(await self._wait(kinds, limit, wait_ms, is_due, claim))

    async def extend(self, leases: Sequence[Lease], *, visibility_ms: int) -> tuple[Lease, ...]:
        self._handle.check_open()
        by_run: defaultdict[RunId, list[Lease]] = defaultdict(list)
        for lease in leases:
            by_run[run_of(lease.item)].append(lease)

        def extend(page: Page, mine: Sequence[Lease]) -> list[Lease]:
            renewed: list[Lease] = []
            for lease in mine if page.found is not None else ():
                try:
                    until_ms = page.now_ms + visibility_ms
                    renewed.append(page.book.extend(lease, now_ms=page.now_ms, until_ms=until_ms))
                except LeaseLostError:
                    continue
            return renewed

        batches = await each(
            # Mypy infers no lambda with a default.
            self._handle.runs.change(run_id, lambda page, mine=mine: extend(page, mine))  # type: ignore[misc]
            for run_id, mine in by_run.items()
        )
        renewed = {lease.token: lease for some in batches for lease in some}
        return tuple(renewed[lease.token] for lease in leases if lease.token in renewed)

    async def finish(self, end: LeaseEnd) -> None:
        await self._end(end.lease, lambda book, now_ms: book.finish(end, now_ms=now_ms))

    async def release(self, lease: Lease, *, delay_ms: int = 0, ran: bool = False) -> None:
        await self._end(
            lease,
            lambda book, now_ms: book.release(lease, now_ms=now_ms, delay_ms=delay_ms, ran=ran),
        )

    async def count_waiting(self, topics: Sequence[str] | None = None) -> dict[str, int]:
        due = self._handle.due
        await due.look(at_once=True)
        kinds = due.kinds() if topics is None else {*topics}
        counts, now_ms = {"": 0}, self._handle.now_ms()
        candidates = [run_id for _, run_id in due.candidates({*WAKES, *kinds})]
        for head in await each(self._read(run_id) for run_id in candidates[:_COUNTED]):
            if head is None:
                continue
            counts[""] += head.is_due(now_ms)
            for queued in head.messages.values():
                topic = queued.message.topic
                if queued.is_claimable(now_ms) and (topics is None or topic in kinds):
                    counts[topic] = counts.get(topic, 0) + 1
        counts[""] += len(candidates[_COUNTED:])
        return counts

    # --- claiming -----------------------------------------------------------------------------

    async def _wait(
        self,
        kinds: Collection[str],
        limit: int,
        wait_ms: int,
        is_due: Callable[[Head, int], bool],
        claim: Callable[[Sequence[Head]], Awaitable[list[T]]],
    ) -> list[T]:
        """Claim due items, or wait for one."""
        if limit < 1:
            self._handle.check_open()
            return []
        due, claims = self._handle.due, list[T]()
        async for look in self._handle.looks("due", wait_ms, poll_s=self._pause):
            await due.look(at_once=wait_ms == 0)
            for _ in range(_ROUNDS):  # again where others were faster
                heads = await self._find(kinds, limit, is_due)
                claims = await claim(heads) if heads else []
                if claims or not heads:
                    break
            if claims:
                break
            look.next_due_ms = due.next_due_ms(kinds)
        self._handle.counters["claims"] += len(claims)
        return claims

    def _pause(self) -> float:
        """Seconds until another look without a ring."""
        now = asyncio.get_running_loop().time()
        again = [miss.again_at - now for miss in self._misses.values()]
        return max(0.01, min([self._handle.due.look_every, *again]))

    async def _find(
        self, kinds: Collection[str], limit: int, is_due: Callable[[Head, int], bool]
    ) -> list[Head]:
        """Runs of which something is due, of those that the index names first."""
        for_wakes = "" in kinds
        listed = [run_id for _, run_id in self._handle.due.candidates(kinds)]
        for key in self._misses.keys() - {(run_id, for_wakes) for run_id in listed}:
            if key[1] is for_wakes:
                del self._misses[key]
        wanted = [run_id for run_id in listed if self._is_worth_a_look(run_id, for_wakes)]
        heads = await each(
            self._look(run_id, for_wakes, is_due) for run_id in wanted[: limit + _AHEAD]
        )
        return [head for head in heads if head is not None]

    def _is_worth_a_look(self, run_id: str, for_wakes: bool) -> bool:
        miss = self._misses.get((run_id, for_wakes))
        if miss is None or miss.again_at <= asyncio.get_running_loop().time():
            return True
        return self._handle.runs.cached(RunId(run_id)) is not miss.head

    async def _look(
        self, name: str, for_wakes: bool, is_due: Callable[[Head, int], bool]
    ) -> Head | None:
        """The run's head if something of it is due; else the index is put right."""
        runs, run_id = self._handle.runs, RunId(name)
        head = runs.cached(run_id)
        if head is None or not is_due(head, self._handle.now_ms()):
            try:
                head = await runs.read(run_id)
            except WorldContractError as exc:  # its damage is no other run's trouble
                _log.warning("run %s: %s; it is looked at again in %d s", name, exc, _DAMAGED)
                again_at = asyncio.get_running_loop().time() + _DAMAGED
                self._misses[name, for_wakes] = _Miss(runs.cached(run_id), 0, again_at)
                return None
        now_ms = self._handle.now_ms()
        if head is not None and is_due(head, now_ms):
            self._misses.pop((name, for_wakes), None)
            return head
        view = View("", 0, {}) if head is None else view_of(head, now_ms=now_ms)
        self._handle.due.tidy(run_id, view)
        before = self._misses.get((name, for_wakes))
        count = 0 if before is None else before.count + 1
        pause = min(_LAST_MISS, _FIRST_MISS * 2**count)
        again_at = asyncio.get_running_loop().time() + pause
        self._misses[name, for_wakes] = _Miss(runs.cached(run_id), count, again_at)
        return None

    async def _claim_messages(
        self, run_id: RunId, names: Sequence[str], visibility_ms: int
    ) -> list[MessageClaim]:
        heads: list[Head | None] = []

        def claim(page: Page) -> list[MessageClaim]:
            heads[:] = [page.head]
            return [
                page.book.claim_message(_lease(name, page, visibility_ms, is_wake=False))
                for name in names
                if _is_claimable(page, name)
            ]

        claims = await self._handle.runs.change(run_id, claim)
        head, parts = heads[0], self._handle.runs.parts
        whole: list[MessageClaim] = []
        for one in claims:
            body = one.message.body
            try:
                if head is not None and not body:
                    body = await parts.body(head, one.lease.item) or b""
            except MissingPartError:
                continue  # the run has ended meanwhile, and its messages with it
            whole.append(replace(one, message=replace(one.message, body=body)))
        return whole

    async def _read(self, run_id: str) -> Head | None:
        return await self._handle.runs.read(RunId(run_id))

    async def _end(self, lease: Lease, end: Callable[[Book, int], None]) -> None:
        try:
            await self._handle.runs.change(
                run_of(lease.item), lambda page: end(page.book, page.now_ms)
            )
        except RunNotFoundError:
            raise LeaseLostError(lease.item) from None


def _lease(item: str, page: Page, visibility_ms: int, *, is_wake: bool) -> Lease:
    return Lease(
        item=item,
        token=secrets.token_hex(8),
        is_wake=is_wake,
        expires_at_ms=page.now_ms + visibility_ms,
    )


def _claim_wake(page: Page, visibility_ms: int) -> WakeClaim | None:
    book = page.found
    if book is None or not book.is_due(page.now_ms):
        return None
    return book.claim_wake(_lease(page.run_id, page, visibility_ms, is_wake=True))


def _is_claimable(page: Page, name: str) -> bool:
    queued = None if page.found is None else page.found.messages.get(name)
    return queued is not None and queued.is_claimable(page.now_ms)


def _longest_due(
    heads: Sequence[Head], topics: Collection[str], *, limit: int, now_ms: int
) -> list[str]:
    due = [
        (queued.claimable_ms or 0, name)
        for head in heads
        for name, queued in head.messages.items()
        if queued.message.topic in topics and queued.is_claimable(now_ms)
    ]
    return [name for _, name in sorted(due)[:limit]]
