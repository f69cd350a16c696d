"""Replies: an answer reaches the task that waits, whatever else happens to the task."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from perdure._vm.reply import Reply
from perdure.worldkit.posting import post

pytestmark = pytest.mark.anyio
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who")


async def begun() -> Reply[int]:
    """A reply whose work has begun."""
    reply: Reply[int] = Reply()
    assert reply.begin()
    return reply


async def waiting(
    reply: Reply[int], interrupt: Callable[[], None] | None = None
) -> asyncio.Task[int]:
    """A task that waits for it."""
    task = asyncio.ensure_future(reply.wait(interrupt))
    await asyncio.sleep(0)
    return task


async def posted() -> None:
    """Return once what has been posted to this loop was called."""
    called = asyncio.Event()
    post(asyncio.get_running_loop(), called.set)
    await called.wait()


async def test_an_answer_is_had_before_and_after_it_is_waited_for() -> None:
    early, late = await begun(), await begun()
    early.give(1)
    await posted()
    assert "given" in repr(early)
    assert await early.wait() == 1
    task = await waiting(late)
    assert "awaited" in repr(late)
    late.give(2)
    assert await task == 2


async def test_an_error_is_raised_where_it_is_waited_for() -> None:
    reply = await begun()
    task = await waiting(reply)
    reply.fail(KeyError("x"))
    with pytest.raises(KeyError, match="x"):
        await task


async def test_the_task_goes_on_before_anything_that_was_posted_later() -> None:
    heard: list[str] = []
    reply = await begun()

    async def wait() -> None:
        WHO.set("task")
        await reply.wait()
        heard.append(WHO.get())

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()

    def answer() -> None:
        reply.give(1)
        post(loop, lambda: heard.append("later"))

    thread = threading.Thread(target=answer)
    thread.start()
    await task
    thread.join()  # it may not have posted the second one yet
    await posted()
    assert heard == ["task", "later"]


async def test_whoever_is_cancelled_before_the_work_begins_leaves() -> None:
    reply: Reply[int] = Reply()
    task = await waiting(reply)
    task.cancel("why")
    with pytest.raises(asyncio.CancelledError, match="why"):
        await task
    assert not reply.begin()


async def test_whoever_is_cancelled_later_waits_for_the_end_of_the_work() -> None:
    reply, interrupted = await begun(), list[int]()
    task = await waiting(reply, lambda: interrupted.append(1))
    for _ in range(3):  # impatient, and not by anyio, which heeds shields
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
    reply.give(1)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert interrupted == [1]


@pytest.mark.parametrize("answer_first", [True, False])
async def test_a_cancellation_and_the_answer_may_come_in_one_round(*, answer_first: bool) -> None:
    reply, loop = await begun(), asyncio.get_running_loop()
    task = await waiting(reply)
    steps: list[Callable[[], object]] = [
        lambda: loop.call_soon(reply._answer.set, 1, None),
        task.cancel,
    ]
    for step in steps if answer_first else reversed(steps):
        step()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 10)


async def test_what_the_work_raises_after_a_cancellation_is_dropped() -> None:
    reply = await begun()
    task = await waiting(reply)
    task.cancel()
    await asyncio.sleep(0)
    reply.fail(KeyError("dropped"))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wait_that_is_closed_ends() -> None:
    reply = await begun()
    waits = reply.wait()
    answer = waits.send(None)
    assert answer.cancel()
    waits.throw(asyncio.CancelledError())  # it waits for the work's end
    waits.close()


async def test_a_cancellation_that_the_work_raised_is_its_own_error() -> None:
    reply, interrupted = await begun(), list[int]()
    task = await waiting(reply, lambda: interrupted.append(1))
    reply.fail(asyncio.CancelledError("the work's"))
    with pytest.raises(asyncio.CancelledError, match="the work's"):
        await task
    assert interrupted == []


async def test_a_scope_that_is_cancelled_knows_its_own_cancellation() -> None:
    reply = await begun()
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        await reply.wait(lambda: reply.give(1))
    assert scope.cancelled_caught
    await anyio.lowlevel.checkpoint()  # nothing of it is left for the task


async def test_tasks_that_wait_for_an_answer_are_blocked() -> None:
    reply = await begun()
    task = await waiting(reply)
    await anyio.wait_all_tasks_blocked()
    reply.give(1)
    assert await task == 1


def test_it_works_in_a_loop_that_looks_for_mistakes() -> None:
    async def main() -> int:
        reply = await begun()
        threading.Timer(0.001, reply.give, (1,)).start()
        return await reply.wait()

    assert asyncio.run(main(), debug=True) == 1
