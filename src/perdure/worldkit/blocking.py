"""Blocking: a world whose store is reached by calls that block, for world authors.

Its contracts' methods are written as plain functions, ``@reads`` or ``@writes``; callers await
them, a thread runs them. ``BlockingStore`` is what all of them share; ``BlockingWorld`` is the rest
of a world. Nothing here knows how anything is stored.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import CoroutineType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import anyio.to_thread

from ..abc import World
from ..display import shown_url
from ..errors import WorldClosedError, WorldUnavailableError
from .clock import Clock
from .waiting import Bells, Home

__all__ = ("BlockingStore", "BlockingWorld", "Part", "reads", "writes")

P = ParamSpec("P")
T = TypeVar("T")
LOOK_EVERY_S = 0.05  # for the writes of other processes


class BlockingStore(ABC):
    """One open store: its clock, its bells, its counters. Subclasses keep the runs.

    Args:
        url: the world's; secrets in it are not shown.
        clock: the world's time.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self.url: str = shown_url(url)
        self.now_ms: Callable[[], int] = clock.now_ms
        self.counters: dict[str, int] = {"commits": 0, "appends": 0, "claims": 0}
        self.is_open: bool = False
        self._bells = Bells(clock)
        self._home = Home(self.url)

    @abstractmethod
    def create(self) -> None:
        """Make the missing parts of the store. Blocks; concurrent calls are safe."""

    @abstractmethod
    def locked(self) -> AbstractContextManager[None]:
        """Held while something is changed: one writer at a time, of all threads and processes."""

    def check(self) -> None:
        """Pass only while the world is open, and in the event loop that opened it.

        Raises:
            UsageError: another event loop runs here.
            WorldClosedError: it is not open.
        """
        self._home.check()
        if not self.is_open:
            raise WorldClosedError(self.url)

    async def open(self) -> None:
        """Be open in the running event loop; make missing parts.

        Raises:
            UsageError: it is open in another one, or none runs here.
        """
        if self.is_open and not self._home.is_gone:
            self._home.check()
            return
        self._home.enter()
        await self.blocking(self.create)
        self.is_open = True

    def changed(self) -> None:
        """Wake all that wait for a change. From any thread; never blocks."""
        self._bells.ring("changed")

    async def until(
        self, wait_ms: int, look: Callable[[], Awaitable[T]], enough: Callable[[T], object]
    ) -> T:
        """The answer of *look*, once it is *enough* or when *wait_ms* have passed."""
        self.check()
        answer = await look()
        if wait_ms <= 0 or enough(answer):
            return answer
        async for _ in self._bells.looks(
            "changed", wait_ms, check=self.check, poll_s=lambda: LOOK_EVERY_S
        ):
            answer = await look()
            if enough(answer):
                break
        return answer

    async def run(self, work: Callable[[], T]) -> T:
        """Do *work* in a thread; an ``OSError`` is the store being unavailable."""
        self.check()
        return await self.blocking(work)

    async def blocking(self, work: Callable[[], T]) -> T:
        """Do *work* so for a store that is not open yet."""

        def run() -> T:
            try:
                return work()
            except OSError as exc:
                raise WorldUnavailableError(f"world {self.url}: {exc}") from exc

        return await anyio.to_thread.run_sync(run)


StoreT = TypeVar("StoreT", bound=BlockingStore)


class Part(Generic[StoreT]):
    """One contract of a world on a blocking store."""

    def __init__(self, store: StoreT) -> None:
        self.store = store


PartT = TypeVar("PartT", bound=Part[Any])


def reads(
    work: Callable[Concatenate[PartT, P], T],
) -> Callable[Concatenate[PartT, P], CoroutineType[object, object, T]]:
    """A method of a ``Part`` that looks at the store: *work*, run in a thread."""

    @functools.wraps(work)
    async def method(self: PartT, /, *args: P.args, **named: P.kwargs) -> T:
        answer: T = await self.store.run(lambda: work(self, *args, **named))
        return answer

    return method  # type: ignore[return-value]  # the coroutine of an async def is one


def writes(
    work: Callable[Concatenate[PartT, P], T],
) -> Callable[Concatenate[PartT, P], CoroutineType[object, object, T]]:
    """A method of a ``Part`` that changes the store: *work*, in a thread, under the store's lock.

    One that is cancelled may still land, whole.
    """

    @functools.wraps(work)
    def locked(self: PartT, /, *args: P.args, **named: P.kwargs) -> T:
        with self.store.locked():
            answer = work(self, *args, **named)
        self.store.changed()
        return answer

    return reads(locked)


class BlockingWorld(World):
    """A world on a blocking store. Subclasses set the seven contracts and the capabilities."""

    def __init__(self, store: BlockingStore) -> None:
        self._store = store

    @property
    def url(self) -> str:
        return self._store.url

    async def open(self) -> None:
        await self._store.open()

    async def aclose(self) -> None:
        self._store.is_open = False
        self._store.changed()  # all that wait hear that it is closed

    def now_ms(self) -> int:
        return self._store.now_ms()

    async def settle(self) -> None:
        """All that has returned is visible: nothing to wait for."""
        self._store.check()

    def statistics(self) -> dict[str, int]:
        return dict(self._store.counters)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url} {'open' if self._store.is_open else 'closed'}>"
