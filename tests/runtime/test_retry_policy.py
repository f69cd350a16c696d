"""Retry policies of steps, as runs show them: waits, and errors that are tried again or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from perdure import FatalError, RetryableError, Run, Worker, Workflow, start, step
from perdure._core.retries import RetryPolicy, planned_delay_ms
from perdure._runtime import steps as registry
from perdure.model import EventType, LoggedEvent
from perdure.testing import ManualClock
from perdure.worlds import open_world
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]
FLOW = Workflow.from_source(
    'import { body } from "python:steps";\n'
    "export async function w(): Promise<any> {\n"
    '  "use workflow"; try { return await body() } catch (e: any) { return (e.cause ?? e).name }\n'
    "}\n"
)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


async def events_of(run: Run, kind: EventType) -> list[LoggedEvent]:
    return [logged async for logged in run.events() if logged.event.type is kind]


async def attempts_of(
    url: str, options: dict[str, Any], fail: Callable[[int], None], waits: Sequence[int]
) -> list[int]:
    """When the step's executions began, by a clock that passes *waits*, a tenth at a time."""
    clock, begun = ManualClock(), list[int]()

    @step(name="steps:body", **options)
    async def body() -> None:
        begun.append(clock.now_ms())
        fail(len(begun))

    async with open_world(url, clock=clock) as world, Worker(world, steps=[body]):
        run = await start(FLOW, run_id="run_of_test")
        due = itertools.accumulate(waits, initial=clock.now_ms())
        next(due)
        failures = 0
        with anyio.fail_after(60):
            while not (await run.status()).is_ended:
                if failures < len(await events_of(run, EventType.STEP_RETRYING)) == len(begun):
                    failures += 1
                    at_ms = next(due)
                    while clock.now_ms() < at_ms:
                        clock.advance(min(100, at_ms - clock.now_ms()))
                        await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
    return begun


def failing(error: Callable[[], BaseException]) -> Callable[[int], None]:
    def fail(_: int) -> None:
        raise error()

    return fail


async def test_waits_grow_up_to_their_bound(url: str) -> None:
    options = {"max_retries": 4, "retry_delay": 0.3, "backoff": 2, "max_delay": 1.0}
    waits = [300, 600, 1000, 1000]
    assert pauses(await attempts_of(url, options, failing(ValueError), waits)) == waits


async def test_jitter_follows_from_the_steps_id(url: str) -> None:
    options = {"max_retries": 3, "retry_delay": 5.0, "jitter": 0.8}
    policy = RetryPolicy(max_retries=3, delay_ms=5000, jitter=0.8)
    planned = [planned_delay_ms(policy, failures=n, key="run_of_test/step_1") for n in range(1, 4)]
    assert pauses(await attempts_of(url, options, failing(ValueError), planned)) == planned
    assert len(set(planned)) == 3


async def test_an_error_that_says_when_is_waited_for_that_long(url: str) -> None:
    options = {"max_retries": 1, "retry_delay": 0.1, "max_delay": 0.2}
    fail = failing(lambda: RetryableError("r", retry_after=7))
    assert pauses(await attempts_of(url, options, fail, [7000])) == [7000]


def pauses(begun: Sequence[int]) -> list[int]:
    return [after - before for before, after in itertools.pairwise(begun)]


def group(*errors: Exception) -> Callable[[], BaseException]:
    return lambda: ExceptionGroup("group", errors)


ON = {"retry_on": (OSError, KeyError), "fatal_on": FileNotFoundError}
CASES: list[tuple[dict[str, Any], Callable[[], BaseException], int]] = [
    ({}, ValueError, 2),
    (ON, OSError, 2),
    (ON, ConnectionError, 2),  # a kind of OSError
    (ON, KeyError, 2),
    (ON, ValueError, 1),
    (ON, FileNotFoundError, 1),
    (ON, lambda: FatalError("f"), 1),
    (ON, lambda: RetryableError("r"), 2),
    (ON, group(OSError(), KeyError()), 2),
    (ON, group(OSError(), RetryableError("r")), 2),
    (ON, group(OSError(), ValueError()), 1),
    (ON, group(OSError(), FileNotFoundError()), 1),
    (ON, group(OSError(), ExceptionGroup("inner", [FileNotFoundError()])), 1),
    ({"fatal_on": ValueError}, UnicodeError, 1),
    ({"fatal_on": ValueError}, OSError, 2),
    ({"fatal_on": RetryableError}, lambda: RetryableError("r"), 1),
    ({"retry_on": ()}, OSError, 1),
    ({"retry_on": ExceptionGroup}, group(ValueError()), 2),
]


@pytest.mark.parametrize(("options", "error", "count"), CASES)
async def test_types_of_errors_say_whether_it_is_tried_again(
    url: str, options: dict[str, Any], error: Callable[[], BaseException], count: int
) -> None:
    begun = await attempts_of(url, {"max_retries": 1, **options}, failing(error), [1000])
    assert len(begun) == count
