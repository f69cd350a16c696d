"""A worker that drains keeps nothing that it claims: the next one has it at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

import anyio
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.timing import Timing
from perdure.abc import Queue, World
from perdure.model import MessageClaim, RunId, WakeClaim
from perdure.testing.faults import Fault, FaultyWorld
from perdure.worldkit.waiting import Ending
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, EVERY_WORLD]
T = TypeVar("T")

FLOW = Workflow.from_source(
    'import { double } from "python:draining";\n'
    'export async function flow(): Promise<number> { "use workflow"; return await double(4); }\n'
)


@step(name="draining:double")
async def double(value: int) -> int:
    return 2 * value


class LateQueue:
    """A queue that has made a claim when the drain begins, and whose answer is then on its way."""

    def __init__(self, inner: Queue, call: str) -> None:
        self._inner = inner
        self._call = call
        self.drain: Callable[[], None] = lambda: None
        self.claimed = anyio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def claim_wakes(
        self, *, limit: int, visibility_ms: int, wait_ms: int
    ) -> tuple[WakeClaim, ...]:
        found = self._inner.claim_wakes(limit=limit, visibility_ms=visibility_ms, wait_ms=wait_ms)
        return await self._late("wake", found)

    async def claim_messages(
        self, topics: Sequence[str], *, limit: int, visibility_ms: int, wait_ms: int
    ) -> tuple[MessageClaim, ...]:
        found = self._inner.claim_messages(
            topics, limit=limit, visibility_ms=visibility_ms, wait_ms=wait_ms
        )
        return await self._late("message", found)

    async def _late(self, call: str, found: Awaitable[tuple[T, ...]]) -> tuple[T, ...]:
        claims = await found
        if claims and call == self._call:
            self.drain()
            await anyio.lowlevel.checkpoint()  # a cancellation would strike here
            self.claimed.set()
        return claims


def no_faults(number: int, call: str) -> Fault:
    return Fault.NONE


def late_world(inner: World, call: str) -> tuple[FaultyWorld, LateQueue]:
    world = FaultyWorld(inner, no_faults)
    queue = LateQueue(inner.queue, call)
    world.queue = cast("Queue", queue)
    return world, queue


async def begun(world: World, call: str) -> Run:
    """A run of which the wake, or the message of its step, is there to be claimed."""
    run = await start(FLOW, world=world)
    if call == "message":
        async with Worker(world, steps=[]):
            with anyio.fail_after(10):
                while not (await run.info()).turn:
                    await anyio.lowlevel.checkpoint()
    return run


@pytest.mark.parametrize("call", ["wake", "message"])
async def test_what_is_claimed_just_when_the_drain_begins_is_given_back(
    world: World, call: str
) -> None:
    run = await begun(world, call)
    late, queue = late_world(world, call)
    async with Worker(late, steps=[double]) as worker:
        queue.drain = worker.drain
        with anyio.fail_after(10):
            await queue.claimed.wait()
    async with Worker(world, steps=[double]):
        assert await run.result(timeout=5) == 8  # half as long as a lease
    assert (await verify_run(world, run.id)).problems == []


@pytest.mark.parametrize("call", ["wakes", "messages", "end", "chunks"])
async def test_an_ending_ends_the_wait_of_calls_that_heed_it(world: World, call: str) -> None:
    run = await start(FLOW, world=world)
    async with Worker(world, steps=[]):
        with anyio.fail_after(10):
            while not (await run.info()).turn:
                await anyio.lowlevel.checkpoint()
    ending, waited = Ending(), list[object]()
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "wakes": lambda: world.queue.claim_wakes(limit=1, visibility_ms=1, wait_ms=60_000),
        "messages": lambda: world.queue.claim_messages(
            ["none"], limit=1, visibility_ms=1, wait_ms=60_000
        ),
        "end": lambda: world.storage.wait_ended(RunId(run.id), wait_ms=60_000),
        "chunks": lambda: world.streams.read(RunId(run.id), "none", wait_ms=60_000),
    }

    async def wait() -> None:
        with ending.heeded():
            waited.append(await calls[call]())
            waited.append(await calls[call]())  # does not begin to wait

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            ending.end()
    assert len(waited) == 2


@IN_MEMORY
async def test_a_claim_that_does_not_answer_is_waited_for_as_long_as_it_could_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "_timing", Timing(lease_ms=50))
    asked, cut_short = anyio.Event(), list[str]()
    faulty = FaultyWorld(world, no_faults)

    async def no_answer(**_: object) -> tuple[WakeClaim, ...]:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            cut_short.append("claim_wakes")
        return ()

    monkeypatch.setattr(faulty, "queue", LateQueue(world.queue, ""))
    monkeypatch.setattr(faulty.queue, "claim_wakes", no_answer)
    with anyio.fail_after(5):
        async with Worker(faulty, steps=[]):
            await asked.wait()
    assert cut_short == ["claim_wakes"]
