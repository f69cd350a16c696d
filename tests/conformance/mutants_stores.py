"""Mutants that say of themselves what is not true, or are sound in one process only."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import anyio

from perdure.abc import Capability, World
from perdure.model import TurnCommit
from perdure.testing.conformance import MakeWorld, Store
from perdure.testing.memory import MemoryWorld
from perdure.worldkit.clock import Clock
from perdure_sqlite import SqliteWorld

__all__ = ("STORES", "Claiming", "unfenced")

STORES: dict[str, tuple[Store, str]] = {}  # with what opens it in another process
INSTALLED = "perdure.worlds:make_world"
Make: TypeAlias = Callable[[str, Clock], World]


class Claiming(World):
    """A world that declares other capabilities than its own."""

    def __init__(self, inner: World, capabilities: frozenset[Capability]) -> None:
        self.inner = inner
        self._capabilities = capabilities
        self.storage, self.catalogue = inner.storage, inner.catalogue
        self.queue, self.snapshots = inner.queue, inner.snapshots
        self.streams, self.blobs = inner.streams, inner.blobs
        self.transfer = inner.transfer

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self._capabilities

    async def open(self) -> None:
        await self.inner.open()

    async def aclose(self) -> None:
        await self.inner.aclose()

    def now_ms(self) -> int:
        return self.inner.now_ms()

    async def settle(self) -> None:
        await self.inner.settle()

    def statistics(self) -> dict[str, int]:
        return self.inner.statistics()


def in_memory(change: Callable[[World], World]) -> Store:
    """Memory worlds, changed."""

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        made: list[World] = []

        def make(clock: Clock) -> World:
            if not made:
                made.append(change(MemoryWorld(clock=clock)))
            return made[0]

        yield make

    return store


def in_files(change: Callable[[World], World]) -> Store:
    """SQLite worlds, changed."""
    count = itertools.count()

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder)}/{next(count)}.db?synchronous=normal"
            yield lambda clock: change(SqliteWorld(url, clock=clock))

    return store


def with_more(*more: Capability) -> Callable[[World], World]:
    return lambda world: Claiming(world, world.capabilities | {*more})


def without(*fewer: Capability) -> Callable[[World], World]:
    return lambda world: Claiming(world, world.capabilities - {*fewer})


class LateQueue:
    """A queue that hands nothing out until it was settled."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.settled = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def claim_messages(self, *topics: Any, **asked: Any) -> Any:
        return await self.inner.claim_messages(*topics, **asked) if self.settled else ()


def late(world: World) -> World:
    """Messages can be claimed after ``settle`` only, though ``atomic_queue`` is declared."""
    made = Claiming(world, world.capabilities)
    queue = LateQueue(world.queue)
    made.queue = queue  # type: ignore[assignment]  # as much of a queue as is called
    commit = world.storage.commit

    async def unsettled(asked: TurnCommit) -> Any:
        queue.settled = False
        return await commit(asked)

    async def settle() -> None:
        queue.settled = True

    world.storage.commit = unsettled  # type: ignore[method-assign, assignment]  # as a mutant
    made.settle = settle  # type: ignore[method-assign]  # a mutant
    return made


_turns: dict[str, int] = {}
_commits: dict[str, anyio.Lock] = {}


def unfenced(url: str, *, clock: Clock) -> World:
    """A world whose fence is a number in this process's memory."""
    world = SqliteWorld(url, clock=clock)
    commit = world.storage.commit

    async def fenced_here(asked: TurnCommit) -> Any:
        async with _commits.setdefault(url, anyio.Lock()):  # sound among this process's tasks
            return await unfenced_commit(asked)

    async def unfenced_commit(asked: TurnCommit) -> Any:
        key = f"{url} {asked.run_id}"
        if asked.new is None and asked.turn == _turns.get(key, 0):
            record = await world.storage.get_run(asked.run_id)
            if not record.status.is_ended:
                asked = replace(asked, turn=record.turn)
        answer = await commit(asked)
        _turns[key] = answer.turn
        return answer

    world.storage.commit = fenced_here  # type: ignore[method-assign, assignment]  # likewise
    return world


def in_unfenced_files() -> Store:
    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder)}/unfenced.db?synchronous=normal"
            yield lambda clock: unfenced(url, clock=clock)

    return store


STORES.update(
    {
        "shared declared and absent": (in_memory(with_more(Capability.SHARED)), INSTALLED),
        "durable declared and absent": (in_memory(with_more(Capability.DURABLE)), INSTALLED),
        "direct commit declared and absent": (
            in_memory(lambda world: _loop_only(with_more(Capability.DIRECT_COMMIT)(world))),
            INSTALLED,
        ),
        "owner death declared and absent": (
            in_files(lambda world: _undead(world)),
            "mutants_stores:undead",
        ),
        "atomic queue declared and absent": (in_memory(late), INSTALLED),
        "atomic queue works undeclared": (in_memory(without(Capability.ATOMIC_QUEUE)), INSTALLED),
        "direct commit works undeclared": (in_memory(without(Capability.DIRECT_COMMIT)), INSTALLED),
        "shared works undeclared": (in_files(without(Capability.SHARED)), INSTALLED),
        "durable works undeclared": (in_files(without(Capability.DURABLE)), INSTALLED),
        "owner death works undeclared": (in_files(without(Capability.OWNER_DEATH)), INSTALLED),
        "fenced in one process only": (in_unfenced_files(), "mutants_stores:unfenced"),
    }
)


def undead(url: str, *, clock: Clock) -> World:
    """An SQLite world whose owners are never found dead, for another process."""
    return _undead(SqliteWorld(url, clock=clock))


def _undead(world: World) -> World:
    inner = world.open

    def nothing_freed(transaction: object) -> int:
        return 0

    async def open_blind() -> None:
        await inner()
        owner = world._handle.owner  # type: ignore[attr-defined]  # of one world
        owner.has_dead = lambda: False
        owner.free_dead = nothing_freed

    world.open = open_blind  # type: ignore[method-assign]  # a mutant
    return world


def _loop_only(world: World) -> World:
    """Its storage has no ``commit_soon``."""
    inner = world.storage
    names = [n for n in dir(type(inner)) if not n.startswith("_") and n != "commit_soon"]
    # A mutant.
    world.storage = SimpleNamespace(**{n: getattr(inner, n) for n in names})  # type: ignore[assignment]
    return world
