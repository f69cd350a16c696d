"""Index: which runs are due when, in a few objects that workers read instead of every head.

An entry is a list of items, each a lower bound (a cover) that a version of the run's head has, or
will have; the entry is due at the earliest of them. It may be too early, never too late:

- a writer that makes a run due earlier puts an item in *first* (``arm``), with the number of the
  version it is about to write, and then writes the head;
- a reader of a version of the head may replace the items up to that version by the version's own
  cover (``tidy``). An item above it belongs to a write that is under way, and stays; a writer
  that died is given up after ``GUARD_MS``.

So a crash between the two leaves an entry at which somebody looks in vain. Both are idempotent, and
all that comes up while a write is at work shares the next one. Leases live in heads, not here.
Items that are due far ahead lie in objects by stretch of time, and are moved when that comes near.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import final

import anyio
import anyio.lowlevel

from perdure.errors import WorldUnavailableError

from ._cas import UNCHANGED, Cas, Refusal
from ._schema import dumps, loads, new_mark, readable

__all__ = ("GUARD_MS", "Item", "Shelf", "View", "due_of")

GUARD_MS = 60_000  # longer than a write is tried for
SOON_MS = 1_000  # entries that are wrong and due within this are put right quickly
QUICKLY = 0.25  # seconds
LAZILY = 4.0  # seconds
_TRIES = 40
_DOUBTS = 1  # writes of unknown outcome after which one more is made


@dataclass(frozen=True, slots=True)
class Item:
    """When a run is due by one version of its head."""

    birth: str
    seq: int
    born_ms: int
    dues: Mapping[str, int]  # by kind: "" is a wake of level 1, else a topic


@dataclass(frozen=True, slots=True)
class View:
    """The due times of a run, as a version of its head says them."""

    birth: str
    seq: int
    dues: Mapping[str, int]

    def is_before(self, other: View) -> bool:
        """Whether it is of an earlier version than *other*, or of the same."""
        return (self.birth, self.seq) <= (other.birth, other.seq)


def tidied(items: tuple[Item, ...], view: View, *, now_ms: int) -> tuple[Item, ...]:
    """An entry's items after somebody has seen *view*; none at all if nothing is left to know."""
    if not items:
        return ()
    pending = [item for item in items if _is_pending(item, view, now_ms=now_ms)]
    own = Item(view.birth, view.seq, now_ms, view.dues)
    return (*([own] if view.dues else []), *pending)


def _is_pending(item: Item, view: View, *, now_ms: int) -> bool:
    if item.birth == view.birth and item.seq <= view.seq:
        return False
    return now_ms < item.born_ms + GUARD_MS


def due_of(items: Iterable[Item]) -> dict[str, int]:
    """When an entry is due, by kind."""
    dues: dict[str, int] = {}
    for item in items:
        for kind, at in item.dues.items():
            dues[kind] = min(at, dues.get(kind, at))
    return dues


@dataclass(slots=True)
class _Arming:
    run_id: str
    item: Item
    base: View | None  # the version that the item's one is going to follow
    landing: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(frozen=True, slots=True)
class _Tidying:
    view: View
    now_ms: int  # when it was seen
    urgent: bool


