"""What goes wrong while a step's failure is handled fails the step, and names both errors."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given, strategies as st

from perdure import FatalError, RetryableError, Worker, Workflow, start, step
from perdure._core.retries import MAX_DELAY_MS, MIN_DELAY_MS
from perdure._runtime import steps as registry
from perdure._runtime.worker.failures import asked_delay_ms, is_fatal
from perdure.errors import GuestError, RunFailedError, UsageError
from perdure.model import EventType
from perdure.testing.clock import ManualClock
from perdure.testing.memory import MemoryWorld
from tests.runtime.endings import Panic
from tests.runtime.hurry import hurried, passing

pytestmark = pytest.mark.anyio

executed: list[int] = []
FLOW = Workflow.from_source("""
import { body } from "python:handling";
export async function flow() { "use workflow"; return await body(); }
""")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    executed.clear()
    monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def world(clock: ManualClock) -> AsyncGenerator[MemoryWorld, None]:
    async with MemoryWorld(clock=clock) as opened:
        yield opened


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class PanicsInText(Exception):
    def __str__(self) -> str:
        raise Panic("no text")


class TextOfNone(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value] # the mistake that is tested


class OwnString(str):
    def __getitem__(self, key: object) -> str:
        raise ValueError("no part of it")

    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")


class TextOfItsOwn(Exception):
    def __str__(self) -> str:
        return OwnString("text")


class Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override] # the mistake that is tested
        raise ValueError("no name")


class HasNoName(Exception, metaclass=Nameless):
    pass


class FatalRaises(Exception):
    @property
    def fatal(self) -> bool:
        raise ValueError("not known")


class Attributeless(RetryableError):
    def __init__(self) -> None:  # it forgot about super().__init__
        pass


def with_notes(notes: object) -> Exception:
    error = ValueError("first")
    error.__notes__ = notes  # type: ignore[assignment] # the mistake that is tested
    return error


def with_cause(cause: BaseException) -> Exception:
    error = ValueError("first")
    error.__cause__ = cause
    return error


def retrying(after: Any) -> Exception:
    error = RetryableError("first")
    error.retry_after = after
    return error


class OddMembers(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> tuple[Exception, ...]:
        raise ValueError("no members")


# What is raised, and the name of the error that handling it meets.
BROKEN: dict[str, tuple[Callable[[], BaseException], str]] = {
    "no text": (Unprintable, "ValueError"),
    "a panic for a text": (PanicsInText, "Panic"),
    "a text that is none": (TextOfNone, "TypeError"),
    "no name": (HasNoName, "ValueError"),
    "notes that are none": (lambda: with_notes(5), "TypeError"),
    "a note that cannot be printed": (lambda: with_notes([Unprintable()]), "ValueError"),
    "whether it is fatal": (FatalRaises, "ValueError"),
    "a cause that cannot be printed": (lambda: with_cause(Unprintable()), "ValueError"),
    "a member that cannot be printed": (
        lambda: ExceptionGroup("g", [Unprintable()]),
        "ValueError",
    ),
    "no members": (lambda: OddMembers("g", [ValueError()]), "ValueError"),
    "a naive time": (lambda: retrying(datetime(2030, 1, 1)), "TypeError"),
    "a text for a time": (lambda: retrying("5 seconds"), "TypeError"),
    "an object for a time": (lambda: retrying(object()), "TypeError"),
    "no time at all": (Attributeless, "AttributeError"),
}


async def outcome(world: MemoryWorld, clock: ManualClock, made: Any) -> tuple[Any, list[EventType]]:
    """What a run of one such step comes to, and its events."""
    async with passing(world, clock), Worker(world, steps=[made]):
        run = await start(FLOW, world=world)
        found: object
        try:
            found = await run.result(timeout=10)
        except RunFailedError as exc:
            found = exc.error
        return found, [logged.event.type async for logged in run.events()]


@pytest.mark.parametrize("retries", [0, 3])
@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("name", BROKEN)
async def test_an_error_that_cannot_be_handled_fails_its_step(
    world: MemoryWorld, clock: ManualClock, name: str, is_async: bool, retries: int
) -> None:
    make, second = BROKEN[name]

    def works() -> None:
        executed.append(1)
        raise make()

    async def waits() -> None:
        works()

    named = step(name="handling:body", max_retries=retries)
    body: registry.AnyStep = named(waits) if is_async else named(works)
    error, kinds = await outcome(world, clock, body)
    assert isinstance(error, GuestError)
    assert error.name == "FatalError"
    first = type.__dict__["__name__"].__get__(type(make()))
    assert f"step handling:body failed with {first}" in error.message
    assert f"and handling that failed with {second}" in error.message
    assert executed == [1]
    assert kinds.count(EventType.STEP_FAILED) == 1
    assert EventType.STEP_RETRYING not in kinds
    assert isinstance(error.cause, GuestError)
    assert error.cause.name == first
    assert isinstance(error.cause.cause, GuestError)
    assert error.cause.cause.name == second


def loop() -> Exception:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    return one


def chain(length: int) -> Exception:
    error = ValueError("last")
    for number in range(length):
        error = with_cause(error)  # type: ignore[assignment]  # another type
        error.args = (number,)
    return error


def unfolding() -> list[object]:
    """What takes for ever to print."""
    value: list[object] = []
    for _ in range(60):
        value = [value, value]
    return value


def chain_of_contexts(length: int) -> Exception:
    error = ValueError("last")
    for number in range(length):
        later = ValueError(number)
        later.__context__ = error
        error = later
    return error


ODD: dict[str, Callable[[], BaseException]] = {
    "a text of its own class": TextOfItsOwn,
    "arguments that unfold": lambda: ValueError(unfolding()),
    "a key that unfolds": lambda: KeyError(unfolding()),
    "a file's name that unfolds": lambda: OSError(2, "gone", unfolding()),
    "a cause that unfolds": lambda: with_cause(KeyError(unfolding())),
    "a member that unfolds": lambda: ExceptionGroup("g", [ValueError(unfolding())]),
    "many members": lambda: ExceptionGroup("g", [ValueError(n) for n in range(5000)]),
    "a long chain of contexts": lambda: chain_of_contexts(1000),
    "a cycle of causes": loop,
    "a long chain of causes": lambda: chain(1000),
    "arguments that cannot cross": lambda: ValueError(object(), lambda: 1, Unprintable),
    "a lone surrogate": lambda: ValueError("half \ud800"),
    "a huge text": lambda: ValueError("x" * 20_000_000),
    "huge notes": lambda: with_notes(["x" * 20_000_000]),
    "a text of controls": lambda: ValueError("\x00\x1b[31m\u202e"),
    "a panic with all that": lambda: Panic("half \ud800", object()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
async def test_an_odd_error_is_retried_as_any_other(
    world: MemoryWorld, clock: ManualClock, name: str
) -> None:
    @step(name="handling:body", max_retries=1)
    async def body() -> None:
        executed.append(1)
        raise ODD[name]()

    error, kinds = await outcome(world, clock, body)
    assert isinstance(error, GuestError)
    assert "step handling:body failed after 1 retry" in error.message
    assert executed == [1, 1]
    assert kinds.count(EventType.STEP_RETRYING) == 1


# --- when to try again ----------------------------------------------------------------------------

WAITS = [
    ("5 seconds", timedelta(seconds=5)),
    ("1h 30m", timedelta(minutes=90)),
    ("2.5 min", timedelta(seconds=150)),
    ("-1 day", timedelta(days=-1)),
    ("1 week", timedelta(weeks=1)),
    (".5 HOURS", timedelta(minutes=30)),
    ("1500", timedelta(seconds=1.5)),  # milliseconds, as in the workflow
    ("100 ms", timedelta(milliseconds=100)),
    (f"{10**30} years", timedelta(days=36_525)),
]


@pytest.mark.parametrize(("text", "wait"), WAITS)
def test_a_text_names_a_wait_as_it_does_for_sleep(text: str, wait: timedelta) -> None:
    assert RetryableError(retry_after=text).retry_after == wait


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (datetime(2030, 1, 1), "a naive datetime names no instant"),
        ("soon", "a text names a duration"),
        ("", "a text names a duration"),
        ("1.5.5s", "a text names a duration"),
        ("5 parsecs", "a text names a duration"),
        (math.inf, "finite"),
        (-math.inf, "finite"),
        (math.nan, "finite"),
        (object(), "it is seconds"),
        (b"5", "it is seconds"),
    ],
)
def test_what_names_no_wait_is_refused(after: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        RetryableError(retry_after=after)


NOW_MS = 1_700_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
DELAYS: list[tuple[Any, int]] = [
    (10**12, MAX_DELAY_MS),
    (10**400, MAX_DELAY_MS),
    (timedelta.max, MAX_DELAY_MS),
    (datetime.max.replace(tzinfo=UTC), MAX_DELAY_MS),
    (-5, MIN_DELAY_MS),
    (timedelta.min, MIN_DELAY_MS),
    (NOW - timedelta(days=1), MIN_DELAY_MS),
    (NOW + timedelta(seconds=7), 7000),
    (None, MIN_DELAY_MS),
    (True, MIN_DELAY_MS),
]


@pytest.mark.parametrize(("after", "ms"), DELAYS)
def test_a_wait_is_at_least_a_second_and_at_most_a_hundred_years(after: Any, ms: int) -> None:
    assert (asked_delay_ms(RetryableError(retry_after=after), now_ms=NOW_MS) or 1000) == ms


async def test_the_longest_wait_is_stored_and_shown(world: MemoryWorld, clock: ManualClock) -> None:
    @step(name="handling:body", max_retries=1)
    async def body() -> str:
        executed.append(1)
        if len(executed) == 1:
            raise RetryableError(retry_after=10**12)
        return "a hundred years later"

    async with Worker(world, steps=[body]):
        run = await start(FLOW, world=world)
        assert await hurried(run, clock, pause_ms=MAX_DELAY_MS) == "a hundred years later"


# --- groups ---------------------------------------------------------------------------------------

later, sooner = RetryableError("l", retry_after=60), RetryableError("s", retry_after=5)
PLAIN = ValueError("plain")


@pytest.mark.parametrize(
    ("error", "fatal", "delay_ms"),
    [
        (ExceptionGroup("g", [PLAIN, FatalError("f")]), True, 1000),
        (ExceptionGroup("g", [ExceptionGroup("h", [FatalError("f")]), later]), True, 60_000),
        (ExceptionGroup("g", [sooner, ExceptionGroup("h", [later, PLAIN])]), False, 60_000),
        (BaseExceptionGroup("g", [Panic("p"), sooner]), False, 5000),
        (ExceptionGroup("g", [PLAIN]), False, 1000),
        (ExceptionGroup("g", [RetryableError("n")]), False, 1000),
    ],
)
def test_the_members_of_a_group_count_as_what_they_are(
    error: BaseException, fatal: bool, delay_ms: int
) -> None:
    assert is_fatal(error) is fatal
    assert (asked_delay_ms(error, now_ms=NOW_MS) or 1000) == delay_ms


leaves = st.sampled_from(["fatal", "plain", "panic"]) | st.integers(2, 1000)
trees = st.recursive(leaves, lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=12)


def error_of(tree: Any) -> BaseException:
    match tree:
        case [*parts]:
            return BaseExceptionGroup("g", [error_of(part) for part in parts])
        case int():
            return RetryableError(retry_after=tree)
        case "fatal":
            return FatalError("f")
        case "panic":
            return Panic("p")
        case _:
            return ValueError("v")


def leaves_of(tree: Any) -> list[Any]:
    match tree:
        case [*parts]:
            return [leaf for part in parts for leaf in leaves_of(part)]
        case _:
            return [tree]


@given(trees)
def test_at_any_depth(tree: Any) -> None:
    waits = [leaf * 1000 for leaf in leaves_of(tree) if isinstance(leaf, int)]
    assert is_fatal(error_of(tree)) is ("fatal" in leaves_of(tree))
    assert asked_delay_ms(error_of(tree), now_ms=NOW_MS) == max(waits, default=None)


def test_a_group_that_has_itself_for_a_member_is_looked_at_once() -> None:
    class Cyclic(ExceptionGroup[Exception]):
        @property
        def exceptions(self) -> tuple[Exception, ...]:
            return (self, PLAIN)

    assert not is_fatal(Cyclic("g", [PLAIN]))


async def test_a_fatal_error_of_a_task_group_fails_the_step_at_once(
    world: MemoryWorld, clock: ManualClock
) -> None:
    async def refuses() -> None:
        raise FatalError("refused")

    @step(name="handling:body")
    async def body() -> None:
        executed.append(1)
        async with anyio.create_task_group() as group:
            group.start_soon(refuses)

    error, kinds = await outcome(world, clock, body)
    assert executed == [1]
    assert EventType.STEP_RETRYING not in kinds
    assert isinstance(error, GuestError)
    assert isinstance(error.errors[0], GuestError)
    assert error.errors[0].name == "FatalError"


# --- results --------------------------------------------------------------------------------------


class Broken:
    """As a model whose own code fails."""

    def model_dump(self) -> dict[str, object]:
        raise ValueError("no dump")


@pytest.mark.parametrize(
    ("value", "name", "times"),
    [
        (lambda: object(), "ValueNotCarriableError", 1),
        (lambda: datetime(2030, 1, 1), "ValueNotCarriableError", 1),
        (lambda: "half \ud800", "ValueNotCarriableError", 1),
        (lambda: b"x" * 9_000_000, "ValueNotCarriableError", 1),
        (Broken, "ValueNotCarriableError", 1),
    ],
)
async def test_a_result_that_cannot_cross_fails_by_name(
    world: MemoryWorld, clock: ManualClock, value: Callable[[], object], name: str, times: int
) -> None:
    @step(name="handling:body", max_retries=2)
    async def body() -> object:
        executed.append(1)
        return value()

    error, _ = await outcome(world, clock, body)
    assert isinstance(error, GuestError)
    first = error.cause if times > 1 else error
    assert isinstance(first, GuestError)
    assert first.name == name
    assert executed == [1] * times
