"""Faults: a plan by chance strikes only what it is told to; a faulty world tells what it did."""

from __future__ import annotations

import random

import pytest

from perdure.errors import UsageError, WorldUnavailableError
from perdure.model import RunId
from perdure.testing.faults import Fault, FaultyWorld, random_faults
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio


def test_faults_by_chance_strike_what_they_are_told_to() -> None:
    plan = random_faults(random.Random(1), rate=0.5, calls=frozenset({"queue.wake"}))
    assert {plan(n, "queue.send") for n in range(50)} == {Fault.NONE}
    assert {plan(n, "queue.wake") for n in range(50)} == set(Fault)


async def test_a_faulty_world_is_the_one_within_but_for_its_faults() -> None:
    inner = MemoryWorld()
    async with FaultyWorld(inner, random_faults(random.Random(1), rate=1)) as faulty:
        await faulty.settle()
        assert (faulty.url, faulty.now_ms() - inner.now_ms() < 1000) == ("memory://", True)
        with pytest.raises(WorldUnavailableError, match="as planned"):
            await faulty.queue.wake(RunId("run_a"), due_ms=0)
        assert faulty.statistics() == {**inner.statistics(), "calls": 1, "faults": 1}
        assert repr(faulty).endswith("runs=0), 1 faults in 1 calls)")


def test_a_memory_world_has_a_url_of_its_own_scheme() -> None:
    with pytest.raises(UsageError, match="write memory:// or memory://name"):
        MemoryWorld("sqlite:///x.db")
