"""Runners: jobs share tasks, each begins in the worker's context, and none is left half done."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import ContextVar, copy_context

import anyio
import pytest

from perdure._runtime.worker.runners import MAX_IDLE, Runners

pytestmark = pytest.mark.anyio
asked = ContextVar("asked", default="by nobody")


async def test_a_task_that_is_done_runs_the_next_job() -> None:
    ran: list[asyncio.Task[None] | None] = []

    async def job() -> None:
        ran.append(asyncio.current_task())

    async with anyio.create_task_group() as group:
        runners = Runners(group, copy_context())
        for _ in range(3):
            runners.run(job())
            await anyio.wait_all_tasks_blocked()
        assert repr(runners) == "<Runners 1 idle>"
        runners.close()
    assert len(ran) == 3
    assert len(set(ran)) == 1


async def test_a_job_begins_in_the_context_of_the_worker() -> None:
    told: list[str] = []

    async def job() -> None:
        told.append(asked.get())

    async with anyio.create_task_group() as group:
        runners = Runners(group, copy_context())
        asked.set("by a caller")
        for _ in range(2):
            runners.run(job())
            await anyio.wait_all_tasks_blocked()
        runners.close()
    assert told == ["by nobody", "by nobody"]


async def test_no_more_tasks_wait_than_are_of_use() -> None:
    async def job() -> None:
        await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        runners = Runners(group, copy_context())
        for _ in range(MAX_IDLE + 5):
            runners.run(job())
        await anyio.wait_all_tasks_blocked()
        assert repr(runners) == f"<Runners {MAX_IDLE} idle>"
        runners.close()
        runners.run(job())  # one that is busy when the others end, ends when it is done


@pytest.mark.parametrize(("first", "begun"), [("run", [1]), ("cancel", [1, 2])])
async def test_no_job_is_left_to_a_cancelled_task(first: str, begun: list[int]) -> None:
    """One that it was handed already is closed; one that comes after goes to another task."""
    began: list[int] = []

    async def job(number: int) -> None:
        began.append(number)

    second = job(2)
    async with anyio.create_task_group() as group:
        runners = Runners(group, copy_context())
        runners.run(job(1))
        await anyio.wait_all_tasks_blocked()
        (idle,) = [task for task in asyncio.all_tasks() if "_serve" in repr(task)]
        if first == "run":
            runners.run(second)
            idle.cancel()  # before it goes on
        else:
            idle.cancel()  # and has not noticed yet
            runners.run(second)
        await anyio.wait_all_tasks_blocked()
        runners.close()
    assert began == begun
    assert inspect.getcoroutinestate(second) == inspect.CORO_CLOSED
