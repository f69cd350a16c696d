"""Random programs give the same result and the same log crash-free, under faults, and replayed."""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable

import anyio
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings, strategies as st

from perdure import (
    FatalError,
    Worker,
    Workflow,
    _abort,
    get_run,
    resume_hook,
    start,
    step,
    step_metadata,
    writable,
)
from perdure._runtime import aborts, start as starts
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.inspect.inspection import read_log
from perdure._runtime.steps import AnyStep
from perdure._runtime.streams import sink as sinks
from perdure.abc import World
from perdure.errors import WorldUnavailableError
from perdure.model import EventType, LoggedEvent, RunFilter, RunStatus
from perdure.testing.faults import FaultyWorld, random_faults
from perdure.values import AbortController, AbortSignal
from perdure.worlds import make_world
from tests.acceptance.programs import KINDS, Program, programs, source_of
from tests.acceptance.streams import check_stream
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.slow]

# Waits that nothing depends on are too many for the default budget of examples' time.
FEW = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
EXAMPLES = {"memory": 60, "sqlite": 15, "mongodb": 8, "s3": 8}
MORE = 5 if os.environ.get("PERDURE_TIER") == "full" else 1
WRITES = frozenset(
    {"storage.commit", "storage.append", "queue.finish", "queue.release", "streams.append"}
)
# How often a body ran is no promise; what was asked for and what came of it is.
ATTEMPTS = frozenset({EventType.STEP_STARTED, EventType.STEP_RETRYING})


@step(name="programs:add", max_retries=50)
async def add(a: int, b: int) -> int:
    return a + b


@step(name="programs:slow", max_retries=50)
async def slow(a: int) -> int:
    out, name = writable("slow"), step_metadata().id
    await out.write([name, "begins"])
    await anyio.sleep(0.001)
    await out.write([name, random.random()])  # another one each time that it runs
    return a


@step(name="programs:refuse", max_retries=50)
async def refuse(a: int) -> None:
    raise FatalError(f"no{a}")


@step(name="programs:tell", max_retries=50)
async def tell(token: str, value: int) -> None:
    while True:
        with contextlib.suppress(WorldUnavailableError):  # it may have been sent
            await resume_hook(token, value, resume_id=token)
            return


@step(name="programs:hold", max_retries=50)
async def hold(signal: AbortSignal) -> object:
    return await signal.wait()


@step(name="programs:stop", max_retries=50)
async def stop(controller: AbortController, value: int) -> None:
    while True:
        with contextlib.suppress(WorldUnavailableError):  # it may have been written
            await controller.abort(value)
            return


STEPS: list[AnyStep] = [add, slow, refuse, tell, hold, stop]


def facts(program: Program, events: tuple[LoggedEvent, ...]) -> list[tuple[object, ...]]:
    """What a log says, times and attempts left out.

    The whole of it, ids and order included, where the program allows one order only. Elsewhere
    ids follow from the order in which things ended, so it is what was asked for and what came of
    it; traceback texts name no ids, so payloads compare.
    """
    kept = [logged.event for logged in events if logged.event.type not in ATTEMPTS]
    if program.is_sequential:
        return [(event.type, event.entity, event.payload) for event in kept]
    return sorted((event.type.value, event.payload or b"") for event in kept)


def alike(run_id: str = "") -> bytes:
    """The secret of all runs: names that are drawn from it are the same each time."""
    _abort._fired.clear()
    return b"secret of all programs"


async def execute(world: World, source: str) -> tuple[object, tuple[LoggedEvent, ...]]:
    """The result and the log, which has been replayed: it makes the same commands and snapshots."""
    async with world, Worker(world, steps=STEPS, snapshot_lag=2):
        inner = world.inner if isinstance(world, FaultyWorld) else world
        run = await start(
            Workflow.from_source(source, filename="program.ts", name="program"),
            world=inner,
            run_id="run_program",
        )
        value = await run.result(timeout=60)
        audit = await verify_run(inner, run.id)
        assert audit.problems == []
        events = await read_log(inner, run.id)
        spoken = {
            f"{run.id}/{one.event.entity}"
            for one in events
            if one.event.type is EventType.STEP_CREATED
            and one.event.facts["step"] == "programs:slow"
        }
        ended = {f"{run.id}/{one.event.entity}" for one in events if one.event.key.endswith("/end")}
        await check_stream(get_run(run.id, inner), "slow", spoken & ended)
        for child in (await inner.catalogue.list_runs(RunFilter())).runs:
            assert child.status is RunStatus.COMPLETED
            assert (await verify_run(inner, child.run_id)).problems == []
        return value, events


@EVERY_WORLD
def test_a_program_gives_its_value_and_its_log_replays(
    world_name: str, new_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer programs where a world takes longer; each on two stores of its own."""

    monkeypatch.setattr(starts, "fresh_secret", alike)
    monkeypatch.setattr(sinks, "_PAUSE", 0.001)
    monkeypatch.setattr(aborts, "_LOOK", 0.01)  # where a commit's answer is lost, the log tells

    @settings(FEW, max_examples=MORE * EXAMPLES[world_name])
    @given(programs, st.integers(0, 2**32))
    def check(program: Program, seed: int) -> None:
        source = source_of(program)
        value, events = anyio.run(execute, make_world(new_url()), source)
        assert value == program.value
        plan = random_faults(random.Random(seed), rate=0.3, calls=WRITES)
        again, log = anyio.run(execute, FaultyWorld(make_world(new_url()), plan), source)
        assert again == program.value
        assert facts(program, log) == facts(program, events)
        ended = Counter(e.event.entity for e in log if e.event.key.endswith("/end"))
        assert set(ended.values()) <= {1}

    check()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_programs_are_made_of_everything(kind: str) -> None:
    quick = settings(phases=[Phase.generate], max_examples=2000, database=None)
    assert kind in find(programs, lambda made: kind in made.kinds, settings=quick).kinds
