"""H2 of the reference: whether the world answers and a worker carries its runs."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from perdure import Worker, check_health, list_runs, open_world, start
from perdure._runtime import health as health_module
from perdure._runtime.health import _probe
from perdure.abc import World
from perdure.cli import app
from perdure.errors import UsageError
from perdure.testing.faults import Fault, FaultyWorld
from perdure.testing.memory import MemoryWorld
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = pytest.mark.anyio


@EVERY_WORLD
async def test_a_worker_that_carries_runs_is_seen_and_nothing_stays(world: World) -> None:
    async with Worker(world, steps=[]):
        health = await check_health(20, world=world)
    assert health.is_healthy
    assert health.error is None
    assert health.world_ms is not None
    assert health.worker_ms is not None
    assert (await list_runs(world=world)).runs == ()


@IN_MEMORY
async def test_without_a_worker_it_says_so(world: World) -> None:
    await start(_probe(), world=world)
    health = await check_health(0.05, world=world)
    assert (health.is_reachable, health.is_worked, health.is_healthy) == (True, False, False)
    assert health.error is not None
    assert "no worker carried a run within 0.05 s" in health.error
    assert health.waiting == 1
    assert len((await list_runs(world=world)).runs) == 1  # the one that was there


@IN_MEMORY
@pytest.mark.parametrize("call", ["queue.count_waiting", "storage.create_run"])
async def test_a_world_that_does_not_answer_is_unhealthy(call: str) -> None:
    def fail(number: int, name: str, /) -> Fault:
        return Fault.BEFORE if name == call else Fault.NONE

    async with FaultyWorld(MemoryWorld(), fail) as world:
        health = await check_health(5, world=world)
    assert (health.is_reachable, health.is_healthy) == (False, False)
    assert health.error


@IN_MEMORY
async def test_a_world_that_hangs_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "_PATIENCE", 0.01)

    async def hangs(topics: object = None) -> dict[str, int]:
        await anyio.sleep_forever()
        return {}

    async with MemoryWorld() as world:
        monkeypatch.setattr(world.queue, "count_waiting", hangs)
        health = await check_health(0.01, world=world)
    assert health.error == "the world did not answer within 0.01 s"
    assert not health.is_reachable


async def test_a_timeout_that_is_none_is_refused() -> None:
    async with MemoryWorld() as world:
        with pytest.raises(UsageError, match="timeout"):
            await check_health("soon", world=world)  # type: ignore[arg-type]  # wrong on purpose


def test_the_command_line_says_so_by_its_exit_code(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/health.db"

    def call(*arguments: str, code: int) -> str:
        done = CliRunner().invoke(app, ["health", "--world", url, *arguments])
        assert done.exit_code == code, done.output
        return done.stdout

    assert "no worker carried a run" in call("--timeout", "0.05", code=1)
    shown = json.loads(call("--timeout", "0.05", "--json", code=1))
    assert (shown["healthy"], shown["reachable"], shown["worked"]) == (False, True, False)

    async def beside() -> str:
        async with open_world(url) as world, Worker(world, steps=[]):
            return await anyio.to_thread.run_sync(lambda: call("--timeout", "60", code=0))

    assert "a worker carried a run in" in anyio.run(beside)
