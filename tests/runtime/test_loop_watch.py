"""A step that blocks the event loop keeps its lease, runs once, and is told by name."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest

from perdure import Worker, Workflow, get_run, start, step
from perdure._runtime.timing import Timing
from perdure._runtime.worker.loop_watch import LoopWatch
from perdure.abc import World
from perdure.errors import WorldUnavailableError
from perdure.model import EventType
from perdure.testing.memory import MemoryWorld
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio

LEASE_S, RENEW_S, BLOCKS_S = 3.0, 0.5, 4.5
executed: list[str] = []
FLOW = Workflow.from_source("""
import { blocks, plain } from "python:blocking";
export async function flow() { "use workflow"; return [await blocks(), await plain()]; }
""")


@step(name="blocking:blocks", max_retries=0)
async def blocks() -> str:
    executed.append(threading.current_thread().name)
    time.sleep(BLOCKS_S)  # noqa: ASYNC251 # the mistake that is tested
    return "blocked"


@step(name="blocking:plain")
async def plain() -> str:
    return "plain"


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    executed.clear()
    timing = Timing(lease_ms=int(LEASE_S * 1000), renew_every=RENEW_S)
    monkeypatch.setattr(Worker, "_timing", timing)


@asynccontextmanager
async def rival(world: World) -> AsyncGenerator[None, None]:
    """Another worker of the same store, in a thread and an event loop of its own."""
    up, done = threading.Event(), threading.Event()

    async def work() -> None:
        twin = world.twin()
        assert twin is not None
        async with twin, Worker(twin, steps=[blocks]):
            up.set()
            await anyio.to_thread.run_sync(done.wait)

    thread = threading.Thread(target=anyio.run, args=(work,), name="rival")
    thread.start()
    await anyio.to_thread.run_sync(up.wait)
    try:
        yield
    finally:
        done.set()
        await anyio.to_thread.run_sync(thread.join)


@pytest.mark.slow
@EVERY_WORLD
@pytest.mark.usefixtures("_short")
async def test_a_step_that_blocks_longer_than_its_lease_runs_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with Worker(world, steps=[blocks, plain]) as mine:
        run = await start(FLOW, world=world)
        async with rival(world):
            assert await run.result(timeout=30) == ["blocked", "plain"]
            assert len(executed) == 1
        assert mine.statistics()["lost_leases"] == 0
    kinds = [logged.event.type async for logged in get_run(run.id, world).events()]
    assert kinds.count(EventType.STEP_COMPLETED) == 2
    assert EventType.STEP_FAILED not in kinds
    told = [r.getMessage() for r in caplog.records if "has been blocked" in r.getMessage()]
    assert len(told) == 1
    assert re.search(rf"blocked for 1\.\d s by blocking:blocks \({run.id}/step_1\)", told[0])
    assert told[0].splitlines()[-1].strip().startswith("time.sleep(BLOCKS_S)")
    assert "_runtime" not in told[0]


# --- the watch by itself --------------------------------------------------------------------------


class Held:
    """Leases, as many as the test says."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.every = 0.02
        self.renewed: list[str] = []

    def __len__(self) -> int:
        return self.count

    async def renew(self, world: World) -> None:
        await asyncio.sleep(0)
        self.renewed.append(threading.current_thread().name)


class Plain:
    """The threads of plain steps, as many as the test says."""

    def __init__(self, **counts: int) -> None:
        self.counts = Counter(counts)

    def plain_steps(self) -> Counter[str]:
        return self.counts


def hurried(world: World, leases: Held, steps: Plain) -> LoopWatch:
    """A watch that looks often and is told soon."""
    return LoopWatch(world, leases, steps, look_every=0.005, blocked_after=0.03)


def block_until(is_so: Callable[[], bool]) -> None:
    """Block the event loop."""
    until = time.monotonic() + 10
    while not is_so() and time.monotonic() < until:
        time.sleep(0.001)


async def test_each_blocking_is_told_once_and_renewed_again_and_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with MemoryWorld() as world:
        leases = Held(1)
        watch = hurried(world, leases, Plain())
        with watch.watching():
            for times in (1, 2):
                leases.renewed.clear()
                # Called within the round.
                block_until(lambda: len(leases.renewed) >= 3 and watch.blocked == times)  # noqa: B023
                await anyio.sleep(0.05)  # it looks several times meanwhile
                assert watch.blocked == times
                assert repr(watch) == f"<LoopWatch blocked={times}>"
        assert set(leases.renewed) == {"perdure-loop-watch"}
    told = [r.getMessage() for r in caplog.records]
    assert len(told) == 2
    assert "block_until" in told[0]
    assert not [t for t in threading.enumerate() if t.name == "perdure-loop-watch"]


