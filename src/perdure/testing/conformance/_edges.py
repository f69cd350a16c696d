"""Edges: worlds that are not open, and limits below one; one answer each, from every method.

A method that could answer without its store (nothing to send, nothing asked for) must refuse like
the rest, or a caller takes its silence for an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio

from ..._model.commit import Append
from ..._model.events import Event, EventType
from ..._model.ids import Digest, RunId
from ..._model.queue import Lease, LeaseEnd, NewMessage
from ..._model.runs import RunFilter
from ..._model.snapshot import Snapshot
from ..._model.transfer import Departure, RunCopy
from ...abc import World
from ...errors import WorldClosedError
from ...worldkit.clock import SystemClock
from ..clock import ManualClock
from ..memory import MemoryWorld
from ._case import RUN, Case, append_of, commit_of, expect, named, new_run

__all__ = ("EDGES", "calls_of")

WAIT_MS = 60_000
ENDS_S = 10.0  # within which a wait that is over ends
LIMITS = (0, -1, -(2**40))
ENDED = RunId("run_ended")
MESSAGE = NewMessage(message_id=f"{RUN}/m", run_id=RUN, topic="t", body=b"b", due_ms=0)
WAKE = Lease(item=RUN, token="x", is_wake=True, expires_at_ms=2**40)
DATA = b"data"
DIGEST = Digest(hashlib.sha256(DATA).hexdigest())
Call: TypeAlias = "Callable[[], Awaitable[object]]"


async def a_world_that_is_not_open_says_so(case: Case) -> None:
    """Before ``open`` and after ``aclose`` every method raises ``WorldClosedError``."""
    copy = await _departed()
    world = case.make(SystemClock())
    await _refused(calls_of(world, copy), "a world that was not opened")
    async with world:
        await world.storage.create_run(new_run())
    await _refused(calls_of(world, copy), "a closed world")
    await world.aclose()  # again is fine


async def closing_ends_every_wait(case: Case) -> None:
    """Calls that wait raise ``WorldClosedError`` when their world is closed."""
    world, names, over = case.make(SystemClock()), set[str](), anyio.Event()
    await world.open()
    await world.storage.create_run(new_run())
    await world.queue.claim_wakes(limit=1, visibility_ms=WAIT_MS)

    async def wait(name: str, call: Call) -> None:
        try:
            answer: object = await call()
        except WorldClosedError:
            names.add(name)
            if names == waits.keys():
                over.set()
        else:
            raise AssertionError(f"{name}: a wait that its world's end cut short answers {answer}")

    queue, streams = world.queue, world.streams
    waits: dict[str, Call] = {
        "claim_wakes": lambda: queue.claim_wakes(limit=1, visibility_ms=1, wait_ms=WAIT_MS),
        "claim_messages": lambda: queue.claim_messages(
            ["t"], limit=1, visibility_ms=1, wait_ms=WAIT_MS
        ),
        "wait_ended": lambda: world.storage.wait_ended(RUN, wait_ms=WAIT_MS),
        "read": lambda: streams.read(RUN, "s", wait_ms=WAIT_MS),
    }
    async with anyio.create_task_group() as group:
        for name, call in waits.items():
            group.start_soon(wait, name, call)
        await anyio.sleep(0.05)  # some of them wait by now, others are about to
        await world.aclose()
        with anyio.move_on_after(ENDS_S):
            await over.wait()
        group.cancel_scope.cancel()
    expect(over.is_set(), f"closing ends every wait, but not {sorted(waits.keys() - names)}")


async def limits_below_one_take_nothing(case: Case) -> None:
    """A limit of zero or less: nothing is claimed, deleted or read, and nobody waits."""
    clock = ManualClock()
    async with case.open(clock) as world:
        await world.storage.create_run(new_run())
        await world.queue.send([MESSAGE])
        await world.streams.append(RUN, "s", [b"c"], writer="w", sequence=1)
        await _end(world)
        await world.settle()
        for limit in LIMITS:
            with anyio.fail_after(ENDS_S):
                await _take_nothing(world, limit)
        wakes = await world.queue.claim_wakes(limit=1, visibility_ms=1)
        messages = await world.queue.claim_messages(["t"], limit=1, visibility_ms=1)
        attempts = [*(one.fruitless_claims for one in wakes), *(one.claims for one in messages)]
        expect(attempts == [1, 1], "a limit below one claims nothing")
        expect((await world.storage.get_run(ENDED)).status.is_over, "nor deletes anything")


async def _take_nothing(world: World, limit: int) -> None:
    queue, topics = world.queue, ["t"]
    prefix = f"with a limit of {limit}"
    wakes = await queue.claim_wakes(limit=limit, visibility_ms=1, wait_ms=WAIT_MS)
    expect(wakes == (), f"{prefix} no wake is claimed")
    claims = await queue.claim_messages(topics, limit=limit, visibility_ms=1, wait_ms=WAIT_MS)
    expect(claims == (), f"{prefix} no message is claimed")
    count = await world.catalogue.purge(ended_before_ms=2**40, limit=limit)
    expect(count == 0, f"{prefix} no run is deleted")
    runs = await world.catalogue.list_runs(RunFilter(), limit=limit)
    expect((runs.runs, runs.cursor) == ((), None), f"{prefix} no run is listed")
    events = await world.storage.read_events(RUN, limit=limit)
    expect(events == (), f"{prefix} no event is read")
    page = await world.streams.read(RUN, "s", limit=limit, wait_ms=WAIT_MS)
    expect((page.chunks, page.done) == ((), False), f"{prefix} no chunk is read")


async def _refused(calls: dict[str, Call], who: str) -> None:
    for name, call in calls.items():
        try:
            with anyio.fail_after(ENDS_S):
                answer = await call()
        except WorldClosedError:
            continue
        except Exception as error:
            raise AssertionError(f"{name}: {who} raises WorldClosedError, not {error!r}") from error
        raise AssertionError(f"{name}: {who} answers {answer!r}")


def calls_of(world: World, copy: RunCopy) -> dict[str, Call]:
    """Every method of every contract; also such that ask for nothing."""
    return {
        **_storage(world),
        **_catalogue(world),
        **_queue(world),
        **_snapshots(world),
        **_streams(world),
        **_blobs(world),
        **_transfer(world, copy),
        "settle": world.settle,
    }


def _storage(world: World) -> dict[str, Call]:
    storage = world.storage
    return {
        "storage.create_run": lambda: storage.create_run(new_run()),
        "storage.append": lambda: storage.append(append_of()),
        "storage.commit": lambda: storage.commit(commit_of(0)),
        "storage.get_run": lambda: storage.get_run(RUN),
        "storage.load_run": lambda: storage.load_run(RUN),
        "storage.read_events": lambda: storage.read_events(RUN),
        "storage.read_events of none": lambda: storage.read_events(RUN, limit=0),
        "storage.get_hook": lambda: storage.get_hook("t"),
        "storage.wait_ended": lambda: storage.wait_ended(RUN, wait_ms=WAIT_MS),
    }


def _catalogue(world: World) -> dict[str, Call]:
    catalogue = world.catalogue
    return {
        "catalogue.list_runs": lambda: catalogue.list_runs(RunFilter()),
        "catalogue.list_runs of none": lambda: catalogue.list_runs(RunFilter(), limit=0),
        "catalogue.list_runs after no cursor": lambda: catalogue.list_runs(
            RunFilter(), cursor="none"
        ),
        "catalogue.delete_run": lambda: catalogue.delete_run(RUN),
        "catalogue.purge": lambda: catalogue.purge(ended_before_ms=1),
        "catalogue.purge of none": lambda: catalogue.purge(ended_before_ms=1, limit=0),
    }


def _queue(world: World) -> dict[str, Call]:
    queue = world.queue
    return {
        "queue.wake": lambda: queue.wake(RUN, due_ms=0),
        "queue.claim_wakes": lambda: queue.claim_wakes(limit=1, visibility_ms=1),
        "queue.claim_wakes of none": lambda: queue.claim_wakes(limit=0, visibility_ms=1),
        "queue.send": lambda: queue.send([MESSAGE]),
        "queue.send nothing": lambda: queue.send([]),
        "queue.claim_messages": lambda: queue.claim_messages(["t"], limit=1, visibility_ms=1),
        "queue.claim_messages of none": lambda: queue.claim_messages(
            ["t"], limit=0, visibility_ms=1
        ),
        "queue.claim_messages of no topic": lambda: queue.claim_messages(
            [], limit=1, visibility_ms=1, wait_ms=WAIT_MS
        ),
        "queue.extend": lambda: queue.extend([WAKE], visibility_ms=1),
        "queue.extend nothing": lambda: queue.extend([], visibility_ms=1),
        "queue.finish": lambda: queue.finish(LeaseEnd(lease=WAKE)),
        "queue.release": lambda: queue.release(WAKE),
        "queue.count_waiting": queue.count_waiting,
        "queue.count_waiting of no topic": lambda: queue.count_waiting([]),
    }


def _snapshots(world: World) -> dict[str, Call]:
    snapshots = world.snapshots
    snapshot = Snapshot(turn=1, parent_turn=None, consumed=1, data=DATA)
    return {
        "snapshots.save": lambda: snapshots.save(RUN, snapshot),
        "snapshots.load": lambda: snapshots.load(RUN),
        "snapshots.delete": lambda: snapshots.delete(RUN),
    }


def _streams(world: World) -> dict[str, Call]:
    streams = world.streams
    return {
        "streams.append": lambda: streams.append(RUN, "s", [DATA], writer="w", sequence=1),
        "streams.append nothing": lambda: streams.append(RUN, "s", [], writer="w", sequence=1),
        "streams.read": lambda: streams.read(RUN, "s", wait_ms=WAIT_MS),
        "streams.read from the end": lambda: streams.read(RUN, "s", start=-1),
        "streams.read of none": lambda: streams.read(RUN, "s", limit=0),
        "streams.close": lambda: streams.close(RUN, "s"),
        "streams.delete": lambda: streams.delete(RUN, "s"),
        "streams.info": lambda: streams.info(RUN, "s"),
        "streams.list_streams": lambda: streams.list_streams(RUN),
    }


def _blobs(world: World) -> dict[str, Call]:
    blobs = world.blobs
    return {
        "blobs.put": lambda: blobs.put(DIGEST, DATA),
        "blobs.put another's": lambda: blobs.put(DIGEST, b"other"),
        "blobs.get": lambda: blobs.get(DIGEST),
        "blobs.has": lambda: blobs.has(DIGEST, run_id=RUN),
    }


def _transfer(world: World, copy: RunCopy) -> dict[str, Call]:
    transfer = world.transfer
    return {
        "transfer.depart": lambda: transfer.depart(Departure(run_id=RUN, to="memory://there")),
        "transfer.read_streams": lambda: transfer.read_streams(RUN),
        "transfer.arrive": lambda: transfer.arrive(copy),
        "transfer.confirm": lambda: transfer.confirm(RUN),
    }


async def _departed() -> RunCopy:
    """A run that could arrive anywhere."""
    async with MemoryWorld() as world:
        await world.storage.create_run(new_run())
        record = await world.transfer.depart(Departure(run_id=RUN, to="memory://there"))
        events = await world.storage.read_events(RUN)
        return RunCopy(record=record, events=events, chain=(), streams=())


async def _end(world: World) -> None:
    """A run that has ended."""
    await world.storage.create_run(new_run(ENDED))
    end = Event(type=EventType.RUN_CANCELLED, key="run/ended", at_ms=2)
    await world.storage.append(Append(run_id=ENDED, event=end, wake=False))


EDGES = named(
    a_world_that_is_not_open_says_so,
    closing_ends_every_wait,
    limits_below_one_take_nothing,
)
