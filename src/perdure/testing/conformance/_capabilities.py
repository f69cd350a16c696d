"""Capabilities: those that are declared work, and those that work are declared.

Those that only other processes can show are in ``_processes``.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import anyio
import anyio.to_thread

from ..._model.commit import Committed
from ..._model.ids import RunId
from ..._model.queue import Lease, NewMessage
from ...abc import Capability, DirectStorage, World
from ...errors import WorldClosedError
from ._case import RUN, Case, commit_of, expect, named, new_run

__all__ = ("CAPABILITIES",)

ROUNDS = 30  # so often at once and without being settled is no accident


async def direct_commit_is_declared_truly(case: Case) -> None:
    """A storage takes commits from any thread if, and only if, that is declared."""
    async with case.open() as world:
        declared = Capability.DIRECT_COMMIT in world.capabilities
        storage = world.storage
        if not isinstance(storage, DirectStorage):
            expect(not declared, "direct_commit is declared, but the storage is no DirectStorage")
            return
        expect(declared, f"the storage is a DirectStorage; {Capability.DIRECT_COMMIT} is missing")
        await storage.create_run(new_run())
        answer = await _commit_directly(storage)
        expect(isinstance(answer, Committed), "commit_soon gives the commit's answer")
        again = await _commit_directly(storage)
        expect(answer == again, "commit_soon with the same commit_id gives the first answer")
    expect(
        isinstance(await _commit_directly(storage), WorldClosedError),
        "commit_soon on a closed world gives WorldClosedError",
    )


async def _commit_directly(storage: DirectStorage) -> object:
    event = anyio.Event()
    answers: list[object] = []
    loop = asyncio.get_running_loop()

    def landed(answer: object) -> None:
        answers.append(answer)
        loop.call_soon_threadsafe(event.set)

    await anyio.to_thread.run_sync(lambda: storage.commit_soon(commit_of(0), landed))
    with anyio.fail_after(30):
        await event.wait()
    return answers[0]


async def atomic_queue_is_declared_truly(case: Case) -> None:
    """A commit's messages can be claimed once it has returned if, and only if, that is declared.

    By another handle where the store is shared: the one that committed may know before others do.
    """
    async with case.open() as world, AsyncExitStack() as stack:
        other, count = world, 0
        if Capability.SHARED in world.capabilities:
            other = await stack.enter_async_context(case.open())
        declared = Capability.ATOMIC_QUEUE in world.capabilities
        rounds = 3 if declared and not case.thorough else ROUNDS
        for n in range(rounds):
            run_id = f"run_{n}"
            # In vain: a handle that has just looked may not be due to look again.
            await other.queue.claim_messages([f"t{n}"], limit=1, visibility_ms=60_000)
            await other.queue.claim_wakes(limit=1, visibility_ms=60_000)
            await world.storage.create_run(new_run(run_id))
            id_ = RunId(run_id)
            message = NewMessage(
                message_id=f"{run_id}/m", run_id=id_, topic=f"t{n}", body=b"", due_ms=0
            )
            await world.storage.commit(commit_of(0, run_id=id_, messages=(message,)))
            claims = await other.queue.claim_messages([f"t{n}"], limit=1, visibility_ms=60_000)
            wakes = await other.queue.claim_wakes(limit=1, visibility_ms=60_000)
            count += bool(claims and wakes)
        if declared:
            expect(count == rounds, "messages and wakes are there when commit returns")
        else:
            works = f"{Capability.ATOMIC_QUEUE} works, {ROUNDS} times of {ROUNDS}"
            expect(count < ROUNDS, f"{works}; it has to be declared")


async def a_shared_store_is_one(case: Case) -> None:
    """Two worlds that are open on a shared store see each other's writes."""
    async with case.open() as world:
        if Capability.SHARED not in world.capabilities:
            return
        async with case.open() as other:
            for mine, theirs, run_id in ((world, other, "run_b"), (other, world, "run_c")):
                new = new_run(run_id)
                await mine.storage.create_run(new)
                record = await theirs.storage.get_run(new.run_id)
                expect(record.run_id == run_id, "a shared store shows one's writes to the other")


async def a_store_is_there_again(case: Case) -> None:
    """Acknowledged writes are there when a durable store is opened again."""
    async with case.open() as world:
        durable = Capability.DURABLE in world.capabilities
        await world.storage.create_run(new_run())
        await world.storage.commit(commit_of(0))
    if durable:
        async with case.open() as world:
            record = await world.storage.get_run(RUN)
            expect((record.turn, record.position) == (1, 2), "a durable store keeps what it has")


async def a_twin_renews_leases_from_another_event_loop(case: Case) -> None:
    """A lease that a world gave its twin renews, while the world's own event loop is blocked."""

    async def extend(twin: World, lease: Lease) -> int:
        async with twin:
            return len(await twin.queue.extend([lease], visibility_ms=60_000))

    async with case.open() as world:
        await world.storage.create_run(new_run())
        await world.settle()
        (claim,) = await world.queue.claim_wakes(limit=1, visibility_ms=1000, wait_ms=10_000)
        twin = world.twin()
        if twin is None:
            return
        thread = ThreadPoolExecutor(1)
        with thread:  # which blocks the loop
            renewed = thread.submit(lambda: asyncio.run(extend(twin, claim.lease))).result(30)
        expect(renewed == 1, "extend through a twin renews a live lease")
        await anyio.sleep(max(0, claim.lease.expires_at_ms - world.now_ms() + 50) / 1000)
        again = await world.queue.extend([claim.lease], visibility_ms=60_000)
        expect(len(again) == 1, "a lease that a twin renewed lives on")


CAPABILITIES = named(
    a_twin_renews_leases_from_another_event_loop,
    direct_commit_is_declared_truly,
    atomic_queue_is_declared_truly,
    a_shared_store_is_one,
    a_store_is_there_again,
)
