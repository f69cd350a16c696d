"""What opening and closing must do in a world that outlives its handle; each world's tests use it.

A case takes what makes a world on one empty store, not opened.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
import pytest

from perdure.abc import World
from perdure.errors import WorldClosedError
from perdure.model import Digest, NewRun, RunId

__all__ = ("CASES", "Case")

Case: TypeAlias = "Callable[[Callable[[], World]], Awaitable[None]]"
RUN = RunId("run_a")
NEW = NewRun(
    run_id=RUN,
    workflow="flow",
    bundle=Digest("b"),
    engine=Digest("e"),
    input=b"\x80",
    created_at_ms=1,
)


async def what_was_stored_is_there_when_opened_again(make: Callable[[], World]) -> None:
    async with make() as world:
        await world.open()  # again is fine
        await world.storage.create_run(NEW)
    async with make() as again, make() as other:
        for opened in (again, other):
            assert (await opened.storage.get_run(RUN)).workflow == "flow"


async def a_world_that_is_not_open_refuses(make: Callable[[], World]) -> None:
    world = make()
    with pytest.raises(WorldClosedError):
        await world.storage.get_run(RUN)
    async with world:
        pass
    await world.aclose()  # again is fine
    with pytest.raises(WorldClosedError):
        await world.storage.create_run(NEW)
    with pytest.raises(WorldClosedError):
        await world.queue.claim_wakes(limit=1, visibility_ms=1)


async def closing_ends_who_waits(make: Callable[[], World]) -> None:
    world = make()
    await world.open()
    refused = anyio.Event()

    async def wait() -> None:
        with pytest.raises(WorldClosedError):
            await world.queue.claim_wakes(limit=1, visibility_ms=1, wait_ms=60_000)
        refused.set()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()  # it waits, or at least looks
        await world.aclose()
        with anyio.fail_after(5):
            await refused.wait()


CASES: tuple[Case, ...] = (
    what_was_stored_is_there_when_opened_again,
    a_world_that_is_not_open_refuses,
    closing_ends_who_waits,
)
