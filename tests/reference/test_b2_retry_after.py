"""``retryAfter`` crosses: out of a Python step, into the workflow that catches it, and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from perdure import RetryableError, RunFailedError, Worker, Workflow, start, step
from perdure._protocol.codec import decode_error, encode_error
from perdure._runtime.payloads import encode_failure
from perdure.abc import World
from perdure.errors import FatalError, GuestError
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio

AT = datetime(2030, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
NOW_MS = 1_700_000_000_123
Ways = dict[str, tuple[Callable[[], RetryableError], int]]
WAYS: Ways = {
    "a date": (lambda: RetryableError("later", retry_after=AT), int(AT.timestamp() * 1000)),
    "a timedelta": (
        lambda: RetryableError("later", retry_after=timedelta(hours=1, milliseconds=7)),
        NOW_MS + 3_600_007,
    ),
    "seconds": (lambda: RetryableError("later", retry_after=2.5), NOW_MS + 2500),
    "a text": (lambda: RetryableError("later", retry_after="5 minutes"), NOW_MS + 300_000),
    "a minute ago": (lambda: RetryableError("later", retry_after=-60), NOW_MS - 60_000),
}


@step(name="retry_after:fails", max_retries=0)
async def fails(way: str) -> None:
    raise WAYS[way][0]()


@step(name="retry_after:reads")
async def reads(error: object) -> int:
    assert isinstance(error, GuestError)
    at = error.props["retryAfter"]
    assert isinstance(at, datetime)
    return round(at.timestamp() * 1000)


SOURCE = """
import { RetryableError, FatalError } from "workflow";
import { fails, reads } from "python:retry_after";
export async function catches(way: string) {
  "use workflow";
  try { await fails(way); } catch (error: any) {
    const cause = error.cause;
    if (!FatalError.is(error) || !RetryableError.is(cause)) throw new Error("another error");
    return [cause.retryAfter instanceof Date, cause.retryAfter.getTime(), await reads(cause)];
  }
}
export async function throws(at: number) {
  "use workflow";
  throw new RetryableError("mine", { retryAfter: new Date(at) });
}
"""


def flow(name: str) -> Workflow:
    return Workflow.from_source(SOURCE, name=name)


@pytest.mark.parametrize("way", WAYS)
async def test_the_workflow_sees_when_to_the_millisecond(way: str) -> None:
    clock = ManualClock(NOW_MS)
    async with MemoryWorld(clock=clock) as world, Worker(world, steps=[fails, reads]):
        run = await start(flow("catches"), [way], world=world)
        at = WAYS[way][1]
        assert await run.result(timeout=20) == [True, at, at]


@EVERY_WORLD
async def test_an_error_of_the_workflow_has_it_in_python(world: World) -> None:
    at = int(AT.timestamp() * 1000)
    async with Worker(world, steps=[]):
        run = await start(flow("throws"), [at], world=world)
        with pytest.raises(RunFailedError) as failure:
            await run.result(timeout=20)
    error = cast("GuestError", failure.value.error)
    assert (error.name, error.text) == ("RetryableError", "mine")
    assert error.props == {"retryAfter": datetime.fromtimestamp(at / 1000, UTC)}


@pytest.mark.parametrize("way", WAYS)
def test_causes_and_members_have_theirs(way: str) -> None:
    make, at_ms = WAYS[way]
    group = ExceptionGroup("all", [make(), ValueError("no")])
    wrapped = FatalError("over")
    wrapped.__cause__ = make()
    for error in (
        decode_error(encode_failure(group, now_ms=NOW_MS)).errors[0],
        decode_error(encode_failure(wrapped, now_ms=NOW_MS)).cause,
    ):
        assert isinstance(error, GuestError)
        at = error.props["retryAfter"]
        assert isinstance(at, datetime)
        assert at == datetime.fromtimestamp(at_ms / 1000, UTC)


def test_a_wait_that_no_calendar_has_ends_with_the_calendar() -> None:
    for after in (timedelta.max, 1e300):
        error = decode_error(encode_error(RetryableError("x", retry_after=after), now_ms=NOW_MS))
        at = error.props["retryAfter"]
        assert isinstance(at, datetime)
        assert at.year == 9999


def test_without_a_time_none_is_made_up() -> None:
    assert decode_error(encode_error(RetryableError("x"), now_ms=NOW_MS)).props == {}
    assert decode_error(encode_error(RetryableError("x", retry_after=5))).props == {}
