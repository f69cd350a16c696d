"""A run that is created with its first turn, and what happens when that does not go well."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from perdure import Worker, Workflow, get_run, start, step
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from perdure.errors import IdempotencyConflictError, RunNotFoundError
from perdure.model import RunStatus
from perdure.testing.faults import Fault, FaultyWorld
from perdure.worlds import open_world
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

executed: list[int] = []


@step(name="beginning:note")
async def note(value: int) -> int:
    executed.append(value)
    return value


def flow(body: str) -> Workflow:
    return Workflow.from_source(
        'import { sleep } from "workflow";\nimport { note } from "python:beginning";\n'
        f'export async function flow(n: number): Promise<number> {{ "use workflow";\n{body}\n}}\n',
        filename="flow.ts",
    )


ONE = flow("return await note(n);")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    executed.clear()


@asynccontextmanager
async def faulty(url: str, plan: Callable[[int, str], Fault]) -> AsyncGenerator[FaultyWorld, None]:
    async with open_world(url) as inner:
        yield FaultyWorld(inner, plan)


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not is_so():
            await anyio.lowlevel.checkpoint()


async def checked(world: World, run_id: str) -> None:
    assert (await verify_run(world, run_id)).problems == []


async def test_a_run_of_one_step_is_two_writes(world: World) -> None:
    async with Worker(world, steps=[note]):
        run = await start(ONE, [7])
        assert await run.result(timeout=10) == 7
        # The result is there a moment before the commit that brought it is counted.
        await until(lambda: world.statistics()["commits"] >= 2)
        statistics = world.statistics()
        assert (statistics["commits"], statistics["claims"]) == (2, 0)
    await checked(world, run.id)


async def test_it_is_durable_before_its_step_has_run(world: World) -> None:
    async with Worker(world, steps=[]):
        run = await start(ONE, [7])
        assert (await run.info()).turn == 1
    assert await run.status() is RunStatus.RUNNING
    async with Worker(world, steps=[note]):
        assert await run.result(timeout=10) == 7
    await checked(world, run.id)


async def test_a_first_turn_that_sleeps_is_put_away(world: World) -> None:
    async with Worker(world, steps=[note]) as worker:
        run = await start(flow("await sleep(20); return await note(n);"), [3])
        assert await run.result(timeout=10) == 3
        assert worker.statistics()["runs"] <= 1
    await checked(world, run.id)


@IN_MEMORY
@pytest.mark.slow
async def test_a_long_first_turn_is_not_waited_for(world: World) -> None:
    body = (
        "const end = n; let x = 0; for (let i = 0; i < end; i++) x += i % 7; return x > 0 ? 1 : 0;"
    )
    async with Worker(world, steps=[]):
        run = await start(flow(body), [12_000_000])
        assert (await run.info()).status in (RunStatus.PENDING, RunStatus.RUNNING)
        assert await run.result(timeout=30) == 1


async def test_the_same_id_is_one_run(world: World) -> None:
    async with Worker(world, steps=[note]):
        first = await start(ONE, [1], idempotency_key="key")
        assert await first.result(timeout=10) == 1
        second = await start(ONE, [1], idempotency_key="key")
        assert second.id == first.id
        with pytest.raises(IdempotencyConflictError):
            await start(ONE, [2], idempotency_key="key")
    assert executed == [1]


async def test_started_twice_at_once_it_is_one_run(world: World) -> None:
    async with Worker(world, steps=[note]):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(lambda: start(ONE, [1], run_id="mine", world=world))
        assert await get_run("mine", world).result(timeout=10) == 1
    assert executed == [1]


async def test_cancelled_while_it_begins_it_is_there_or_not(world: World) -> None:
    async with Worker(world, steps=[note]):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await start(ONE, [1], run_id="mine", world=world)
        try:
            assert await get_run("mine", world).result(timeout=10) == 1
        except RunNotFoundError:
            assert executed == []


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_an_unknown_outcome_is_asked_for_again(url: str, fault: Fault) -> None:
    struck = iter([fault])

    def plan(number: int, call: str) -> Fault:
        return next(struck, Fault.NONE) if call == "storage.commit" else Fault.NONE

    async with faulty(url, plan) as world, Worker(world, steps=[note]):
        run = await start(ONE, [5])
        assert await run.result(timeout=10) == 5
        await checked(world, run.id)
        assert world.faults == 1
    assert executed == [5]


@pytest.mark.slow
@IN_MEMORY
async def test_what_cannot_be_committed_is_created_all_the_same(url: str) -> None:
    broken = True

    def plan(number: int, call: str) -> Fault:
        return Fault.BEFORE if broken and call == "storage.commit" else Fault.NONE

    async with faulty(url, plan) as world, Worker(world, steps=[note]):
        run = await start(ONE, [5])
        assert (await run.info()).turn == 0
        broken = False
        assert await run.result(timeout=20) == 5
    assert executed == [5]


@pytest.mark.slow
@IN_MEMORY
async def test_a_console_that_cannot_be_written_repeats_nothing(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def plan(number: int, call: str) -> Fault:
        return Fault.BEFORE if call == "streams.append" else Fault.NONE

    async with faulty(url, plan) as world, Worker(world, steps=[note]) as worker:
        with caplog.at_level(logging.WARNING):
            run = await start(flow("console.log(1); await note(n); console.log(2); return 1;"), [5])
            assert await run.result(timeout=20) == 1
        await until(lambda: worker.statistics()["turns"] >= 2)
        assert worker.statistics()["turns"] == 2
    assert executed == [5]
    assert "lines of its log were not written" in caplog.text
