"""A world of blocking calls belongs to the event loop that opened it, as every world does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio.to_thread
import pytest
from files_world import FilesWorld

from perdure.abc import World
from perdure.errors import UsageError, WorldClosedError
from perdure.model import Digest, RunFilter, RunId
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio
RUN = RunId("run_a")

CALLS: dict[str, Callable[[World], Awaitable[object]]] = {
    "storage": lambda world: world.storage.get_run(RUN),
    "a write": lambda world: world.queue.wake(RUN, due_ms=1),
    "a wait": lambda world: world.storage.wait_ended(RUN, wait_ms=10_000),
    "a claim": lambda world: world.queue.claim_wakes(limit=1, visibility_ms=9, wait_ms=9),
    "the catalogue": lambda world: world.catalogue.list_runs(RunFilter(), limit=1),
    "a stream": lambda world: world.streams.read(RUN, "log", wait_ms=10_000),
    "a snapshot": lambda world: world.snapshots.load(RUN),
    "a blob": lambda world: world.blobs.has(Digest("0" * 64)),
    "a transfer": lambda world: world.transfer.read_streams(RUN),
    "settling": lambda world: world.settle(),
    "opening": lambda world: world.open(),
}


async def error_in_another_loop(world: World, call: Callable[[World], Awaitable[object]]) -> object:
    async def main() -> object:
        return await call(world)

    def error() -> object:
        try:
            return asyncio.run(main())
        except Exception as exc:
            return exc

    return await anyio.to_thread.run_sync(error)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", [MemoryWorld, FilesWorld])
async def test_another_loop_is_refused(kind: type[World], name: str, tmp_path: Path) -> None:
    world = MemoryWorld() if kind is MemoryWorld else FilesWorld(f"files://{tmp_path}?sync=no")
    async with world:
        error = await error_in_another_loop(world, CALLS[name])
    assert isinstance(error, UsageError)
    assert "is open in another event loop" in str(error)


@pytest.mark.parametrize("kind", [MemoryWorld, FilesWorld])
def test_a_world_is_opened_again_in_the_next_loop(kind: type[World], tmp_path: Path) -> None:
    """Also one that nobody closed while its loop was there."""
    world = MemoryWorld() if kind is MemoryWorld else FilesWorld(f"files://{tmp_path}?sync=no")
    for _ in range(2):
        asyncio.run(world.open())
    with pytest.raises(UsageError, match="opened in an event loop that is closed by now"):
        asyncio.run(world.settle())
    asyncio.run(world.aclose())

    async def main() -> None:
        async with world:
            await world.settle()
        with pytest.raises(WorldClosedError):
            await world.settle()

    asyncio.run(main())
