"""Random programs give the same result crash-free, under faults, and replayed."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from perdure import FatalError, Worker, Workflow, start, step
from perdure._runtime.audit import verify_run
from perdure._runtime.inspection import read_log
from perdure.abc import World
from perdure.model import EventType, LoggedEvent
from perdure.testing.faults import FaultyWorld, random_faults
from perdure.testing.memory import MemoryWorld

_spec = importlib.util.spec_from_file_location("programs", Path(__file__).with_name("programs.py"))
assert _spec is not None
assert _spec.loader is not None
programs = importlib.util.module_from_spec(_spec)
sys.modules["programs"] = programs
_spec.loader.exec_module(programs)

pytestmark = [pytest.mark.slow]

# Waits that nothing depends on are too many for the default budget of examples' time.
FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
WRITES = frozenset({"storage.commit", "storage.append", "queue.finish", "queue.release"})


@step(name="programs:add", max_retries=50)
async def add(a: int, b: int) -> int:
    return a + b


@step(name="programs:slow", max_retries=50)
async def slow(a: int) -> int:
    await anyio.sleep(0.001)
    return a


@step(name="programs:refuse", max_retries=50)
async def refuse(a: int) -> None:
    raise FatalError(f"no{a}")


def facts(events: tuple[LoggedEvent, ...]) -> list[tuple[str, bytes]]:
    """What was asked for and what came of it, whatever the order and the times.

    Not by whose id: branches that run side by side are numbered in the order their news came.
    """
    kept = [logged.event for logged in events]
    return sorted(
        (event.type.value, event.payload or b"")
        for event in kept
        if event.type not in (EventType.STEP_STARTED, EventType.WAIT_CREATED)
    )


async def execute(world: World, source: str) -> tuple[object, tuple[LoggedEvent, ...], str]:
    async with world, Worker(world, steps=[add, slow, refuse], snapshot_lag=2):
        inner = world.inner if isinstance(world, FaultyWorld) else world
        run = await start(
            Workflow.from_source(source, filename="program.ts"),
            world=inner,
            run_id="run_program",
        )
        value = await run.result(timeout=60)
        events = await read_log(inner, run.id)
        audit = await verify_run(inner, run.id)
        return value, events, "; ".join(audit.problems)


@FEW
@given(programs.programs, st.integers(0, 2**32))
def test_a_program_gives_its_value_and_its_log_replays(program: object, seed: int) -> None:
    source = programs.source_of(program)
    value, events, problems = anyio.run(execute, MemoryWorld(), source)
    assert (value, problems) == (program.value, "")  # type: ignore[attr-defined]
    plan = random_faults(random.Random(seed), rate=0.3, calls=WRITES)
    again, log, problems = anyio.run(execute, FaultyWorld(MemoryWorld(), plan), source)
    assert (again, problems) == (program.value, "")  # type: ignore[attr-defined]
    assert facts(log) == facts(events)
