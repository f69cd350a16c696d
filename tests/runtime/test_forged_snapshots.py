"""A snapshot that is damaged or made up costs time only, though its sha256 be right.

The run ends as it would have, from its log, with one warning; ``verify`` says what is wrong. With a
key and without, and where the damage was done before the tag was made.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import anyio
import anyio.lowlevel
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from perdure import Run, Worker, Workflow, start, step
from perdure._protocol.codec import decode, encode
from perdure._protocol.frames import Limits
from perdure._protocol.snapshot_format import MAGIC, decode_snapshot, encode_snapshot
from perdure._runtime.carrier.baselines import Baselines
from perdure._runtime.carrier.custody import Custody
from perdure._runtime.carrier.giving_up import MAX_FRUITLESS
from perdure._runtime.carrier.heap import Heap
from perdure._runtime.carrier.routing import Routing
from perdure._runtime.carrier.turn import Turn, TurnInput, take_turn
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.slots import Slots, TakenSlots
from perdure._vm import image
from perdure._vm.delta import compress, decompress, pack
from perdure._vm.pool import VmPool
from perdure.abc import World
from perdure.errors import RunFailedError, SnapshotRejectedError, WorldContractError
from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    LoggedEvent,
    RunId,
    RunOutcome,
    RunState,
    Snapshot,
)
from perdure.testing.memory import MemoryWorld
from tests.runtime.forgeries import FOLDS, FORGERIES, PATCHES, PLAUSIBLE, Sound, sealed
from tests.systems import needs_usage
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]

FLOW = Workflow.from_source("""
import { add, last, after } from "python:forged";
export async function flow(n: number) {
  "use workflow";
  const made = new Map([["x", await add(n, 2)]]);
  const end = await last();
  return [await made.get("x"), end, await after()];
}
""")
RESULT = [3, "last", "after"]
KEY, OTHER = b"k" * 32, b"o" * 32
DEADLINE = 0.4  # seconds, for what loops


@step(name="forged:add")
async def add(a: int, b: int) -> int:
    return a + b


@step(name="forged:last")
async def last() -> str:
    return "last"


@step(name="forged:after")
async def after() -> str:
    return "after"


@step(name="forged:fail", max_retries=0)
async def fail() -> str:
    raise ValueError("it does")


async def parked(world: World, *, key: bytes | None, flow: Workflow = FLOW) -> Run:
    """A run that was put away before a step its worker does not have."""
    async with Worker(world, steps=[add], snapshot_key=key):
        run = await start(flow, [1])
        with anyio.fail_after(10):
            while not await world.snapshots.load(RunId(run.id)):
                await anyio.lowlevel.checkpoint()
    return run


async def sound_of(world: World, run: Run, *, key: bytes | None) -> Sound:
    (snapshot,) = await world.snapshots.load(RunId(run.id))
    record = await world.storage.get_run(RunId(run.id))
    pool = VmPool(1)
    try:
        baseline = await Baselines(world, pool).get(record)
    finally:
        pool.close()
    return Sound(snapshot=snapshot, baseline=baseline, record=record, key=key)


def hand_over(world: World, chain: Sequence[Snapshot], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the world give this chain, whatever it would have kept of it."""
    storage, snapshots = world.storage, world.snapshots
    load_run = storage.load_run

    async def load_state(run_id: RunId, *, after: int | None = None) -> RunState:
        if after is not None:
            return await load_run(run_id, after=after)
        return replace(await load_run(run_id, after=chain[-1].consumed), chain=tuple(chain))

    async def load_chain(_: RunId) -> Sequence[Snapshot]:
        return chain

    monkeypatch.setattr(storage, "load_run", load_state)
    monkeypatch.setattr(snapshots, "load", load_chain)


async def ended(world: World, run: Run, *, key: bytes | None) -> tuple[object, int]:
    """The run's result from a fresh worker, and how often that went back to the log."""
    async with Worker(
        world, steps=[add, last, after], snapshot_key=key, turn_deadline=DEADLINE
    ) as worker:
        value = await run.result(timeout=30)
        return value, worker.statistics()["rebuilt"]


