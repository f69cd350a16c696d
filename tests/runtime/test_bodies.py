"""Bodies: whatever one does to its task and its context ends with it; cancellation ends it."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from perdure._runtime.worker import bodies
from perdure._runtime.worker.bodies import Body, Hosts, Raised
from perdure._vm.reply import Reply
from tests.runtime.endings import Panic, me

pytestmark = pytest.mark.anyio
seen: ContextVar[str] = ContextVar("seen", default="nothing")
Makes = Callable[[], Awaitable[object]]


_hosts: ContextVar[Hosts] = ContextVar("hosts")


@pytest.fixture(autouse=True)
async def hosts() -> AsyncGenerator[Hosts, None]:
    """Those of the test's loop."""
    here = Hosts(asyncio.get_running_loop())
    _hosts.set(here)
    yield here
    here.close()


async def await_body(coroutine: Any, *, name: str) -> Any:
    """Its value, or what it raised."""
    body = Body[Any](coroutine)
    if not body.begin(name, _hosts.get()):
        await body.wait()
    return body.outcome()


async def at_once() -> str:
    return "done"


async def after_a_round() -> str:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "done"


async def after_a_while() -> str:
    await asyncio.sleep(0.001)
    await asyncio.sleep(0.001)
    return "done"


async def by_others() -> str:
    async def part() -> str:
        await asyncio.sleep(0)
        return "do"

    async with asyncio.TaskGroup() as group:
        first = group.create_task(part())
    (second,) = await asyncio.gather(part())
    return first.result() + ("ne" if second == "do" else "")


async def in_scopes() -> str:
    async with asyncio.timeout(60):
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.lowlevel.checkpoint)
    return await anyio.to_thread.run_sync(lambda: "done")


async def past_its_timeout() -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(60)
    with anyio.move_on_after(0):
        await asyncio.sleep(60)
    return "done"


@pytest.mark.parametrize(
    "body", [at_once, after_a_round, after_a_while, by_others, in_scopes, past_its_timeout]
)
async def test_a_body_gives_its_value(body: Callable[[], Any]) -> None:
    assert await await_body(body(), name="a body") == "done"


async def test_it_is_one_named_task_from_its_first_line_to_its_last() -> None:
    mine = me()

    tasks = list[asyncio.Task[Any]]()

    async def body() -> None:
        tasks.append(me())
        await asyncio.sleep(0)
        tasks.append(me())

    await await_body(body(), name="a body")
    first, last = tasks
    assert first is last
    assert first is not mine
    assert first.get_name() == "a body"
    assert repr(first.get_coro()) == "<Host of <Body, done>>"
    assert me() is mine


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("v"),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError(),
        Panic("p"),
        BaseExceptionGroup("g", [Panic("p")]),
        StopAsyncIteration(),
    ],
)
async def test_whatever_it_raises_is_data(error: BaseException, waits: bool) -> None:
    async def body() -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    found = await await_body(body(), name="a body")
    assert isinstance(found, Raised)
    assert found.error is error
    await asyncio.sleep(0)  # no cancellation is left


async def test_a_bad_yield_is_its_own_error() -> None:
    class Odd:
        def __await__(self) -> Generator[int, None, None]:
            yield 5

    async def body() -> None:
        await Odd()

    found = await await_body(body(), name="a body")
    assert isinstance(found, Raised)
    assert "bad yield" in str(found.error)


async def cancels_itself() -> None:
    me().cancel()


async def cancels_itself_twice_and_waits() -> None:
    me().cancel()
    me().cancel()
    await asyncio.sleep(60)


async def cancels_itself_and_awaits_a_task() -> None:
    inner = asyncio.ensure_future(asyncio.sleep(60))
    me().cancel()
    try:
        await inner
    finally:
        assert inner.cancelled()  # as by any cancellation


async def swallows_its_cancellation() -> None:
    me().cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)


async def takes_a_cancellation_back() -> None:
    me().cancel()
    me().uncancel()


async def is_cancelled_later() -> None:
    asyncio.get_running_loop().call_later(0.001, me().cancel)


