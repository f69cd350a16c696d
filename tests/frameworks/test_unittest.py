"""unittest: ``IsolatedAsyncioTestCase`` enters the world and the worker when a test is set up."""

from __future__ import annotations

from unittest import IsolatedAsyncioTestCase

from perdure import Worker, open_world, start
from tests.frameworks.sums import add, sums


class TestWithContexts(IsolatedAsyncioTestCase):
    """Each test has a world of its own; both are left when it is over."""

    async def asyncSetUp(self) -> None:
        world = await self.enterAsyncContext(open_world("memory://"))
        self.worker = await self.enterAsyncContext(Worker(world, steps=[add]))

    async def test_a_sum(self) -> None:
        run = await start(sums, [1, 2])
        assert await run.result(timeout=20) == 3

    async def test_another_sum(self) -> None:
        run = await start(sums, [3, 4])
        assert await run.result(timeout=20) == 7


class TestWithStart(IsolatedAsyncioTestCase):
    """The same without contexts."""

    async def asyncSetUp(self) -> None:
        self.opening = open_world("memory://")
        self.worker = Worker(await self.opening.__aenter__(), steps=[add])
        await self.worker.start()

    async def asyncTearDown(self) -> None:
        await self.worker.aclose()
        await self.opening.__aexit__(None, None, None)

    async def test_a_sum(self) -> None:
        run = await start(sums, [1, 2], world=self.worker.world)
        assert await run.result(timeout=20) == 3
