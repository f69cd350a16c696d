"""What goes wrong around a turn: it is told, tried again, and ends the run with a name at last."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, start, step
from perdure._protocol.frames import Limits
from perdure._protocol.snapshot_format import (
    decode_ledger,
    decode_snapshot,
    encode_ledger,
    encode_snapshot,
)
from perdure._runtime.carrier import deliveries
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.steps import AnyStep
from perdure._runtime.timing import Timing
from perdure._vm import guest
from perdure.errors import GuestError, RunFailedError, WorldClosedError, WorldContractError
from perdure.model import Digest, EventType, NewRun, RunId, RunStatus
from perdure.testing.clock import ManualClock
from perdure.testing.faults import Fault, FaultPlan, FaultyWorld
from perdure.testing.memory import MemoryWorld
from tests.runtime.hurry import passing

pytestmark = pytest.mark.anyio

FLOW = Workflow.from_source("""
import { add, last } from "python:trouble";
export async function flow(n: number) {
  "use workflow";
  const sum = await add(n, 2);
  return [await add(sum, n), await last()];
}
""")


@step(name="trouble:add")
async def add(a: int, b: int) -> int:
    return a + b


@step(name="trouble:last")
async def last() -> str:
    return "last"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def world(clock: ManualClock) -> AsyncGenerator[MemoryWorld, None]:
    async with MemoryWorld(clock=clock) as made:
        yield made


async def parked(
    world: MemoryWorld, steps: Sequence[AnyStep] | None = None, *, n: int = 1, run_id: str = "run_a"
) -> Run:
    """A run that was put away before a step that its worker does not have."""
    async with Worker(world, steps=[add] if steps is None else steps):
        run = await start(FLOW, [n], world=world, run_id=run_id)
        with anyio.fail_after(10):
            while not await world.snapshots.load(run.id):
                await anyio.lowlevel.checkpoint()
    return run


async def carried_on(world: MemoryWorld, run: Run) -> None:
    """Carry a run on to where it waits for ``last``."""
    async with Worker(world, steps=[add]):
        with anyio.fail_after(10):
            while "step_3/created" not in [e.event.key async for e in run.events()]:
                await anyio.lowlevel.checkpoint()


async def error_of(run: Run) -> GuestError:
    with pytest.raises(RunFailedError) as caught:
        await run.result(timeout=30)
    assert isinstance(caught.value.error, GuestError)
    return caught.value.error


# --- turns -----------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "await add(1, 2);"])
async def test_a_turn_that_takes_too_long_is_tried_again_then_fails_its_run(
    world: MemoryWorld,
    clock: ManualClock,
    before: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Worker, "_timing", Timing(first_turn=0.02))
    endless = Workflow.from_source(
        'import { add } from "python:trouble";\n'
        f'export async function flow() {{ "use workflow"; {before} for (;;) {{}} }}'
    )
    patient = Limits(instructions=0)
    async with (
        passing(world, clock),
        Worker(world, steps=[add], turn_deadline=0.02, limits=patient),
    ):
        error = await error_of(await start(endless, [], world=world))
    assert error.name == "TurnDeadlineError"
    assert "a turn took more than 0.02 s" in error.message
    assert caplog.text.count("passed the deadline") == 2


def another_sum(world: MemoryWorld, run: Run) -> None:
    """The log says that the workflow asked for another sum."""
    events = world._store.runs[run.id].events
    index = [logged.event.key for logged in events].index("step_2/created")
    asked = events[index].event
    other = next(e.event.payload for e in events if e.event.key == "step_1/created")
    assert asked.payload != other
    events[index] = replace(events[index], event=replace(asked, payload=other))


def other_digest(world: MemoryWorld, run: Run) -> None:
    """The record says that the heap has seen other events."""
    stored = world._store.runs[run.id]
    stored.record = replace(stored.record, log_digest=b"other")


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (another_sum, "step_2/created is another command in the log"),
        (other_digest, "its record has another log digest"),
    ],
)
async def test_a_log_that_the_code_does_not_repeat_fails_the_run_after_several_tries(
    world: MemoryWorld,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    tamper: Callable[[MemoryWorld, Run], None],
    reason: str,
) -> None:
    run = await parked(world)
    await world.snapshots.delete(run.id)
    tamper(world, run)
    before = (await run.info()).position
    async with passing(world, clock), Worker(world, steps=[add, last]):
        error = await error_of(run)
    assert error.name == "FruitlessTurnsError"
    assert isinstance(error.cause, GuestError)
    assert error.cause.name == "DivergenceError"
    assert reason in error.cause.message
    assert "a turn failed; it is tried again" in caplog.text
    added = [logged.event.type async for logged in run.events(after=before)]
    assert added[-1] is EventType.RUN_FAILED
    assert EventType.STEP_CREATED not in added  # nothing the guest asked for was written
    assert (await verify_run(world, run.id)).problems


async def test_a_wake_without_news_is_ended_and_changes_nothing(world: MemoryWorld) -> None:
    run = await parked(world)
    before = await run.info()
    await world.queue.wake(run.id, due_ms=world.now_ms())
    async with Worker(world, steps=[add]) as worker:
        with anyio.fail_after(10):
            while worker.statistics()["thawed"] == 0 or (await world.queue.count_waiting())[""]:
                await anyio.lowlevel.checkpoint()
    assert await run.info() == before


async def test_a_worker_without_room_for_warm_heaps_thaws_them(world: MemoryWorld) -> None:
    run = await parked(world)
    async with Worker(world, steps=[add], warm_bytes=0) as cold:
        async with Worker(world, steps=[last]):
            assert await run.result(timeout=10) == [4, "last"]
        assert cold.statistics()["warm"] == 0


# --- snapshots ---------------------------------------------------------------------------------


async def test_a_snapshot_of_another_heap_is_found_out_by_what_follows(
    world: MemoryWorld, caplog: pytest.LogCaptureFixture
) -> None:
    run, foreign = await parked(world, []), await parked(world, [], n=40, run_id="run_b")
    (mine,) = await world.snapshots.load(run.id)
    (other,) = await world.snapshots.load(foreign.id)
    header, fold, _ = decode_snapshot(mine.data, key=None)
    _, _, delta = decode_snapshot(other.data, key=None)
    forged = replace(mine, data=encode_snapshot(header, fold, delta, key=None))
    await carried_on(world, run)
    await world.snapshots.delete(run.id)
    await world.snapshots.save(run.id, forged)
    problems = (await verify_run(world, run.id)).problems
    assert problems == [f"the snapshot of turn {mine.turn} is another heap"]
    async with Worker(world, steps=[add, last]) as worker:
        assert await run.result(timeout=10) == [4, "last"]
        assert worker.statistics()["rebuilt"] == 1
    assert "what follows from it differs" in caplog.text


async def test_a_snapshot_with_another_fold_is_told_by_verify(world: MemoryWorld) -> None:
    run = await parked(world, [])
    (mine,) = await world.snapshots.load(run.id)
    await carried_on(world, run)
    (other,) = await world.snapshots.load(run.id)
    header, fold, delta = decode_snapshot(mine.data, key=None)
    _, later, _ = decode_snapshot(other.data, key=None)
    values = [*decode_ledger(later)[:-1], decode_ledger(fold)[-1]]  # its steps, this one's digest
    forged = encode_snapshot(header, encode_ledger(values), delta, key=None)
    await world.snapshots.delete(run.id)
    await world.snapshots.save(run.id, replace(mine, data=forged))
    problems = (await verify_run(world, run.id)).problems
    assert problems == [f"the snapshot of turn {mine.turn} has another fold"]


async def test_a_snapshot_of_a_turn_that_was_never_committed_is_refused(world: MemoryWorld) -> None:
    run = await parked(world)
    (mine,) = await world.snapshots.load(run.id)
    header, fold, delta = decode_snapshot(mine.data, key=None)
    forged = encode_snapshot(replace(header, turn=99), fold, delta, key=None)
    await world.snapshots.save(run.id, replace(mine, turn=99, data=forged))
    (problem,) = (await verify_run(world, run.id)).problems
    assert problem.endswith("it is of a turn that was never committed")


async def test_a_long_log_is_told_in_several_calls(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "_CALL_DELIVERIES", 1)
    run = await parked(world)
    await world.snapshots.delete(run.id)
    async with Worker(world, steps=[last]) as worker:
        assert await run.result(timeout=10) == [4, "last"]
        assert worker.statistics()["rebuilt"] == 1
    assert (await verify_run(world, run.id)).problems == []


# --- audits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"payload": b"\x01"}, "replayed, the run does not end as completed"),
        ({"status": RunStatus.FAILED}, "replayed, the run does not end as failed"),
        ({"status": RunStatus.CANCELLED}, "replayed, the run does not end as cancelled"),
        ({"log_digest": b"other"}, "the record's log digest is not the log's"),
    ],
)
async def test_verify_tells_what_the_record_says_otherwise(
    world: MemoryWorld, change: dict[str, Any], problem: str
) -> None:
    run = await parked(world)
    async with Worker(world, steps=[add, last]):
        await run.result(timeout=10)
    assert (await verify_run(world, run.id)).problems == []
    stored = world._store.runs[run.id]
    stored.record = replace(stored.record, **change)
    assert (await verify_run(world, run.id)).problems == [problem]


async def test_verify_tells_of_a_log_that_does_not_begin(world: MemoryWorld) -> None:
    run = await parked(world)
    await world.snapshots.delete(run.id)
    del world._store.runs[run.id].events[0]
    (problem,) = (await verify_run(world, run.id)).problems
    assert "the log does not begin with run_created" in problem


# --- what the world lacks ----------------------------------------------------------------------


async def test_a_run_begun_by_another_engine_goes_on_with_that(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    wasm = guest.default_engine().wasm
    older = guest.load_engine(wasm + b"\0\x05\x04note")  # a custom section: another digest
    run = await parked(world)
    record = world._store.runs[run.id].record
    new = NewRun(
        run_id=RunId("run_older"),
        workflow=record.workflow,
        bundle=record.bundle,
        engine=Digest(older.digest),
        input=world._store.runs[run.id].events[0].event.payload or b"",
        created_at_ms=world.now_ms(),
    )
    await world.blobs.put(Digest(older.digest), older.wasm)
    await world.storage.create_run(new)
    async with Worker(world, steps=[add, last]):
        assert await Run("run_older", world).result(timeout=10) == [4, "last"]
    assert (await verify_run(world, "run_older")).problems == []


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ({"bundle": Digest("b" * 64)}, "needs bundle bbb"),
        ({"engine": Digest("e" * 64)}, "neither installed nor held by this world"),
    ],
)
async def test_a_run_whose_code_the_world_lacks_waits(
    world: MemoryWorld, caplog: pytest.LogCaptureFixture, lacks: dict[str, Any], says: str
) -> None:
    run = await parked(world)
    stored = world._store.runs[run.id]
    stored.record = replace(stored.record, **lacks)
    await world.queue.wake(run.id, due_ms=world.now_ms())
    async with Worker(world, steps=[add]):
        with anyio.fail_after(10):
            while says not in caplog.text or stored.wake is None or stored.wake.lease is not None:
                await anyio.lowlevel.checkpoint()
    assert stored.wake.due_ms is not None
    assert stored.wake.due_ms > world.now_ms()  # not at once again
    assert (await run.status()) is RunStatus.RUNNING


# --- a world that fails ------------------------------------------------------------------------


def once(call: str, fault: Fault) -> FaultPlan:
    """Fails the first call of that name."""
    left = [call]

    def plan(_: int, name: str) -> Fault:
        if name in left:
            left.remove(name)
            return fault
        return Fault.NONE

    return plan


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_a_result_that_cannot_be_appended_is_tried_again(
    world: MemoryWorld, clock: ManualClock, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    run = await parked(world)
    faulty = FaultyWorld(world, once("storage.append", fault))
    async with passing(world, clock), Worker(faulty, steps=[last]), Worker(world, steps=[add]):
        assert await run.result(timeout=10) == [4, "last"]
    assert "it is tried again" in caplog.text
    ends = [e.event.key async for e in run.events() if e.event.key == "step_3/end"]
    assert len(ends) == 1


async def test_claims_go_on_after_the_world_was_away(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Worker, "_timing", Timing(claim_again=0.0))
    for call in ("queue.claim_wakes", "queue.claim_messages"):
        run = await parked(world, run_id=call.partition(".")[2])
        async with Worker(FaultyWorld(world, once(call, Fault.BEFORE)), steps=[add, last]):
            assert await run.result(timeout=10) == [4, "last"]
        assert f"{call} failed" in caplog.text


async def test_leases_are_renewed_again_after_that_failed(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Worker, "_timing", Timing(renew_every=0.001))
    faulty = FaultyWorld(world, once("queue.extend", Fault.BEFORE))
    async with Worker(faulty, steps=[waits]):
        run = await start(WAITING, [], world=faulty)
        await started.wait()
        with anyio.fail_after(10):
            while "leases could not be renewed" not in caplog.text:
                await anyio.lowlevel.checkpoint()
        go_on.set()
        assert await run.result(timeout=10) == "done"


async def test_a_lease_that_ran_out_is_lost(
    world: MemoryWorld, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "_timing", Timing(renew_every=0.001))
    async with Worker(world, steps=[waits]) as worker:
        run = await start(WAITING, [], world=world)
        await started.wait()
        clock.advance(Timing().lease_ms + 1)
        with anyio.fail_after(10):
            while worker.statistics()["lost_leases"] == 0:
                await anyio.lowlevel.checkpoint()
        go_on.set()
        assert await run.result(timeout=10) == "done"


async def test_the_result_of_a_step_whose_run_was_cancelled_goes_nowhere(
    world: MemoryWorld, caplog: pytest.LogCaptureFixture
) -> None:
    async with Worker(world, steps=[]):
        run = await start(WAITING, [], world=world)
        with anyio.fail_after(10):
            while await run.status() is RunStatus.PENDING:
                await anyio.lowlevel.checkpoint()
    with caplog.at_level(logging.DEBUG, "perdure"):
        async with Worker(world, steps=[waits]):
            await started.wait()
            await run.cancel("enough")
            go_on.set()
    assert [e.event.type async for e in run.events()][-1] is EventType.RUN_CANCELLED
    assert "it is tried again" not in caplog.text


WAITING = Workflow.from_source("""
import { waits } from "python:trouble";
export async function flow() { "use workflow"; return await waits(); }
""")
started, go_on = anyio.Event(), anyio.Event()


@pytest.fixture(autouse=True)
def _events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "started", anyio.Event())
    monkeypatch.setitem(globals(), "go_on", anyio.Event())


@step(name="trouble:waits")
async def waits() -> str:
    started.set()
    await go_on.wait()
    return "done"


async def test_a_step_whose_workers_all_die_fails_by_name(
    world: MemoryWorld, clock: ManualClock
) -> None:
    async with Worker(world, steps=[]):
        run = await start(WAITING, [], world=world)
        with anyio.fail_after(10):
            while await run.status() is RunStatus.PENDING:
                await anyio.lowlevel.checkpoint()
    for _ in range(200):  # each of these is a worker that was lost
        assert await world.queue.claim_messages([waits.topic], limit=1, visibility_ms=1)
        clock.advance(1)
    async with Worker(world, steps=[waits]):
        error = await error_of(run)
    assert (error.name, started.is_set()) == ("StepLostError", False)
    assert "its worker was lost 200 times" in error.message


async def test_runs_beyond_the_turns_of_a_worker_wait_for_one(world: MemoryWorld) -> None:
    async with Worker(world, steps=[waits, add, last], max_turns=1):
        first = await start(WAITING, [], world=world)
        second = await start(FLOW, [1], world=world)
        await started.wait()
        assert await second.status() is RunStatus.PENDING
        go_on.set()
        assert await first.result(timeout=10) == "done"
        assert await second.result(timeout=10) == [4, "last"]


async def test_a_worker_ends_when_its_world_is_broken(world: MemoryWorld) -> None:
    await world.aclose()
    with pytest.raises(BaseExceptionGroup) as caught:
        async with Worker(world, steps=[add]):
            await anyio.sleep_forever()
    assert caught.value.split(WorldClosedError)[1] is None


# --- the console -----------------------------------------------------------------------------


async def test_what_a_worker_did_not_come_to_print_the_next_one_does(
    world: MemoryWorld, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    printing = Workflow.from_source("""
    import { sleep } from "workflow";
    export async function printing() {
      "use workflow";
      console.log("one");
      await sleep("1 minute");
      console.warn("two");
      await sleep("1 minute");
      console.log("three");
    }
    """)

    async def lost(*given: Any, **named: Any) -> int:
        raise WorldContractError("the worker is gone")

    with monkeypatch.context() as patch:
        patch.setattr(world.streams, "append", lost)
        async with Worker(world):
            run = await start(printing, world=world)
    assert await run.log_lines() == ()
    for expected in (("one", "[warn] two"), ("one", "[warn] two", "three")):
        async with Worker(world):
            clock.advance(60_000)
            with anyio.fail_after(10):
                while await run.log_lines() != expected:
                    await anyio.lowlevel.checkpoint()
    await run.result(timeout=10)


async def test_of_very_much_that_a_turn_printed_its_snapshot_keeps_nothing(
    world: MemoryWorld, clock: ManualClock
) -> None:
    printing = Workflow.from_source("""
    import { sleep } from "workflow";
    export async function printing() {
      "use workflow";
      for (const text of ["a", "b"]) console.log(text.repeat(60_000));
      await sleep("1 minute");
    }
    """)
    async with Worker(world):
        run = await start(printing, world=world)
    (snapshot,) = await world.snapshots.load(run.id)
    assert len(snapshot.data) < 8_000
    assert len(await run.log_lines()) == 2
    async with Worker(world):
        clock.advance(60_000)
        await run.result(timeout=10)
    assert len(await run.log_lines()) == 2