async def leaves_a_timeout() -> None:
    await asyncio.timeout(0.001).__aenter__()


async def leaves_a_scope() -> None:
    anyio.CancelScope(deadline=anyio.current_time() + 0.001).__enter__()


async def leaves_a_cancelled_scope() -> None:
    anyio.CancelScope().__enter__().cancel()


async def leaves_a_generator() -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        async with asyncio.timeout(0.001):
            yield 1
            yield 2

    async for _ in numbers():
        break


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        cancels_itself,
        cancels_itself_twice_and_waits,
        cancels_itself_and_awaits_a_task,
        swallows_its_cancellation,
        takes_a_cancellation_back,
        is_cancelled_later,
        leaves_a_timeout,
        leaves_a_scope,
        leaves_a_cancelled_scope,
        leaves_a_generator,
    ],
)
async def test_it_leaves_nothing_to_its_caller(body: Makes, waits: bool) -> None:
    async def whole() -> None:
        if waits:
            await asyncio.sleep(0)
        await body()

    for _ in range(2):
        found = await await_body(whole(), name="a body")
        if isinstance(found, Raised):
            assert isinstance(found.error, asyncio.CancelledError)
    await asyncio.sleep(0.01)  # longer than what it left behind takes
    assert me().cancelling() == 0
    assert anyio.current_effective_deadline() == float("inf")


async def test_one_that_ended_before_anybody_waits_for_it_is_not_waited_for() -> None:
    body = Body(after_a_round())
    assert not body.begin("a body", _hosts.get())
    for _ in range(5):
        await asyncio.sleep(0)
    with anyio.fail_after(5):
        await body.wait()
    assert body.outcome() == "done"


@pytest.mark.parametrize("rounds", [0, 3])
async def test_one_that_nobody_knew_is_the_next_ones_too(rounds: int) -> None:
    seen = list[int]()

    async def body() -> None:
        seen.append(id(me()))

    for _ in range(3):
        await await_body(body(), name="a body")
        for _ in range(rounds):
            await asyncio.sleep(0)
    assert len(set(seen)) == 1


