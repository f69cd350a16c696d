"""How steps run: threads, time-outs, odd ways to end, and the arithmetic of retries."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import pytest

from perdure import UNDEFINED, FatalError, RetryableError, Run, Worker, Workflow, start, step
from perdure._runtime import steps as registry
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError, UsageError, ValueNotCarriableError
from perdure.model import EventType
from perdure.testing import ManualClock
from perdure.worlds import open_world
from tests.runtime.hurry import hurried
from tests.worlds import IN_MEMORY

if TYPE_CHECKING:
    from datetime import datetime as ForCheckersOnly

pytestmark = [pytest.mark.anyio, IN_MEMORY]

executed: list[int] = []


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    executed.clear()
    monkeypatch.setattr(registry, "_registered", {})  # each test has a body of its own


def calling(call: str) -> Workflow:
    return Workflow.from_source(
        'import { body } from "python:steps";\n'
        f'export async function w(): Promise<any> {{ "use workflow"; {call} }}\n'
    )


async def run_of(
    world: World, made: Any, call: str = "return await body()", *, timeout: float = 10
) -> tuple[Run, object, list[EventType]]:
    """A run of *call* with one step: its handle, its value or error, and its events."""
    async with Worker(world, steps=[made], max_steps=100):
        run = await start(calling(call))
        try:
            found: object = await run.result(timeout=10)
        except RunFailedError as exc:
            found = exc.error
        kinds = [logged.event.type async for logged in run.events()]
        return run, found, kinds


async def test_annotations_that_only_a_type_checker_can_read_convert_nothing(
    world: World,
) -> None:
    @step(name="steps:body")
    async def body(when: ForCheckersOnly) -> str:
        return type(when).__name__

    _, found, _ = await run_of(world, body, "return await body('2026-01-01T00:00:00Z')")
    assert found == "str"


async def test_what_follows_the_named_parameters_is_converted_too(world: World) -> None:
    @step(name="steps:body")
    async def body(first: int, *rest: datetime) -> list[object]:
        return [first, *(type(value).__name__ for value in rest)]

    code = "return await body(1, '2026-01-01T00:00:00Z', new Date(0))"
    _, found, _ = await run_of(world, body, code)
    assert found == [1, "datetime", "datetime"]


async def test_many_plain_functions_block_neither_each_other_nor_the_loop(world: World) -> None:
    many, barrier = 60, threading.Barrier(60)

    @step(name="steps:body")
    def body() -> int:
        barrier.wait(10)  # all at once, or never
        return 1

    call = f"return (await Promise.all([...Array({many})].map(() => body()))).length"
    _, found, _ = await run_of(world, body, call)
    assert found == many


@pytest.mark.parametrize(
    ("raising", "name"),
    [
        (lambda: sys.exit(3), "SystemExit"),
        (lambda: (_ for _ in ()).throw(asyncio.CancelledError()), "CancelledError"),
        (lambda: (_ for _ in ()).throw(TimeoutError("slow")), "TimeoutError"),
    ],
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_body_may_end_oddly_and_its_worker_goes_on(
    world: World, raising: Callable[[], object], name: str, is_async: bool
) -> None:
    async def waits() -> None:
        raising()

    def works() -> None:
        raising()

    named = step(name="steps:body", max_retries=0)
    body: registry.AnyStep = named(waits) if is_async else named(works)
    _, found, _ = await run_of(world, body)
    assert isinstance(found, GuestError)
    assert isinstance(found.cause, GuestError)
    assert found.cause.name == name
    assert name in found.text or "slow" in found.text or "3" in found.text


@pytest.mark.parametrize(("call", "count"), [("body(1)", 1), ("body(1, 2, 3)", 3)])
async def test_a_call_that_does_not_fit_is_not_tried_again(
    world: World, call: str, count: int
) -> None:
    @step(name="steps:body", max_retries=5)
    async def body(a: int, b: int) -> int:
        return a + b

    _, found, kinds = await run_of(world, body, f"return await {call}")
    assert isinstance(found, GuestError)
    assert f"step steps:body cannot be called with {count} arguments" in found.text
    assert EventType.STEP_RETRYING not in kinds


class AbortError(Exception):
    """Another package's."""


class Mine(FatalError):
    """A fatal error of one's own."""


class Marked(Exception):
    fatal = True


@pytest.mark.parametrize("error", [FatalError("f"), AbortError("a"), Mine("m"), Marked("k")])
async def test_fatal_errors_are_not_retried(world: World, error: Exception) -> None:
    @step(name="steps:body", max_retries=5)
    async def body() -> None:
        executed.append(1)
        raise error

    _, found, kinds = await run_of(world, body)
    assert isinstance(found, GuestError)
    assert found.name == type(error).__name__
    assert executed == [1]
    assert kinds.count(EventType.STEP_RETRYING) == 0


async def test_three_retries_are_four_executions_by_default(url: str) -> None:
    @step(name="steps:body")
    async def body() -> None:
        executed.append(1)
        raise RetryableError("again", retry_after=timedelta(0))

    assert body.options.max_retries == 3
    code = "try { await body() } catch (e) { return [e.name, e.message, e.cause.name] }"
    clock = ManualClock()
    async with open_world(url, clock=clock) as world, Worker(world, steps=[body]):
        run = await start(calling(code))
        assert await hurried(run, clock) == [
            "FatalError",
            "step steps:body failed after 3 retries: again",
            "RetryableError",
        ]
        kinds = [logged.event.type async for logged in run.events()]
    assert len(executed) == 4
    assert kinds.count(EventType.STEP_RETRYING) == 3


