"""Pair: a candidate and the reference world, driven by the same calls.

Every answer and every error's class must be equal; of leases all but the token, which is the
world's own. Time is one manual clock for both. The calls are kept as data: a program that can be
played again, shortened and printed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, Protocol, final

from anyio.from_thread import start_blocking_portal

from ..._model.ids import RunId
from ..._model.queue import Lease
from ...abc import World
from ...worldkit.clock import Clock
from ..clock import ManualClock
from ..memory import MemoryWorld
from ._calls import Call, Held, MissingLease, answer_of, comparable, leases_in, map_leases, shown

__all__ = ("Difference", "Lent", "MakeWorld", "Pair", "Store", "play", "replay")


class MakeWorld(Protocol):
    """Makes a world on one storage, not opened; called again it is the same storage."""

    def __call__(self, clock: Clock, /) -> World: ...


class Store(Protocol):
    """Makes fresh, empty storage for the time of a ``with`` block."""

    def __call__(self) -> AbstractContextManager[MakeWorld]: ...


class Empty(Protocol):
    """Takes all runs out of a world, and all remains of these."""

    async def __call__(self, world: World, runs: Collection[RunId], /) -> None: ...


@final
class Lent:
    """Storage that is to be emptied before it is given back."""

    def __init__(self, make: MakeWorld, empty: Empty) -> None:
        self.is_empty = False
        self._make = make
        self._empty = empty
        url: object = getattr(make, "url", None)
        if isinstance(url, str):
            self.url = url  # for other processes

    def __call__(self, clock: Clock, /) -> World:
        self.is_empty = False
        return self._make(clock)

    async def empty(self, world: World, runs: Collection[RunId] = ()) -> None:
        """Empty it by a world that is open on it.

        Args:
            runs: of which something may be there without them.
        """
        await self._empty(world, runs)
        self.is_empty = True


class Difference(AssertionError):
    """The candidate answered something else than the reference world."""

    calls: tuple[Call, ...] = ()  # up to the one that was answered wrongly


@final
class Pair:
    """Both worlds, open."""

    def __init__(self, store: Store) -> None:
        self.clock = ManualClock()
        self.calls: list[Call] = []
        self.has_difference = False  # a difference was seen
        self._numbers = itertools.count(1)
        self._places: dict[str, Held] = {}  # by the reference's lease token
        self._leases: dict[tuple[int, int], tuple[Lease, Lease, str]] = {}
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        try:
            self._make = self._stack.enter_context(store())
            self.reference: World = MemoryWorld(clock=self.clock)
            self.candidate = self._make(self.clock)
            for world in (self.reference, self.candidate):
                self._portal.call(world.open)
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """Close both; the candidate's storage goes."""
        try:
            if isinstance(self._make, Lent) and not self.has_difference:
                owners = {c.named["run_id"] for c in self.calls if c.name == "blobs.put"}
                self._portal.call(self._make.empty, self.candidate, owners - {None})
            for world in (self.candidate, self.reference):
                self._portal.call(world.aclose)
        finally:
            self._stack.close()

    def advance(self, ms: int) -> None:
        """Let time pass in both."""
        self._note(Call(next(self._numbers), "advance", (ms,)))

    def reopen(self) -> None:
        """Close the candidate and open its storage again."""
        self._note(Call(next(self._numbers), "reopen"))

    def do(self, name: str, *args: Any, **named: Any) -> Any:
        """Do the same in both worlds. Returns the reference's answer, or its error.

        Args:
            name: the contract and its method: ``storage.commit``.

        Raises:
            Difference: the answers, or the classes of the errors, are not equal.
        """
        return self.play(Call(next(self._numbers), name, args, named))

    def ask(self, name: str, *args: Any, **named: Any) -> Any:
        """Only the reference's answer, or its error."""
        return self._portal.call(answer_of, self.reference, name, args, named)

    def play(self, call: Call) -> Any:
        """Make *call* under its number.

        Raises:
            Difference: the answers, or the classes of the errors, are not equal.
            MissingLease: it needs a lease that this program has not had.
        """
        if call.name in ("advance", "reopen"):
            return self._note(call)
        call = self._map(call, self._place)
        self.calls.append(call)
        calls = self._map(call, self._ours), self._map(call, self._theirs)
        expected, answer = self._portal.call(self._ask_both, *calls)
        if comparable(expected) != comparable(answer):
            difference = Difference(
                f"{call.name}: the world answers {shown(answer)}, the contract says "
                f"{shown(expected)}"
            )
            difference.calls = tuple(self.calls)
            self.has_difference = True
            raise difference
        pairs = zip(leases_in(expected), leases_in(answer), strict=True)
        for index, ((path, ours), (_, theirs)) in enumerate(pairs):
            self._leases[call.number, index] = ours, theirs, path
            self._places.setdefault(ours.token, Held(call.number, index, path))
        return expected

    def _note(self, call: Call) -> None:
        self.calls.append(call)
        if call.name == "advance":
            self.clock.advance(*call.args)
            return
        self._portal.call(self.candidate.aclose)
        self.candidate = self._make(self.clock)
        self._portal.call(self.candidate.open)

    async def _ask_both(self, ours: Call, theirs: Call) -> tuple[Any, Any]:
        """In one go: where threads are busy, each change from one to another takes long."""
        expected = await answer_of(self.reference, ours.name, ours.args, ours.named)
        answer = await answer_of(self.candidate, theirs.name, theirs.args, theirs.named)
        await self.candidate.settle()
        return expected, answer

    def _map(self, call: Call, change: Callable[[Any], Any]) -> Call:
        named = {name: map_leases(value, change) for name, value in call.named.items()}
        return Call(call.number, call.name, map_leases(call.args, change), named)

    def _place(self, lease: Lease | Held) -> Lease | Held:
        if isinstance(lease, Lease):
            return self._places.get(lease.token, lease)
        return Held(lease.call, lease.index, self._find(lease)[2])

    def _ours(self, lease: Lease | Held) -> Lease:
        return self._find(lease)[0] if isinstance(lease, Held) else lease

    def _theirs(self, lease: Lease | Held) -> Lease:
        return self._find(lease)[1] if isinstance(lease, Held) else lease

    def _find(self, place: Held) -> tuple[Lease, Lease, str]:
        try:
            return self._leases[place.call, place.index]
        except KeyError:
            raise MissingLease(place) from None


def play(store: Store, calls: Sequence[Call]) -> Difference | None:
    """Play a program on fresh storage. Returns the first wrong answer, or None."""
    pair = Pair(store)
    try:
        with suppress(MissingLease):
            for call in calls:
                pair.play(call)
    except Difference as difference:
        return difference
    finally:
        pair.close()
    return None


def replay(store: Store, program: Callable[[Pair], None]) -> None:
    """Play a printed *program* on fresh storage, which *store* makes.

    Raises:
        Difference: the world still breaks the promise.
    """
    pair = Pair(store)
    try:
        program(pair)
    finally:
        pair.close()