async def test_the_next_one_may_wait_in_it_and_be_cancelled_there() -> None:
    for ends in (asyncio.sleep(0), anyio.sleep_forever()):
        await await_body(at_once(), name="first")
        await asyncio.sleep(0)  # from here on its task waits for another body
        task = asyncio.ensure_future(await_body(ends, name="second"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


@pytest.mark.parametrize("rounds", [0, 3])
async def test_no_task_is_left_once_they_are_closed(hosts: Hosts, rounds: int) -> None:
    before = asyncio.all_tasks()
    await await_body(at_once(), name="a body")
    for _ in range(rounds):
        await asyncio.sleep(0)
    (task,) = asyncio.all_tasks() - before
    assert task.get_name() == bodies.IDLE
    hosts.close()
    hosts.close()
    await asyncio.wait({task})
    assert not task.cancelled()
    assert await await_body(after_a_round(), name="a body") == "done"


async def test_the_end_of_the_loop_ends_the_task_that_waits_for_a_body() -> None:
    before = asyncio.all_tasks()
    await await_body(at_once(), name="a body")
    await asyncio.sleep(0)
    (task,) = asyncio.all_tasks() - before
    task.cancel()
    await asyncio.wait({task})
    assert await await_body(at_once(), name="a body") == "done"


Task = asyncio.Task[Any]
KNOWN: list[Callable[[Task], object]] = [
    lambda task: task,
    lambda task: weakref.ref(task),
    lambda task: asyncio.get_running_loop().call_later(60, task.cancel),
    lambda task: task.cancel(),
    lambda task: task.cancel() and task.uncancel(),
    lambda task: anyio.CancelScope().__enter__(),
]


@pytest.mark.parametrize("know", KNOWN)
async def test_one_that_somebody_knows_is_no_other_bodys(
    know: Callable[[Task], object],
) -> None:
    known = list[object]()
    names = list[str]()

    async def first() -> None:
        known.append(know(me()))

    async def second() -> None:
        names.append(me().get_name())
        assert me().cancelling() == 0
        await asyncio.sleep(0)

    await await_body(first(), name="first")
    assert await await_body(second(), name="second") is None
    assert names == ["second"]
    for one in known:
        if isinstance(one, asyncio.Task):
            assert one.get_name() == "first"
        elif isinstance(one, asyncio.TimerHandle):
            one.cancel()


@pytest.mark.parametrize("waits", [False, True])
async def test_what_it_sets_in_context_variables_is_gone_afterwards(waits: bool) -> None:
    async def body() -> str:
        before = seen.get()
        seen.set("inside")
        if waits:
            await asyncio.sleep(0)
        assert seen.get() == "inside"
        return before

    seen.set("outside")
    assert await await_body(body(), name="a body") == "outside"
    assert seen.get() == "outside"


# --- when the caller is cancelled ----------------------------------------------------------------


async def cancelled(body: Makes, *, native: bool) -> None:
    """Await *body* and be cancelled meanwhile."""

    async def call() -> None:
        with pytest.raises(asyncio.CancelledError):
            await await_body(body(), name="a body")
        raise asyncio.CancelledError

    with anyio.fail_after(5):
        if native:
            task = asyncio.ensure_future(call())
            await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        else:
            with anyio.move_on_after(0.002):
                async with anyio.create_task_group() as group:
                    group.start_soon(call)


@pytest.mark.parametrize("native", [False, True])
async def test_it_is_cancelled_with_its_caller_and_may_clean_up(native: bool) -> None:
    cleaned: list[str] = []

    async def body() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            await asyncio.sleep(0.001)  # its cancellation came once
            cleaned.append("cleaned")

    await cancelled(body, native=native)
    assert cleaned == ["cleaned"]


@pytest.mark.parametrize("native", [False, True])
async def test_a_shielded_part_of_it_is_not_cut_short(native: bool) -> None:
    """Fails when anyio keeps its scopes elsewhere: see ``_is_shielded``."""
    done: list[str] = []

    async def body() -> None:
        with anyio.CancelScope(shield=True), anyio.CancelScope():
            await asyncio.sleep(0.01)
            done.append("shielded")
        await anyio.sleep_forever()

    await cancelled(body, native=native)
    assert done == ["shielded"]


@pytest.mark.parametrize("stubborn", [False, True])
async def test_one_that_swallows_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stubborn: bool
) -> None:
    monkeypatch.setattr(bodies, "GRACE", 0.01)
    ignored = 0 if stubborn else 1

    async def body() -> None:
        nonlocal ignored
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
            except GeneratorExit:
                ignored += 1
                if ignored > 1:
                    raise

    await cancelled(body, native=False)
    assert "a body swallows its cancellation; it is left behind" in caplog.text
    with anyio.fail_after(5):
        while any(task.get_name() == "a body" for task in asyncio.all_tasks()):
            await anyio.lowlevel.checkpoint()


async def test_a_body_that_ends_at_the_moment_of_its_cancellation_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body() -> str:
        await asyncio.sleep(0)
        return "done"

    task = asyncio.ensure_future(await_body(body(), name="a body"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    with caplog.at_level(logging.DEBUG):
        await asyncio.sleep(0)
    assert caplog.text == ""


@pytest.mark.parametrize("outcome", ["a value", "an error"])
async def test_an_answer_that_comes_before_the_task_waits_for_it_wakes_it(
    hosts: Hosts, outcome: str
) -> None:
    """The first piece of a body runs before its task: a thread may be faster."""
    reply, error = Reply[int](), ValueError("from the thread")
    body = Body(reply.wait())
    assert not body.begin("a body", hosts)
    if outcome == "a value":
        reply._answer.set(1, None)
    else:
        reply._answer.set(None, error)
    with anyio.fail_after(5):
        await body.wait()
    ended = body.outcome()
    assert ended == 1 if outcome == "a value" else ended == Raised(error)