@pytest.mark.parametrize("kind", ["seconds", "timedelta", "datetime", "none"])
async def test_retry_after_says_when(url: str, kind: str) -> None:
    clock = ManualClock()
    soon = datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + timedelta(seconds=1.2)
    afters: dict[str, float | timedelta | datetime | None] = {
        "seconds": 1.2,
        "timedelta": timedelta(seconds=1.2),
        "datetime": soon,
        "none": None,
    }

    @step(name="steps:body", max_retries=1)
    async def body() -> None:
        executed.append(1)
        if len(executed) == 1:
            raise RetryableError("later", retry_after=afters[kind])

    async def times_of(run: Run) -> dict[EventType, int]:
        return {e.event.type: e.event.at_ms async for e in run.events()}

    async with open_world(url, clock=clock) as world, Worker(world, steps=[body]):
        run = await start(calling("await body()"))
        with anyio.fail_after(10):
            while EventType.STEP_RETRYING not in await times_of(run):
                await anyio.lowlevel.checkpoint()
        due_ms = 1000 if kind == "none" else 2000  # whole seconds up, at least one
        clock.advance(due_ms - 1)
        with anyio.fail_after(10):  # the run is woken, and finds nothing to do; nor does a step
            while any((await world.queue.count_waiting()).values()):
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
        assert executed == [1]
        clock.advance(1)
        await run.result(timeout=10)
        times = await times_of(run)
    assert times[EventType.STEP_COMPLETED] - times[EventType.STEP_RETRYING] == due_ms
    assert executed == [1, 1]


@pytest.mark.parametrize("value", ["() => 1", "new (class Point { x = 1 })()", "Symbol('s')"])
async def test_an_argument_that_cannot_cross_is_told_with_its_path(
    world: World, value: str
) -> None:
    @step(name="steps:body")
    async def body(value: object) -> None:
        executed.append(1)

    code = f"try {{ await body({{ a: [{value}] }}) }} catch (e) {{ return [e.name, e.message] }}"
    _, found, kinds = await run_of(world, body, code)
    assert isinstance(found, list)
    assert found[0] == "SerializationError"
    assert "arguments[0].a[0]" in found[1]
    assert (executed, EventType.STEP_CREATED in kinds) == ([], False)


async def test_undefined_is_none_in_arguments_and_crosses_as_undefined(world: World) -> None:
    @step(name="steps:body")
    async def body(a: object, b: object) -> object:
        return [a, b, UNDEFINED, None]

    _, found, _ = await run_of(
        world, body, "const r = await body(undefined, null); return r.map((x: any) => String(x))"
    )
    assert found == ["null", "null", "undefined", "null"]


def test_a_step_is_named_by_module_and_qualname_unless_named() -> None:
    @step
    async def local() -> None: ...

    @step(name="mine:other", max_retries=0, timeout=1.5, queue="gpu")
    def named() -> None: ...

    def local_name() -> str:
        return f"{__name__}:test_a_step_is_named_by_module_and_qualname_unless_named.<locals>."

    assert local.id == local_name() + "local"
    assert (local.options.max_retries, local.options.timeout, local.options.queue) == (
        3,
        None,
        "default",
    )
    assert named.id == "mine:other"
    assert named.options.timeout == timedelta(seconds=1.5)
    assert named.topic == "gpu/mine:other"
    assert named() is None  # called directly it is the plain function


@pytest.mark.parametrize("wrong", [3, "text", int, print])
def test_only_functions_are_steps(wrong: Any) -> None:
    with pytest.raises(UsageError, match="takes a function"):
        step(wrong)


async def test_an_id_that_is_taken_is_told(world: World) -> None:
    @step(name="steps:taken")
    async def one() -> None: ...

    with pytest.raises(UsageError, match="name="):

        @step(name="steps:taken")
        async def two() -> None: ...

    with pytest.raises(UsageError, match="decorate it"):
        Worker(world, steps=[print])  # type: ignore[list-item] # what a newcomer tries


async def test_what_is_too_large_is_told_and_wedges_nothing(world: World) -> None:
    @step(name="steps:body", max_retries=0)
    async def body(kind: str) -> object:
        if kind == "raise":
            raise ValueError("x" * 20_000_000)
        return b"x" * 20_000_000

    with pytest.raises(ValueNotCarriableError, match=r"arguments: it takes 20,000,\d+ bytes"):
        await start(calling("return 1"), [b"x" * 20_000_000], world=world)
    code = """
      const seen: string[] = [];
      for (const kind of ["return", "raise"])
        try { await body(kind) } catch (e: any) { seen.push((e.cause ?? e).name, e.message) }
      return seen;
    """
    _, found, _ = await run_of(world, body, code)
    assert isinstance(found, list)
    assert found[0] == "ValueNotCarriableError"
    assert "the result of steps:body: it takes 20,000," in found[1]
    assert "pass a reference" in found[1]
    seen: Any = cast("Any", found)
    assert len(seen[3]) < 20_000
    assert "(cut: " in found[3]
