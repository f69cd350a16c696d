"""The worlds of this repository keep the contracts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perdure.testing.conformance import MakeWorld, check_world
from perdure.testing.memory import MemoryWorld
from perdure.worldkit.clock import Clock
from perdure_sqlite import SqliteWorld

pytestmark = pytest.mark.slow


@contextmanager
def memory() -> Generator[MakeWorld, None, None]:
    """A memory world that is there again when it is opened again."""
    made: list[MemoryWorld] = []

    def make(clock: Clock) -> MemoryWorld:
        if not made:
            made.append(MemoryWorld(clock=clock))
        return made[0]

    yield make


def test_the_reference_world_agrees_with_itself() -> None:
    check_world(memory, seed=1)


def test_the_sqlite_world_passes(tmp_path: Path) -> None:
    count = iter(range(10**9))

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        path = tmp_path / f"{next(count)}.db"
        yield lambda clock: SqliteWorld(f"sqlite:///{path}?synchronous=normal", clock=clock)

    check_world(store, seed=1)
