"""A world that raises what none should: it is told, asked again, and no worker ends by it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable

import anyio
import anyio.lowlevel
import pytest

from perdure import RetryableError, Worker, Workflow, start, step
from perdure._runtime.carrier import writes
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.timing import Timing
from perdure.errors import WorldClosedError, WorldContractError
from perdure.model import Committed, TurnCommit
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld
from tests.runtime.endings import Panic
from tests.runtime.hurry import passing
from tests.runtime.meddling import MeddledWorld

pytestmark = pytest.mark.anyio

executed = Counter[str]()
FLOW = Workflow.from_source("""
import { sleep } from "workflow";
import { adds, fails, elsewhere } from "python:failing";
export async function flow(): Promise<any> {
  "use workflow";
  console.log("one");
  const first = await adds(1);
  await sleep("1 minute");
  console.log("two");
  return [first, await fails(), await elsewhere(), await Promise.all([adds(2), adds(3)])];
}
""")
# Those that a worker makes for this workflow; each is met.
CALLS = (
    "storage.commit",
    "storage.append",
    "storage.load_run",
    "queue.claim_wakes",
    "queue.claim_messages",
    "queue.extend",
    "queue.release",
    "streams.append",
    "blobs.get",
)
ERRORS: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError("odd"),
    "KeyError": lambda: KeyError("odd"),
    "a panic": lambda: Panic("odd"),
    "CancelledError": lambda: asyncio.CancelledError("odd"),
    "not retryable": lambda: WorldContractError("odd"),
}


@step(name="failing:adds")
async def adds(n: int) -> int:
    executed["adds"] += 1
    return n


@step(name="failing:fails", max_retries=1)
async def fails() -> str:
    executed["fails"] += 1
    if executed["fails"] == 1:
        raise RetryableError("again")
    return "failed once"


@step(name="failing:elsewhere")
async def elsewhere() -> str:
    executed["elsewhere"] += 1
    return "elsewhere"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    executed.clear()
    monkeypatch.setattr(Worker, "_timing", Timing(claim_again=0.0, renew_every=0.001))
    monkeypatch.setattr(writes, "PAUSE", 0.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def world(clock: ManualClock) -> AsyncGenerator[MemoryWorld, None]:
    async with MemoryWorld(clock=clock) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "error", "times"),
    [(call, error, 1) for call in CALLS for error in ERRORS]
    + [("storage.commit", "KeyError", 8), ("storage.append", "a panic", 8)]
    + [("storage.load_run", "CancelledError", 3), ("queue.claim_wakes", "KeyError", 8)],
)
async def test_a_run_goes_on_after_any_call_raised_anything(
    world: MemoryWorld, clock: ManualClock, call: str, error: str, times: int
) -> None:
    """Once, and more often than a write is tried at a time."""
    left = times

    async def meddle(name: str) -> None:
        nonlocal left
        if name == call and left:
            left -= 1
            raise ERRORS[error]()

    meddled = MeddledWorld(world, meddle)
    async with passing(world, clock):
        run = await start(FLOW, world=world)
        with anyio.fail_after(10):
            # Two, so that steps go through the queue; one of them is not meddled with.
            async with Worker(meddled, steps=[adds, fails]), Worker(world, steps=[elsewhere]):
                assert await run.result(timeout=10) == [1, "failed once", "elsewhere", [2, 3]]
    assert (await verify_run(world, run.id)).problems == []


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyError("odd")])
async def test_a_commit_from_a_thread_may_raise(
    world: MemoryWorld, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which it promises not to do."""
    # A direct storage.
    real, raised = type(world.storage).commit_soon, 0  # type: ignore[attr-defined]

    def commit_soon(
        storage: object, commit: TurnCommit, callback: Callable[[Committed | BaseException], None]
    ) -> None:
        nonlocal raised
        raised += 1
        if raised == 1:
            raise error
        if raised == 2:
            callback(error)
            return
        real(storage, commit, callback)

    monkeypatch.setattr(type(world.storage), "commit_soon", commit_soon)
    flow = Workflow.from_source(
        'import { adds } from "python:failing";\n'
        'export async function flow() { "use workflow"; return await adds(1) + await adds(2); }\n'
    )
    async with Worker(world, steps=[adds]):
        assert await (await start(flow, world=world)).result(timeout=10) == 3
    assert raised >= 3
    assert executed["adds"] == 2


async def test_a_step_whose_outcome_cannot_be_written_does_not_run_for_ever(
    world: MemoryWorld, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def meddle(name: str) -> None:
        if name == "storage.append" and executed["adds"] < 4:
            raise RuntimeError("the world is odd")

    run = await start(
        Workflow.from_source(
            'import { adds } from "python:failing";\n'
            'export async function flow() { "use workflow"; return await adds(5); }\n'
        ),
        world=world,
    )
    meddled = MeddledWorld(world, meddle)
    async with passing(world, clock), Worker(world, steps=[]), Worker(meddled, steps=[adds]):
        assert await run.result(timeout=20) == 5
    assert executed["adds"] <= adds.options.max_retries + 1
    if executed["adds"] > 1:  # it went through the queue
        assert f"{run.id}/step_1 failed; it is tried again" in caplog.text


async def test_a_message_that_nobody_can_read_is_given_back(
    world: MemoryWorld, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    run = await start(FLOW, world=world)
    async with Worker(world, steps=[]):
        with anyio.fail_after(10):
            while not world._store.messages:
                await anyio.lowlevel.checkpoint()
    (stored,) = world._store.messages.values()
    whole = stored.message.body
    object.__setattr__(stored.message, "body", b"\xff")
    async with passing(world, clock), Worker(world, steps=[adds, fails, elsewhere]) as worker:
        with anyio.fail_after(10):
            while not stored.returned:
                await anyio.lowlevel.checkpoint()
        assert executed["adds"] == 0
        assert f"{run.id}/step_1 failed; it is tried again" in caplog.text
        assert worker.statistics()["free_slots"] == 1000
        object.__setattr__(stored.message, "body", whole)
        assert await run.result(timeout=20) == [1, "failed once", "elsewhere", [2, 3]]


async def test_a_world_that_is_closed_ends_its_worker(world: MemoryWorld) -> None:
    """Nothing can be asked of it any more."""

    async def work() -> None:
        async with Worker(world, steps=[adds]):
            await world.aclose()
            await anyio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await work()
    assert caught.value.split(WorldClosedError)[1] is None
