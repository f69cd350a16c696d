"""Many bundles through one worker, in a process of its own: what they cost is bounded."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from perdure import Worker, Workflow, start
from perdure.abc import World
from perdure.worlds import open_world

COUNT = int(os.environ.get("PERDURE_HOSTILE_BUNDLES", "300"))
MOST_MIB = 300  # resident; each bundle once cost 2.4 MiB for good


def resident_mib() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE >> 20


async def run_one(world: World, number: int) -> None:
    flow = Workflow.from_source(
        f'export async function flow() {{ "use workflow"; return {number} }}', filename="flow.js"
    )
    run = await start(flow, world=world)
    assert await run.result(timeout=60) == number


async def run_many(url: str, count: int) -> int:
    """The most that was resident while so many bundles ran, four at a time."""
    peak = 0
    async with open_world(url) as world, Worker(world):
        for first in range(0, count, 4):
            async with anyio.create_task_group() as group:
                for number in range(first, first + 4):
                    group.start_soon(run_one, world, number)
            peak = max(peak, resident_mib())
    return peak


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system has no /proc")
def test_a_bundle_costs_nothing_for_good(tmp_path: Path) -> None:
    command = [sys.executable, __file__, f"sqlite:///{tmp_path}/bundles.db", str(COUNT)]
    program = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"\n{COUNT} bundles through one worker: at most {program.stdout.strip()} MiB resident")
    assert int(program.stdout) < MOST_MIB


if __name__ == "__main__":
    print(anyio.run(run_many, sys.argv[1], int(sys.argv[2])))
