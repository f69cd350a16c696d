"""pytest-asyncio in its auto mode: whatever is asynchronous is run.

Run by ``test_pytest_plugins.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure import Worker, open_world, start
from tests.frameworks.sums import add, sums


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    async with open_world("memory://") as world, Worker(world, steps=[add]) as worker:
        yield worker


async def test_a_sum(worker: Worker) -> None:
    run = await start(sums, [1, 2])
    assert await run.result(timeout=20) == 3


async def test_a_sum_of_a_world_that_is_named(worker: Worker) -> None:
    run = await start(sums, [3, 4], world=worker.world)
    assert await run.result(timeout=20) == 7
