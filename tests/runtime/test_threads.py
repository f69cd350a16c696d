"""Plain functions past their timeout, functions under wrappers, and keyword-only parameters."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from perdure import Run, Worker, Workflow, start, step, timeout_event
from perdure._runtime import steps as registry
from perdure._runtime.worker import bodies
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from perdure.model import EventType
from perdure.testing import ManualClock
from perdure.worlds import open_world
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]
CAUGHT = "try { return await body() } catch (e: any) { return (e.cause ?? e).name }"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def may_end() -> Iterator[threading.Event]:
    """Set at the end at the latest, so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


def calling(call: str) -> Workflow:
    return Workflow.from_source(
        'import { body } from "python:steps";\n'
        f'export async function w(): Promise<any> {{ "use workflow"; {call} }}\n'
    )


async def value_of(world: World, body: Any, call: str) -> object:
    async with Worker(world, steps=[body]):
        try:
            return await (await start(calling(call))).result(timeout=10)
        except RunFailedError as exc:
            return exc.error


async def kinds_of(run: Run) -> list[EventType]:
    return [logged.event.type async for logged in run.events()]


async def reached(run: Run, kind: EventType) -> None:
    with anyio.fail_after(10):
        while kind not in await kinds_of(run):
            await anyio.lowlevel.checkpoint()


