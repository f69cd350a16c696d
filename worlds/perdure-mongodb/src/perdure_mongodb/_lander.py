"""Lander: landing work on one run, one transaction after another.

Each run has a lane in this process. Work that comes while its transaction is on the way shares the
next, so hundreds of results are a few transactions and do not fight over the run's document. Other
processes' writes are met by the version fence; then the page is read again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, final

from pymongo.errors import PyMongoError

from perdure.errors import PerdureError, WorldUnavailableError
from perdure.model import NewRun, RunId

from ._driver import is_duplicate, is_transient, may_succeed_later
from ._handle import Handle
from ._page import Care, Needs, Page, read_page
from ._transaction import MovedError
from ._writes import write_page

__all__ = ("Lander", "Work")

T = TypeVar("T")
LONG_PAUSE = 0.1  # seconds; the pauses before it were half a second in all, or less
PATIENCE = 30.0  # seconds in which a write that others keep overtaking is tried again
MOST_AT_ONCE = 200  # pieces of work in one transaction


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[T]):
    """Something to do to a run's page."""

    needs: Needs
    act: Callable[[Page, int], T]  # page, now_ms; may be called again on another page
    new: NewRun | None = None  # the run to make if it is not there


_SomeWork: TypeAlias = "Work[Any]"  # each has an answer of its own type


@dataclass(frozen=True, slots=True)
class _Request:
    work: _SomeWork
    answer: asyncio.Future[Any]

    def tell(self, answer: object) -> None:
        """Hand the answer, or error, to its caller if that still waits for it."""
        if self.answer.done():
            return
        if isinstance(answer, BaseException):
            self.answer.set_exception(answer)
            self.answer.exception()  # a caller that was cancelled never asks
        else:
            self.answer.set_result(answer)


@final
class Lander:
    """The lanes of one open world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._lanes: dict[RunId, deque[_Request]] = {}

    def __repr__(self) -> str:
        return f"<Lander {len(self._lanes)} lanes>"

    async def land(self, run_id: RunId, work: Work[T]) -> T:
        """Do it; durable once this returns. A cancelled caller leaves it to end by itself.

        Raises:
            RunNotFoundError: no such run, and none to make.
            PerdureError: the error that ``work.act`` raised on a page that was read whole.
            WorldUnavailableError: the outcome is unknown.
        """
        self._handle.check_open()
        request = _Request(work, asyncio.get_running_loop().create_future())
        lane = self._lanes.get(run_id)
        if lane is None:
            lane = self._lanes[run_id] = deque([request])
            self._handle.spawn(lambda: self._drain(run_id))
        else:
            lane.append(request)
        answer: T = await self._handle.outcome(request.answer)
        return answer

    async def _drain(self, run_id: RunId) -> None:
        lane = self._lanes[run_id]
        try:
            while lane:
                await self._answer(run_id, _take(lane))
        finally:
            del self._lanes[run_id]
            for request in lane:  # this task was cancelled, with its event loop
                request.answer.cancel()

    async def _answer(self, run_id: RunId, batch: list[_Request]) -> None:
        answers: list[object]
        try:
            answers = await self._land(run_id, [request.work for request in batch])
        except asyncio.CancelledError:
            for request in batch:
                request.answer.cancel()
            raise
        except Exception as exc:
            if len(batch) > 1 and _may_be_the_fault_of_one(exc):
                for request in batch:
                    await self._answer(run_id, [request])
                return
            answers = [exc] * len(batch)
        for request, answer in zip(batch, answers, strict=True):
            request.tell(answer)

    async def _land(self, run_id: RunId, works: list[_SomeWork]) -> list[object]:
        needs, new = Needs.of_all([work.needs for work in works]), works[0].new
        until, pause, care = time.monotonic() + PATIENCE, 0.001, Care.RECENT
        while True:
            try:
                if care is not Care.RECENT:
                    await self._handle.settled_term()
                page = await read_page(self._handle, run_id, needs, care=care, new=new)
                now_ms = self._handle.now_ms()
                answers = [_act(work, page, now_ms) for work in works]
                failed = [isinstance(answer, PerdureError) for answer in answers]
                if any(failed) and care is not Care.THOROUGH:
                    care = Care.THOROUGH
                    continue
                if all(failed):  # a run whose first turn was refused is not made
                    return answers
                if await write_page(page, now_ms):
                    self._handle.ring(*page.rings)
                elif care is Care.RECENT:
                    care = Care.FRESH  # no write said that the page was right
                    continue
                return answers
            except MovedError:
                care = Care.THOROUGH if care is not Care.RECENT or new else Care.FRESH
            except PyMongoError as exc:
                if is_duplicate(exc):
                    care = Care.THOROUGH
                elif is_transient(exc):
                    care = max(care, Care.FRESH)
                else:
                    self._handle.recent.forget(run_id)
                    raise
            if time.monotonic() > until:
                raise WorldUnavailableError(
                    f"run {run_id}: other writers were faster for {PATIENCE} seconds"
                )
            if pause >= LONG_PAUSE:
                self._handle.look_for_the_dead()
            self._handle.counters["retries"] += 1
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(0.1, pause * 2)


def _take(lane: deque[_Request]) -> list[_Request]:
    """The requests that may share a transaction: a run that is made is made alone."""
    batch = [lane.popleft()]
    while lane and len(batch) < MOST_AT_ONCE and batch[0].work.new is None:
        if lane[0].work.new is not None:
            break
        batch.append(lane.popleft())
    return batch


def _may_be_the_fault_of_one(exc: Exception) -> bool:
    """Whether the others may land without it: not if the server or the run is not there."""
    if isinstance(exc, PyMongoError):
        return not may_succeed_later(exc)
    return not isinstance(exc, PerdureError)


def _act(work: _SomeWork, page: Page, now_ms: int) -> object:
    try:
        return work.act(page, now_ms)
    except PerdureError as error:  # an answer, too: the book is as it was
        return error
