"""anyio's own plug-in: fixtures and tests that are marked run on the backend it is given.

Run by ``test_pytest_plugins.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure import Worker, open_world, start
from perdure.abc import World
from tests.frameworks.sums import add, sums

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Perdure runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="module")
async def world(anyio_backend: str) -> AsyncIterator[World]:
    async with open_world("memory://") as world:
        yield world


@pytest.fixture
async def worker(world: World) -> AsyncIterator[Worker]:
    async with Worker(world, steps=[add]) as worker:
        yield worker


@pytest.mark.parametrize("a", [1, 2])
async def test_sums(worker: Worker, a: int) -> None:
    run = await start(sums, [a, 2])
    assert await run.result(timeout=20) == a + 2