async def test_nothing_is_asked_while_no_lease_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, asked = asyncio.get_running_loop(), 0
    real = loop.call_soon_threadsafe

    def counted(*args: object, **named: object) -> object:
        nonlocal asked
        asked += 1
        return real(*args, **named)  # type: ignore[arg-type] # handed on

    async with MemoryWorld() as world:
        leases = Held(0)
        with monkeypatch.context() as patch, hurried(world, leases, Plain()).watching():
            patch.setattr(loop, "call_soon_threadsafe", counted)
            time.sleep(0.1)  # noqa: ASYNC251 # the loop is blocked, and nobody minds
            assert asked == 0
            leases.count = 1
            with anyio.fail_after(10):
                while not asked:
                    await anyio.lowlevel.checkpoint()
    assert leases.renewed == []


@pytest.mark.parametrize("kind", ["none", "cannot be opened"])
async def test_a_world_may_do_without_a_twin(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def unreachable(world: MemoryWorld) -> None:
        raise WorldUnavailableError("it is away")

    async with MemoryWorld() as world:
        leases = Held(1)
        if kind == "none":
            monkeypatch.setattr(MemoryWorld, "twin", World.twin)
        else:
            monkeypatch.setattr(MemoryWorld, "open", unreachable)
        watch = hurried(world, leases, Plain())
        with watch.watching():
            block_until(lambda: watch.blocked == 1)
            time.sleep(0.05)  # noqa: ASYNC251 # longer than a renewal takes to come
        assert leases.renewed == []
    assert ("cannot be opened beside the blocked loop" in caplog.text) is (kind != "none")


async def test_what_blocks_in_a_callback_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    async with MemoryWorld() as world:
        watch = hurried(world, Held(1), Plain())
        with watch.watching(), caplog.at_level(logging.WARNING):
            done = asyncio.Event()

            def callback() -> None:
                block_until(lambda: watch.blocked == 1)
                done.set()

            asyncio.get_running_loop().call_soon(callback)
            await done.wait()
    assert "by a callback" in caplog.text


async def warning_of(steps: Plain, *, busy: bool, name: str | None) -> str:
    """The text about a loop that is blocked beside a thread, in a task of this name."""
    async with MemoryWorld() as world:
        watch, texts = hurried(world, Held(1), steps), list[str]()

        def burn() -> None:
            while busy and not watch.blocked:
                pass

        async def block() -> None:
            block_until(lambda: watch.blocked == 1)

        thread = threading.Thread(target=burn)
        handler = logging.Handler()
        # A stand-in.
        handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("perdure").addHandler(handler)
        try:
            with watch.watching():
                thread.start()
                await asyncio.create_task(block(), name=name)
        finally:
            logging.getLogger("perdure").removeHandler(handler)
            thread.join()
    (text,) = texts
    return text


async def test_threads_that_keep_the_interpreter_are_told_by_their_steps() -> None:
    text = await warning_of(Plain(a=7, b=1, c=2, d=300), busy=True, name="Runners._serve")
    assert "by threads of plain steps" in text
    assert "(300 of d, 7 of a, 2 of c, …)" in text
    assert "max_steps" in text
    assert "Runners" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("steps", "busy", "name"),
    [
        (Plain(), True, "Runners._serve"),  # they are not ours
        (Plain(a=7), False, "Runners._serve"),  # they wait
        (Plain(a=7), True, "m:f (run_1/step_1)"),  # a step that blocks is mistaken all the same
    ],
)
async def test_what_blocks_by_itself_is_told_beside_threads(
    steps: Plain, busy: bool, name: str
) -> None:
    text = await warning_of(steps, busy=busy, name=name)
    assert f"s by {name}: use await" in text
    assert "block_until" in text


async def test_the_plain_steps_that_run_are_counted() -> None:
    go_on = threading.Event()

    @step(name="counting:waits")
    def waits() -> None:
        go_on.wait(20)

    @step(name="counting:sleeps")
    async def sleeps() -> None:
        await anyio.to_thread.run_sync(go_on.wait, 20)

    source = """import { waits, sleeps } from "python:counting";
    export async function flow() { "use workflow";
      await Promise.all([waits(), sleeps(), waits()]); }"""
    async with MemoryWorld() as world, Worker(world, steps=[waits, sleeps]) as worker:
        run = await start(Workflow.from_source(source), world=world)
        execution = worker._execution
        with anyio.fail_after(20):
            while worker.statistics()["free_slots"] > 997:
                await anyio.lowlevel.checkpoint()
            assert execution.plain_steps() == {"counting:waits": 2}
            go_on.set()
            await run.result()
        assert execution.plain_steps() == {}
