"""The kit tells every mutant from a world that keeps its promises."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perdure.testing.clock import Clock
from perdure.testing.conformance import MakeWorld, certify
from perdure.testing.memory import MemoryWorld

_spec = importlib.util.spec_from_file_location("mutants", Path(__file__).with_name("mutants.py"))
assert _spec is not None
assert _spec.loader is not None
mutants = importlib.util.module_from_spec(_spec)
sys.modules["mutants"] = mutants
_spec.loader.exec_module(mutants)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_the_mutant_is_killed(name: str) -> None:
    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        made: list[MemoryWorld] = []

        def make(clock: Clock) -> MemoryWorld:
            if not made:
                made.append(MemoryWorld(clock=clock))
                mutants.MUTANTS[name](made[0])
            return made[0]

        yield make

    for seed in range(4):  # each seed is a smoke run; together well under a minute
        report = certify(store, seed=seed, until_failure=True, shrink=False)
        if not report.passed:
            return
    pytest.fail(f"{name} was not noticed")


def test_there_are_enough_of_them() -> None:
    assert len(mutants.MUTANTS) >= 25
