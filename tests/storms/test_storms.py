"""Three workers and many senders race on one store: nothing is lost, doubled, stuck or corrupt.

All storms at once here; ``nox -s storms`` has each alone, too, and larger ones.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict

import anyio
import pytest

from perdure.abc import World
from tests.storms.fleet import fleet
from tests.storms.scene import Scene, Size
from tests.storms.storms import STORMS, Storm

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.worlds("sqlite")]

FULL = "PERDURE_STORMS" in os.environ
SMALL = Size(runs=3, rounds=3)
LARGE = {
    "memory": Size(runs=24, rounds=20),
    "sqlite": Size(runs=24, rounds=20),
    "mongodb": Size(runs=12, rounds=10),
    "s3": Size(runs=4, rounds=4),
}
LIMIT = 900 if FULL else 60  # seconds; a run that has not ended by then is stuck
CHOICES: list[Sequence[Storm]] = [STORMS, *([storm] for storm in STORMS if FULL)]


@pytest.mark.parametrize(
    "storms", CHOICES, ids=lambda storms: "_and_".join(one.__name__ for one in storms[:2])
)
async def test_nothing_is_lost_doubled_stuck_or_corrupt(
    world_name: str, url: str, world: World, storms: Sequence[Storm]
) -> None:
    size = LARGE[world_name] if FULL else SMALL
    scenes = {storm: Scene(world, size) for storm in storms}
    async with fleet(url, world):
        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as group:
                for storm, scene in scenes.items():
                    group.start_soon(_pass_over, storm, scene)
    for storm, scene in scenes.items():
        await scene.audit()
        facts = {"world": world_name, "storm": storm.__name__}
        print(json.dumps(facts | asdict(scene.findings)))
    assert [scene.findings.faults() for scene in scenes.values()] == [{} for _ in scenes]
    await world.settle()
    assert set((await world.queue.count_waiting()).values()) == {0}


async def _pass_over(storm: Storm, scene: Scene) -> None:
    began = time.perf_counter()
    await storm(scene)
    scene.findings.seconds = round(time.perf_counter() - began, 1)
