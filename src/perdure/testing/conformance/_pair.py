"""Pair: a candidate and the reference world, driven by the same calls.

Every answer and every error's class must be equal; of leases all but the token, which is the
world's own. Time is one manual clock for both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol, TypeAlias, final

from anyio.from_thread import start_blocking_portal

from ..._model.queue import Lease
from ...abc import World
from ...errors import PerdureError
from ..clock import Clock, ManualClock
from ..memory import MemoryWorld

__all__ = ("Call", "Difference", "MakeWorld", "Pair", "Store")


class MakeWorld(Protocol):
    """Makes a world on one storage, not opened; called again it is the same storage."""

    def __call__(self, clock: Clock, /) -> World: ...


class Store(Protocol):
    """Makes fresh, empty storage for the time of a ``with`` block."""

    def __call__(self) -> AbstractContextManager[MakeWorld]: ...


class Difference(AssertionError):
    """The candidate answered something else than the reference world."""


Call: TypeAlias = Callable[[World, Callable[[Lease], Lease]], Awaitable[Any]]


@final
class Pair:
    """Both worlds, open."""

    def __init__(self, store: Store) -> None:
        self.clock = ManualClock()
        self._tokens: dict[str, str] = {}  # the reference's token -> the candidate's
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._make = self._stack.enter_context(store())
        self.reference: World = MemoryWorld(clock=self.clock)
        self.candidate = self._make(self.clock)
        for world in (self.reference, self.candidate):
            self._portal.call(world.open)

    def close(self) -> None:
        """Close both; the candidate's storage goes."""
        try:
            for world in (self.candidate, self.reference):
                self._portal.call(world.aclose)
        finally:
            self._stack.close()

    def reopen(self) -> None:
        """Close the candidate and open its storage again."""
        self._portal.call(self.candidate.aclose)
        self.candidate = self._make(self.clock)
        self._portal.call(self.candidate.open)

    def ask(self, call: Callable[[World], Awaitable[Any]]) -> Any:
        """Only the reference's answer."""
        return self._portal.call(_asked, call, self.reference)

    def do(self, what: str, call: Call) -> Any:
        """Do the same in both worlds; gives the reference's answer, or its error.

        Raises:
            Difference: the answers, or the classes of the errors, are not equal.
        """
        expected = self._portal.call(_attempt, call, self.reference, _ours)
        found = self._portal.call(_attempt, call, self.candidate, self._theirs)
        self._portal.call(self.candidate.settle)
        if _comparable(expected) != _comparable(found):
            raise Difference(
                f"{what}: the world answers {_shown(found)}, the contract says {_shown(expected)}"
            )
        for ours, theirs in zip(_leases(expected), _leases(found), strict=True):
            self._tokens[ours.token] = theirs.token
        return expected

    def _theirs(self, lease: Lease) -> Lease:
        return dataclasses.replace(lease, token=self._tokens.get(lease.token, lease.token))


def _ours(lease: Lease) -> Lease:
    return lease


async def _asked(call: Callable[[World], Awaitable[Any]], world: World) -> Any:
    return await call(world)


async def _attempt(call: Call, world: World, lease: Callable[[Lease], Lease]) -> Any:
    try:
        return await call(world, lease)
    except PerdureError as error:
        return error


def _comparable(value: Any) -> Any:
    if isinstance(value, Exception):
        return type(value).__name__
    if isinstance(value, Lease):
        return ("lease", value.item, value.is_wake, value.expires_at_ms)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return (type(value).__name__, [(n, _comparable(getattr(value, n))) for n in names])
    if isinstance(value, Mapping):
        return {key: _comparable(item) for key, item in _items(value)}
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in _each(value)]
    return value


def _leases(value: Any) -> Iterator[Lease]:
    if isinstance(value, Lease):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _leases(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in _each(value):
            yield from _leases(item)


def _items(value: Any) -> Any:
    return value.items()


def _each(value: Any) -> Any:
    return value


def _shown(value: Any) -> str:
    return f"{type(value).__name__}({value})" if isinstance(value, Exception) else repr(value)
