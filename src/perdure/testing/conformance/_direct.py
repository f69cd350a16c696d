"""Direct checks: promises that one scenario shows better than a random program.

Races, bytes of every kind and size, waiting, a store opened again, and capabilities.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import anyio.to_thread

from ..._model.commit import Append, Committed, TurnCommit
from ..._model.events import Event, EventType
from ..._model.ids import Digest, EntityId, RunId
from ..._model.queue import NewMessage
from ..._model.runs import NewRun, RunOutcome, RunStatus
from ..._model.snapshot import Snapshot
from ...abc import Capability, DirectStorage, World
from ...errors import StaleTurnError
from ..clock import SystemClock
from ._pair import MakeWorld

__all__ = ("DIRECT", "DirectCheck")

DirectCheck: TypeAlias = Callable[[MakeWorld], Awaitable[None]]
RUN = RunId("run_a")
_SIZES = (0, 1, 255, 256, 4095, 4096, 4097, 65_535, 65_537, 1 << 20)


def new_run(run_id: RunId = RUN, payload: bytes = b"\x80") -> NewRun:
    """A run to create."""
    return NewRun(
        run_id=run_id,
        workflow="w",
        bundle=Digest("b" * 64),
        engine=Digest("e" * 64),
        input=payload,
        created_at_ms=1,
    )


def commit_of(turn: int, **changes: object) -> TurnCommit:
    """A commit of one event on *turn*."""
    values: dict[str, object] = {
        "run_id": RUN,
        "commit_id": f"c{turn}",
        "turn": turn,
        "expected_position": turn + 1,
        "consumed": turn + 1,
        "log_digest": b"d",
        "events": (
            Event(
                type=EventType.STEP_CREATED,
                key=f"step_{turn + 1}/created",
                at_ms=2,
                entity=EntityId(f"step_{turn + 1}"),
                payload=b"a",
            ),
        ),
    }
    return TurnCommit(**{**values, **changes})  # type: ignore[arg-type]  # the fields' own types


@asynccontextmanager
async def opened(make: MakeWorld) -> AsyncGenerator[World, None]:
    """A world on the storage, open."""
    world = make(SystemClock())
    async with world:
        yield world


def expect(condition: bool, promise: str) -> None:
    """Fail with the promise that is broken."""
    if not condition:
        raise AssertionError(promise)


async def one_winner_per_turn(make: MakeWorld) -> None:
    """Of many commits for one turn number exactly one lands."""
    async with opened(make) as world:
        await world.storage.create_run(new_run())
        for turn in range(5):
            won: list[Committed] = []
            stale: list[int] = []

            async def race(
                n: int,
                turn: int = turn,
                won: list[Committed] = won,
                stale: list[int] = stale,
            ) -> None:
                try:
                    won.append(
                        await world.storage.commit(commit_of(turn, commit_id=f"c{turn}/{n}"))
                    )
                except StaleTurnError:
                    stale.append(n)

            async with anyio.create_task_group() as group:
                for n in range(8):
                    group.start_soon(race, n)
            expect((len(won), len(stale)) == (1, 7), "one commit wins each turn number")
        events = await world.storage.read_events(RUN)
        expect([e.position for e in events] == list(range(1, 7)), "positions are dense")


async def one_claim_per_item(make: MakeWorld) -> None:
    """Concurrent claims never share an item."""
    async with opened(make) as world:
        for n in range(20):
            await world.storage.create_run(new_run(RunId(f"run_{n:02}")))
        claimed: list[str] = []

        async def claim() -> None:
            for _ in range(10):
                found = await world.queue.claim_wakes(limit=3, visibility_ms=60_000)
                claimed.extend(wake.run_id for wake in found)

        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(claim)
        expect(sorted(claimed) == [f"run_{n:02}" for n in range(20)], "one live lease per wake")


async def appends_share_a_log(make: MakeWorld) -> None:
    """Concurrent appends get dense positions; a key gets one."""
    async with opened(make) as world:
        await world.storage.create_run(new_run())
        positions: list[int] = []

        async def append(n: int) -> None:
            event = Event(
                type=EventType.STEP_COMPLETED,
                key=f"step_{n % 10}/end",
                at_ms=2,
                entity=EntityId(f"step_{n % 10}"),
                payload=bytes([n]),
            )
            answer = await world.storage.append(Append(run_id=RUN, event=event))
            positions.append(answer.position)

        async with anyio.create_task_group() as group:
            for n in range(30):
                group.start_soon(append, n)
        expect(set(positions) == set(range(2, 12)), "a duplicate gives the first position")
        events = await world.storage.read_events(RUN)
        expect([e.position for e in events] == list(range(1, 12)), "positions are dense")


async def bytes_are_exact(make: MakeWorld) -> None:
    """Payloads, snapshots, chunks and blobs of every size come back as they went in."""
    async with opened(make) as world:
        for index, size in enumerate(_SIZES):
            data = bytes(n * 7 % 256 for n in range(min(size, 4096))).ljust(size, b"\xc3")
            run_id = RunId(f"run_{index}")
            await world.storage.create_run(new_run(run_id, data))
            (created,) = await world.storage.read_events(run_id)
            expect(created.event.payload == data, f"a payload of {size} bytes is exact")
            snapshot = Snapshot(turn=1, parent_turn=None, consumed=1, data=data)
            await world.snapshots.save(run_id, snapshot)
            chain = await world.snapshots.load(run_id)
            expect(chain == (snapshot,), f"a snapshot of {size} bytes is exact")
            await world.streams.append(run_id, "s", [data, b""], writer="w", sequence=0)
            page = await world.streams.read(run_id, "s")
            expect(page.chunks == (data, b""), f"a chunk of {size} bytes is exact")
            digest = Digest(hashlib.sha256(data).hexdigest())
            await world.blobs.put(digest, data)
            expect(await world.blobs.get(digest) == data, f"a blob of {size} bytes is exact")


async def waiting_ends(make: MakeWorld) -> None:
    """Who waits for a wake, a message, a chunk or an end hears of it before the time is up."""
    async with opened(make) as world:
        await world.storage.create_run(new_run())
        (claim,) = await world.queue.claim_wakes(limit=1, visibility_ms=60_000)
        heard: list[str] = []
        both = anyio.Event()  # the message and the chunk: the end comes after them

        async def wait(what: str, call: Callable[[], Awaitable[object]]) -> None:
            expect(bool(await call()), f"waiting for {what} ends with it")
            heard.append(what)
            if len(heard) == 2:
                both.set()

        queue, streams = world.queue, world.streams
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(
                    wait,
                    "a message",
                    lambda: queue.claim_messages(
                        ["t"], limit=1, visibility_ms=1000, wait_ms=20_000
                    ),
                )
                group.start_soon(wait, "a chunk", lambda: streams.read(RUN, "s", wait_ms=20_000))
                group.start_soon(
                    wait, "an end", lambda: world.storage.wait_ended(RUN, wait_ms=20_000)
                )
                await anyio.sleep(0.05)  # for all of them to wait, so far as that can be known
                await streams.append(RUN, "s", [b"x"], writer="w", sequence=0)
                message = NewMessage(
                    message_id="run_a/m", run_id=RUN, topic="t", body=b"", due_ms=0
                )
                await queue.send([message])
                await both.wait()
                outcome = RunOutcome(status=RunStatus.COMPLETED, payload=b"r", at_ms=3)
                await world.storage.commit(commit_of(0, outcome=outcome))
        expect(claim.run_id == RUN and len(heard) == 3, "everybody heard")


async def a_store_is_there_again(make: MakeWorld) -> None:
    """What was acknowledged is there when the store is opened again."""
    async with opened(make) as world:
        durable = Capability.DURABLE in world.capabilities
        await world.storage.create_run(new_run())
        await world.storage.commit(commit_of(0))
    if durable:
        async with opened(make) as world:
            record = await world.storage.get_run(RUN)
            expect((record.turn, record.position) == (1, 2), "a durable store keeps what it has")


async def capabilities_are_true(make: MakeWorld) -> None:
    """What is declared works, what is not declared does not."""
    async with opened(make) as world:
        has = world.capabilities
        direct = isinstance(world.storage, DirectStorage)
        expect(direct == (Capability.DIRECT_COMMIT in has), "direct_commit is declared truly")
        if isinstance(world.storage, DirectStorage):
            await world.storage.create_run(new_run())
            await _commit_directly(world.storage)
        if Capability.SHARED in has:
            async with opened(make) as other:
                await world.storage.create_run(new_run(RunId("shared")))
                record = await other.storage.get_run(RunId("shared"))
                expect(record.run_id == "shared", "a shared store shows one's writes to the other")


async def _commit_directly(storage: DirectStorage) -> None:
    done = anyio.Event()
    answers: list[object] = []
    loop = asyncio.get_running_loop()

    def landed(answer: object) -> None:
        answers.append(answer)
        loop.call_soon_threadsafe(done.set)

    await anyio.to_thread.run_sync(lambda: storage.commit_soon(commit_of(0), landed))
    with anyio.fail_after(30):
        await done.wait()
    expect(isinstance(answers[0], Committed), "commit_soon gives the commit's answer")


def _name(check: DirectCheck) -> str:
    return getattr(check, "__name__", str(check)).replace("_", " ")


DIRECT: dict[str, DirectCheck] = {
    _name(check): check
    for check in (
        one_winner_per_turn,
        one_claim_per_item,
        appends_share_a_log,
        bytes_are_exact,
        waiting_ends,
        a_store_is_there_again,
        capabilities_are_true,
    )
}
