"""pytest-asyncio in its strict mode: fixtures and tests that are asynchronous say so.

Each piece of a fixture is run in a task of its own. Run by ``test_pytest_plugins.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from perdure import Worker, open_world, start
from perdure.abc import World
from tests.frameworks.sums import add, sums


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with open_world("memory://") as world:
        yield world


@pytest_asyncio.fixture
async def worker(world: World) -> AsyncIterator[Worker]:
    async with Worker(world, steps=[add]) as worker:
        yield worker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[World]:
    """A world and a worker for all tests of the module, which share its event loop."""
    async with open_world("memory://") as world:
        worker = Worker(world, steps=[add])
        await worker.start()
        yield world
        await worker.aclose()


@pytest.mark.asyncio
async def test_a_sum(worker: Worker) -> None:
    run = await start(sums, [1, 2])
    assert await run.result(timeout=20) == 3


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("a", [1, 2])
async def test_sums_in_one_loop(shared: World, a: int) -> None:
    run = await start(sums, [a, 2])
    assert await run.result(timeout=20) == a + 2