@final
class Shelf:
    """One object of the index, written by one batch after another."""

    def __init__(self, cas: Cas, key: str) -> None:
        self.key = key
        self._cas = cas
        self._etag: str | None = None
        self._stored: dict[str, tuple[Item, ...]] = {}
        self._arming: list[_Arming] = []
        self._tidying: dict[str, _Tidying] = {}  # by run
        self._writing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._is_known = False
        self.looked_at = float("-inf")  # when it was last read or written, by the loop's clock

    def __repr__(self) -> str:
        return f"<Shelf {self.key} {len(self._stored)} entries>"

    def entries(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Runs and when they are due, by all that is known here."""
        for run_id, items in self._stored.items():
            tidying = self._tidying.get(run_id)
            if tidying is not None:
                items = tidied(items, tidying.view, now_ms=tidying.now_ms)
            if items:
                yield run_id, due_of(items)

    def items(self) -> dict[str, tuple[Item, ...]]:
        """The stored items, by run."""
        return dict(self._stored)

    def holds(self, run_id: str, view: View) -> bool:
        """Whether it is known to have an item that says the same as *view*."""
        items = self._stored.get(run_id, ())
        return any((i.birth, i.seq, i.dues) == (view.birth, view.seq, view.dues) for i in items)

    async def arm(self, run_id: str, item: Item, base: View | None = None) -> None:
        """Put an item in; durable once this returns."""
        arming = _Arming(run_id, item, base)
        self._arming.append(arming)
        self._write_soon(0)
        await arming.landing

    def tidy(self, run_id: str, view: View, *, now_ms: int) -> None:
        """Have items that *view* makes needless taken out, some time."""
        before = self._tidying.get(run_id)
        newer = before is None or before.view.is_before(view)
        items = self._stored.get(run_id, ())
        if not newer or due_of(tidied(items, view, now_ms=now_ms)) == due_of(items):
            return
        urgent = min(due_of(items).values(), default=now_ms) <= now_ms + SOON_MS
        self._tidying[run_id] = _Tidying(view, now_ms, urgent)
        self._write_soon(QUICKLY if urgent else LAZILY)

    async def flush(self) -> None:
        """Wait until everything that was asked for is durable."""
        while self._arming or self._tidying or self._writing is not None:
            self._write_soon(0)
            if self._writing is not None:
                await asyncio.wait([self._writing])
            else:
                await anyio.lowlevel.checkpoint()

    async def refresh(self) -> bool:
        """Read it anew. Returns whether others have changed it."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        etag = self._etag
        reply = await self._cas.get(self.key, etag=etag)
        self.looked_at = asyncio.get_running_loop().time()
        if reply is UNCHANGED or etag != self._etag:
            return False  # or a write of our own came meanwhile, which is newer
        changed = self._is_known or reply is not None
        self._is_known = True
        if reply is None:
            self._etag, self._stored = None, {}
            return changed and etag is not None
        self._etag, self._stored = reply.etag, _unpack(reply.body)
        return True

    async def remove(self) -> bool:
        """Delete the object if it is unchanged since it was read. Returns whether it is gone."""
        if self._etag is not None:
            await self._cas.remove(self.key, etag=self._etag)
        return await self._cas.get(self.key) is None

    def close(self) -> None:
        """Stop the clockwork; changes that were not flushed are left."""
        if self._timer is not None:
            self._timer.cancel()

    def _write_soon(self, delay: float) -> None:
        loop = asyncio.get_running_loop()
        if self._writing is not None:
            return
        if delay == 0:
            self._begin()
        elif self._timer is None or self._timer_at > loop.time() + delay:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = loop.time() + delay
            self._timer = loop.call_later(delay, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._writing is None and (self._arming or self._tidying):
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            await asyncio.sleep(0)  # for changes that others ask for at the same moment
            await self._write_batch()
            while self._arming:
                await self._write_batch()
        finally:
            self._writing = None
            if self._arming:
                self._begin()
            elif self._tidying:
                urgent = any(one.urgent for one in self._tidying.values())
                self._write_soon(QUICKLY if urgent else LAZILY)

    async def _write_batch(self) -> None:
        arming, self._arming = self._arming, []
        tidying = dict(self._tidying)
        error: Exception | None = None
        try:
            await self._land(arming, tidying)
        except Exception as exc:  # handed on to those that wait; tidying may be left
            error = exc
        for run_id, request in tidying.items():
            if self._tidying.get(run_id) is request:
                del self._tidying[run_id]
        for one in arming:
            if one.landing.cancelled():
                continue
            if error is None:
                one.landing.set_result(None)
            else:
                one.landing.set_exception(error)

    async def _land(self, arming: list[_Arming], tidying: Mapping[str, _Tidying]) -> None:
        doubts = 0
        for tried in range(_TRIES):
            after = self._changed(arming, tidying)
            if after == self._stored and (self._etag is not None or not after):
                return
            body = _pack(after)
            if self._etag is None:
                etag = await self._cas.create(self.key, body)
            else:
                etag = await self._cas.replace(self.key, body, self._etag)
            if not isinstance(etag, Refusal):
                self._etag, self._stored, self._is_known = etag, after, True
                self.looked_at = asyncio.get_running_loop().time()
                return
            doubts += etag is Refusal.DOUBTFUL
            if doubts > _DOUBTS:
                break
            # Sleep, then read: while others write, only what was just read is still so.
            await anyio.sleep(random.uniform(0, min(0.5, 0.01 * 2 ** min(tried, 8))))
            reply = await self._cas.get(self.key)
            if reply is None or reply is UNCHANGED:
                self._etag, self._stored = None, {}
            else:
                self._etag, self._stored = reply.etag, _unpack(reply.body)
        raise WorldUnavailableError(f"{self.key} could not be written; try again")

    def _changed(
        self, arming: list[_Arming], tidying: Mapping[str, _Tidying]
    ) -> dict[str, tuple[Item, ...]]:
        after = dict(self._stored)
        for run_id, one in tidying.items():
            before = after.get(run_id, ())
            items = tidied(before, one.view, now_ms=one.now_ms)
            if items and due_of(items) != due_of(before):
                after[run_id] = items
            elif not items:
                after.pop(run_id, None)
        for arm in arming:
            items = after.get(arm.run_id, ())
            if arm.item in items:
                continue
            if arm.base is not None:
                items = tidied(items, arm.base, now_ms=arm.item.born_ms)
            after[arm.run_id] = (*items, arm.item)
        return after


def _pack(entries: Mapping[str, tuple[Item, ...]]) -> bytes:
    packed = {
        run_id: [[i.birth, i.seq, i.born_ms, dict(i.dues)] for i in items]
        for run_id, items in entries.items()
    }
    return dumps([new_mark(), packed])


@readable("a shelf of what is due")
def _unpack(body: bytes) -> dict[str, tuple[Item, ...]]:
    _, packed = loads(body)
    return {run_id: tuple(Item(*parts) for parts in items) for run_id, items in packed.items()}
