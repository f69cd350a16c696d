"""The server is killed under load: what was acknowledged is there.

Workers are killed by the acceptance tests of the whole suite, on this world as on every other.
"""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from perdure.errors import WorldError
from perdure.model import Append, Digest, EntityId, Event, EventType, NewRun, RunFilter, RunId
from perdure_s3 import S3World
from perdure_s3.testing import running_seaweed

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.crash]

FULL = os.environ.get("PERDURE_TIER") == "full"


async def write_until_killed(
    world: S3World, name: str, acknowledged: dict[str, int], dead: anyio.Event
) -> None:
    """Create a run and append to it, one event after another, noting what was acknowledged."""
    run_id = RunId(name)
    new = NewRun(
        run_id=run_id,
        workflow="flow",
        bundle=Digest("b"),
        engine=Digest("e"),
        input=b"x" * 100,
        created_at_ms=1,
    )
    try:
        await world.storage.create_run(new)
        acknowledged[name] = 1
        while not dead.is_set():
            n = acknowledged[name] + 1
            event = Event(
                type=EventType.STEP_COMPLETED,
                key=f"step_{n}/end",
                at_ms=n,
                entity=EntityId(f"step_{n}"),
                payload=b"%d" % n,
            )
            answer = await world.storage.append(Append(run_id=run_id, event=event))
            assert answer.position == n
            acknowledged[name] = n
    except WorldError:
        return  # the server is gone; what the last call did is unknown


async def test_kill_9_of_the_server_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with running_seaweed(tmp_path) as server:
        url, acknowledged = server.url("&timeout=5"), dict[str, int]()
        for trial in range(3 if FULL else 1):
            dead = anyio.Event()
            async with S3World(url) as world, anyio.create_task_group() as group:
                for n in range(8):
                    name = f"run_{trial}_{n}"
                    group.start_soon(write_until_killed, world, name, acknowledged, dead)
                await anyio.sleep(1.0 + trial)  # the moment of the kill is what varies
                server.kill()
                dead.set()
            await anyio.to_thread.run_sync(server.start)
        assert sum(acknowledged.values()) > 100
        async with S3World(url) as world:
            for name, last in acknowledged.items():
                events = await world.storage.read_events(RunId(name), limit=100_000)
                assert last <= len(events) <= last + 1  # the one that was under way, perhaps
                assert [e.position for e in events] == list(range(1, len(events) + 1))
                assert [e.event.payload for e in events[1:]] == [
                    b"%d" % n for n in range(2, len(events) + 1)
                ]
            page = await world.catalogue.list_runs(RunFilter(), limit=1000)
            assert {record.run_id for record in page.runs} >= set(acknowledged)
            claims = await world.queue.claim_wakes(limit=1000, visibility_ms=60_000)
            assert {claim.run_id for claim in claims} >= set(acknowledged)  # every one is due