async def test_a_thread_that_overruns_fails_at_its_deadline_and_keeps_its_slot(
    world: World, may_end: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Event()

    @step(name="steps:body", timeout=0.02, max_retries=0)
    def body() -> str:
        if timeout_event().wait(10):
            told.set()
        may_end.wait(10)
        return "too late"

    async with Worker(world, steps=[body], max_steps=1) as worker:
        run = await start(calling(CAUGHT))
        assert await run.result(timeout=10) == "StepTimeoutError"
        assert await anyio.to_thread.run_sync(told.wait, 10)
        assert worker.statistics()["free_slots"] == 0
        assert "is dropped" not in caplog.text
        may_end.set()
        with anyio.fail_after(10):
            while not worker.statistics()["free_slots"]:
                await anyio.lowlevel.checkpoint()
    assert caplog.text.count("what it returned or raised is dropped") == 1
    assert "the lease on" not in caplog.text
    assert EventType.STEP_COMPLETED not in await kinds_of(run)


async def test_a_retry_starts_when_the_thread_before_has_ended(
    url: str, may_end: threading.Event
) -> None:
    running: list[str] = []

    @step(name="steps:body", timeout=0.02, max_retries=1)
    def body() -> int:
        running.append("begin")
        if running.count("begin") == 1:
            may_end.wait(10)
            running.append("end")
        return running.count("begin")

    clock = ManualClock()
    async with open_world(url, clock=clock) as world, Worker(world, steps=[body]) as worker:
        run = await start(calling(CAUGHT))
        await reached(run, EventType.STEP_RETRYING)  # at the deadline
        assert worker.statistics()["leases"] == 1
        clock.advance(5000)  # a retry is due, and would begin
        await anyio.wait_all_tasks_blocked()
        assert running == ["begin"]
        may_end.set()
        with anyio.fail_after(10):
            while worker.statistics()["leases"]:
                await anyio.lowlevel.checkpoint()
        clock.advance(1000)
        assert await run.result(timeout=10) == 2
    assert running == ["begin", "end", "begin"]


async def test_a_worker_that_drains_waits_for_a_thread_that_overran(
    world: World, may_end: threading.Event
) -> None:
    ended = threading.Event()

    @step(name="steps:body", timeout=0.02, max_retries=0)
    def body() -> None:
        may_end.wait(10)
        ended.set()

    async with Worker(world, steps=[body]) as worker:
        assert await (await start(calling(CAUGHT))).result(timeout=10) == "StepTimeoutError"
        worker.drain()
        assert not ended.is_set()
        may_end.set()
    assert ended.is_set()


@pytest.mark.parametrize("ends", [lambda: 7, lambda: list("a")[7]], ids=["returns", "raises"])
async def test_an_end_before_the_deadline_counts(world: World, ends: Callable[[], Any]) -> None:
    @step(name="steps:body", timeout=30, max_retries=0)
    def body() -> Any:
        assert not timeout_event().is_set()
        return ends()

    assert await value_of(world, body, CAUGHT) in (7, "IndexError")


async def test_an_async_step_is_told_and_cancelled(world: World) -> None:
    events: list[threading.Event] = []

    @step(name="steps:body", timeout=0.02, max_retries=0)
    async def body() -> bool:
        events.append(timeout_event())
        return await anyio.to_thread.run_sync(events[0].wait, 10)  # a thread is not cut short

    begun = time.monotonic()
    assert await value_of(world, body, CAUGHT) == "StepTimeoutError"
    assert events[0].is_set()
    assert time.monotonic() - begun < 5


async def test_without_a_timeout_the_event_is_never_set(world: World) -> None:
    @step(name="steps:body")
    def body() -> bool:
        return timeout_event().is_set()

    assert await value_of(world, body, CAUGHT) is False


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@pytest.mark.parametrize("wrapped", [traced, bare])
@pytest.mark.parametrize("timeout", [None, 30])
async def test_an_async_function_under_a_plain_one_is_awaited(
    world: World, wrapped: Callable[..., Any], timeout: float | None
) -> None:
    async def inner(a: int) -> int:
        await anyio.lowlevel.checkpoint()
        return a + 1

    body = step(name="steps:body", timeout=timeout, max_retries=0)(wrapped(inner))
    assert await value_of(world, body, "return await body(1)") == 2


async def test_its_errors_and_its_timeout_count(world: World) -> None:
    async def raises() -> None:
        raise KeyError("inner")

    async def waits() -> None:
        await anyio.sleep_forever()

    body = step(name="steps:body", max_retries=0)(traced(raises))
    assert await value_of(world, body, CAUGHT) == "KeyError"
    registry._registered.clear()
    late = step(name="steps:body", timeout=0.02, max_retries=0)(traced(waits))
    assert await value_of(world, late, CAUGHT) == "StepTimeoutError"


async def test_one_that_swallows_the_cancellation_of_its_timeout_is_left_behind(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bodies, "GRACE", 0.02)

    async def swallows() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    with anyio.fail_after(10):
        body = step(name="steps:body", timeout=0.02, max_retries=0)(traced(swallows))
        assert await value_of(world, body, CAUGHT) == "StepTimeoutError"
        while any("steps:body" in task.get_name() for task in asyncio.all_tasks()):
            await anyio.lowlevel.checkpoint()
    assert "left behind" in caplog.text


# --- keyword-only parameters -------------------------------------------------------------------


def after(a: int, b: int = 2, *, c: float = 3.0, d: int = 4) -> list[Any]:
    return [a, b, c, type(c).__name__, d]


async def only(*, c: float) -> list[Any]:
    return [c, type(c).__name__]


def rest(*a: int, c: float = 0.0) -> list[Any]:
    return [list(a), c]


def others(*, c: float, **more: float) -> list[Any]:
    return [c, more]


def plain(a: dict[str, int]) -> list[Any]:
    return [a]


CALLS: list[tuple[Any, str, Any]] = [
    (after, "body(1, 5, { c: 6 })", [1, 5, 6.0, "float", 4]),
    (after, "body(1, undefined, { d: 6, c: undefined })", [1, 2, 3.0, "float", 6]),
    (after, "body(1)", [1, 2, 3.0, "float", 4]),
    (after, "body(1, 5, {})", [1, 5, 3.0, "float", 4]),
    (only, "body({ c: 1 })", [1.0, "float"]),
    (rest, "body(1, 2, { c: 3 })", [[1, 2], 3.0]),
    (rest, "body({ c: 3 })", [[], 3.0]),
    (rest, "body(1)", [[1], 0.0]),
    (others, "body({ c: 1, d: 2 })", [1.0, {"d": 2.0}]),
    (plain, "body({ a: 1 })", [{"a": 1}]),
]


@pytest.mark.parametrize(("function", "call", "expected"), CALLS)
async def test_keyword_only_parameters_are_a_last_object(
    world: World, function: Any, call: str, expected: object
) -> None:
    body = step(name="steps:body", max_retries=0)(function)
    assert await value_of(world, body, f"return await {call}") == expected


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("body()", "missing a required"),
        ("body({})", "missing a required"),
        ("body(5)", "too many positional"),
        ("body({ c: 1 }, { c: 2 })", "too many positional"),
        ("body({ c: 1, e: 2 })", "unexpected keyword argument 'e'"),
        ("body({ c: 'text' })", "arguments[0].c"),
    ],
)
async def test_a_last_object_that_does_not_fit_is_told(world: World, call: str, told: str) -> None:
    body = step(name="steps:body", max_retries=5)(only)
    error = await value_of(world, body, f"return await {call}")
    assert isinstance(error, GuestError)
    assert told in error.text