KEYS = pytest.mark.parametrize(
    ("key", "forger"),
    [(None, None), (KEY, None), (KEY, OTHER), (KEY, KEY)],
    ids=["no key", "a key, no tag", "a key, another tag", "a key, a right tag"],
)


@pytest.mark.parametrize("kind", [*FORGERIES, *FOLDS])
async def test_one_without_a_key_costs_time_only(
    world: MemoryWorld,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    run = await parked(world, key=None)
    sound = await sound_of(world, run, key=None)
    forged = (FORGERIES | FOLDS)[kind](sound)
    hand_over(world, forged, monkeypatch)
    assert (await verify_run(world, run.id)).problems
    with caplog.at_level(logging.WARNING, "perdure"):
        value, rebuilt = await ended(world, run, key=None)
    assert value == RESULT
    assert rebuilt == 1, caplog.text
    assert caplog.text.count("rebuilding it from its log") == 1
    assert "Traceback" not in caplog.text


@KEYS
async def test_what_cannot_be_thawed_is_refused_by_name(
    world: MemoryWorld, key: bytes | None, forger: bytes | None
) -> None:
    """Whoever tagged it; with another key, or with none, every one of them is."""
    sound = await sound_of(world, await parked(world, key=forger), key=forger)
    for kind, forge in (FORGERIES | (FOLDS if key != forger else {})).items():
        with pytest.raises(SnapshotRejectedError) as caught:
            Heap.thaw(sound.baseline, sound.record, forge(sound), limits=Limits(), key=key)
        assert len(str(caught.value)) < 400, kind


@KEYS
@pytest.mark.parametrize("kind", PATCHES)
async def test_a_patched_heap_costs_time_only(
    world: MemoryWorld,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    key: bytes | None,
    forger: bytes | None,
) -> None:
    run = await parked(world, key=forger)
    forged = PATCHES[kind](await sound_of(world, run, key=forger))
    hand_over(world, forged, monkeypatch)
    (problem,) = (await verify_run(world, run.id, key=key)).problems
    assert key != forger or "is another heap" in problem
    if key is not None and key == forger and kind in PLAUSIBLE:
        with pytest.raises(RunFailedError):
            await ended(world, run, key=key)
        return
    with caplog.at_level(logging.WARNING, "perdure"):
        value, rebuilt = await ended(world, run, key=key)
    assert value == RESULT
    told = kind not in PLAUSIBLE or key is not None
    assert rebuilt == caplog.text.count("rebuilding it from its log") == told
    assert "it is tried again" not in caplog.text  # it is not counted against the run


def turn_input(world: World, events: Sequence[LoggedEvent]) -> TurnInput:
    return TurnInput(
        commit_id="commit",
        events=events,
        results=(),
        claim=None,
        now_ms=world.now_ms(),
        busy=False,
        snapshot_lag=1,
        key=None,
        slots=TakenSlots(Slots(1)),
        routing=Routing({}, (), lease_ms=1),
    )


def completed(world: World, position: int, name: str, value: object) -> LoggedEvent:
    event = Event(
        type=EventType.STEP_COMPLETED,
        key=f"{name}/end",
        at_ms=world.now_ms(),
        entity=EntityId(name),
        payload=encode(value, where="result"),
    )
    return LoggedEvent(position=position, event=event)


def resumed(world: World, sound: Sound, chain: Sequence[Snapshot]) -> RunOutcome | None:
    """How the run ends by a chain's heap, once its two steps have come back."""
    heap = Heap.thaw(sound.baseline, sound.record, chain, limits=Limits(), key=sound.key)
    try:
        taken: object = None
        for number, value in ((2, "last"), (3, "after")):
            event = completed(world, heap.cursor.position + 1, f"step_{number}", value)
            taken = take_turn(heap, turn_input(world, [event]))
        assert isinstance(taken, Turn)
        return taken.commit.outcome
    finally:
        heap.close()


async def test_a_heap_is_tried_out_without_a_trace(world: MemoryWorld) -> None:
    sound = await sound_of(world, await parked(world, key=None), key=None)
    chain = [sound.snapshot]
    heap = Heap.thaw(sound.baseline, sound.record, chain, limits=Limits(), key=None)
    before = heap.image_digest()
    heap.try_out()
    assert heap.image_digest() == before
    heap.close()


async def test_any_bytes_changed_and_sealed_anew_are_refused_or_harmless(
    world: MemoryWorld,
) -> None:
    sound = await sound_of(world, await parked(world, key=None), key=None)
    body = sound.snapshot.data[len(MAGIC) + 1 : -32]
    expected = resumed(world, sound, [sound.snapshot])
    assert expected is not None
    assert decode(expected.payload or b"") == RESULT

    @settings(max_examples=150)
    @given(st.data())
    def try_it(data: st.DataObject) -> None:
        changed = bytearray(body)
        for _ in range(data.draw(st.integers(1, 3), label="changes")):
            at = data.draw(st.integers(0, len(changed) - 1), label="at")
            changed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        forged = replace(sound.snapshot, data=sealed(bytes(changed), key=None))
        try:
            outcome = resumed(world, sound, [forged])
        except SnapshotRejectedError:
            return
        assert outcome is not None
        assert outcome.payload == expected.payload

    try_it()


async def test_any_patch_of_a_delta_is_refused_or_stays_within_its_memory(
    world: MemoryWorld,
) -> None:
    """Deltas whose own digest is right too: nothing but a refusal may come of the structure."""
    sound = await sound_of(world, await parked(world, key=None), key=None)
    header, fold, delta = decode_snapshot(sound.snapshot.data, key=None)
    body = decompress(delta, sound.baseline.image.dictionary, heap_bytes=8 << 20).body

    @settings(max_examples=150)
    @given(st.data())
    def try_it(data: st.DataObject) -> None:
        changed = bytearray(body)
        at = data.draw(st.integers(0, min(400, len(changed) - 4)), label="at")
        changed[at : at + 4] = data.draw(st.binary(max_size=8), label="bytes")
        packed = compress(bytes(changed), sound.baseline.image.dictionary)
        forged = encode_snapshot(header, fold, packed, key=None)
        chain = [replace(sound.snapshot, data=forged)]
        with contextlib.suppress(SnapshotRejectedError):
            Heap.thaw(sound.baseline, sound.record, chain, limits=Limits(), key=None).close()

    try_it()


@pytest.mark.parametrize(("heap_bytes", "fits"), [(0, True), (16 << 20, True), (1 << 20, False)])
async def test_memory_is_measured_against_the_limit_of_the_heap(
    world: MemoryWorld, heap_bytes: int, fits: bool
) -> None:
    sound = await sound_of(world, await parked(world, key=None), key=None)
    header, fold, _ = decode_snapshot(sound.snapshot.data, key=None)
    size = sound.baseline.image.memory_bytes + (4 << 20)
    data = encode_snapshot(
        replace(header, memory_bytes=size), fold, compress(pack(size, [], []), None), key=None
    )
    chain, limits = [replace(sound.snapshot, data=data)], Limits(heap_bytes=heap_bytes)
    if fits:
        Heap.thaw(sound.baseline, sound.record, chain, limits=limits, key=None).close()
        return
    with pytest.raises(SnapshotRejectedError, match="is not sound"):
        Heap.thaw(sound.baseline, sound.record, chain, limits=limits, key=None)


async def test_deltas_that_are_too_large_together_are_refused(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = await sound_of(world, await parked(world, key=None), key=None)
    monkeypatch.setattr(image, "MAX_THAWED_BYTES", 100)
    with pytest.raises(SnapshotRejectedError, match="too large together"):
        Heap.thaw(sound.baseline, sound.record, [sound.snapshot], limits=Limits(), key=None)


FAILING = Workflow.from_source("""
import { add, fail } from "python:forged";
export async function failing(n: number) {
  "use workflow";
  await add(n, 2);
  await fail();
}
""")


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_run_that_fails_by_a_snapshot_without_a_tag_is_asked_of_its_log_first(
    world: MemoryWorld, caplog: pytest.LogCaptureFixture, key: bytes | None
) -> None:
    run = await parked(world, key=key, flow=FAILING)
    with caplog.at_level(logging.INFO, "perdure"):
        async with Worker(world, steps=[fail], snapshot_key=key) as worker:
            with pytest.raises(RunFailedError, match="it does"):
                await run.result(timeout=10)
            assert worker.statistics()["rebuilt"] == 0
    assert ("its log is asked" in caplog.text) == (key is None)
    warned = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert not [one for one in warned if one.__dict__["event"] is None]


@pytest.mark.parametrize(("lost", "rebuilt"), [(9, 0), (10, 1), (11, 0), (12, 1)])
async def test_a_run_whose_claims_come_to_nothing_is_made_from_its_log_every_other_time(
    world: MemoryWorld, caplog: pytest.LogCaptureFixture, lost: int, rebuilt: int
) -> None:
    """Whatever it is that a snapshot does to a worker."""
    run = await parked(world, key=None)
    await world.queue.wake(RunId(run.id), due_ms=world.now_ms())
    for _ in range(lost):
        (claim,) = await world.queue.claim_wakes(limit=1, visibility_ms=60_000)
        await world.queue.release(claim.lease, ran=True)
    assert lost >= MAX_FRUITLESS - 1
    assert await ended(world, run, key=None) == (RESULT, rebuilt)
    told = "a turn by its snapshot came to nothing; rebuilding it" in caplog.text
    assert told == bool(rebuilt)


@pytest.mark.slow
async def test_a_turn_that_raised_is_tried_again_from_the_log(
    world: MemoryWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, load = await parked(world, key=None), Custody.load
    broken = [True]

    async def load_once(
        custody: Custody, *, wary: bool = False
    ) -> tuple[Heap | None, Sequence[LoggedEvent]]:
        loaded = await load(custody, wary=wary)
        if broken:
            broken.clear()
            raise RuntimeError("something of the host's")
        return loaded

    monkeypatch.setattr(Custody, "load", load_once)
    value, rebuilt = await ended(world, run, key=None)
    assert (value, rebuilt) == (RESULT, 1)
    assert "a turn failed; it is tried again" in caplog.text
    assert "a turn by its snapshot came to nothing; rebuilding it" in caplog.text


MEASURED = """
import resource, sys
from perdure._vm.delta import decompress
from perdure.errors import SnapshotRejectedError
from tests.runtime.forgeries import claim, zeros
bombs = [zeros(1 << 30), zeros(4 << 20), claim(2 << 40), claim(1 << 30)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in bombs:
    try:
        decompress(bomb, None, heap_bytes=3 << 20)
    except SnapshotRejectedError:
        continue
    sys.exit("a bomb was taken")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@needs_usage
@pytest.mark.slow
def test_a_bomb_takes_no_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) < 16 << 10, "KiB"


@pytest.mark.parametrize("which", ["bundle", "engine"])
async def test_code_that_is_not_what_the_run_was_started_with_is_not_run(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    run = await parked(world, key=None)
    record = await world.storage.get_run(RunId(run.id))
    blobs, get = world.blobs, world.blobs.get
    other = replace(record, engine=Digest("e" * 64)) if which == "engine" else record

    async def forged(digest: Digest, *, run_id: RunId | None = None) -> bytes:
        return b"other code" if digest == getattr(other, which) else await get(digest)

    monkeypatch.setattr(blobs, "get", forged)
    pool = VmPool(1)
    try:
        with pytest.raises(WorldContractError, match="has other bytes in place of blob"):
            await Baselines(world, pool).get(other)
    finally:
        pool.close()
