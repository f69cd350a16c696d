"""The due index: written before the head, put right after it, shared by processes."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

import anyio
import pytest
from s3_values import RUN, event, names, new_run
from wrapped import Fault, wrapped_world

from perdure.errors import (
    LeaseLostError,
    RunNotFoundError,
    WorldUnavailableError,
)
from perdure.model import (
    Append,
    Lease,
    LeaseEnd,
    NewMessage,
)
from perdure.testing.clock import ManualClock
from perdure_s3 import S3World
from perdure_s3._index import GUARD_MS, Item, View
from perdure_s3._schema import Layout

pytestmark = pytest.mark.anyio


async def test_a_writer_that_dies_after_its_guard_leaves_a_look_in_vain(url: str) -> None:
    """The index is written before the head: between the two nothing is lost, nothing is there."""
    clock, dying = ManualClock(), False

    def plan(number: int, verb: str, key: str) -> Fault:
        return Fault.TIMEOUT if dying and verb == "PUT" and key.endswith("/head") else Fault.NONE

    async with wrapped_world(url, plan, clock=clock) as (world, _):
        await world.storage.create_run(new_run("run_b"))
        dying = True
        with pytest.raises(WorldUnavailableError):
            await world.storage.create_run(new_run())
        dying = False
    async with S3World(url, clock=clock) as world:
        (found,) = await world.queue.claim_wakes(limit=9, visibility_ms=10 * GUARD_MS)
        assert found.run_id == "run_b"
        assert RUN in [run_id for _, run_id in world._handle.due.candidates({""})]
        clock.advance(GUARD_MS)
        await world.queue.claim_wakes(limit=9, visibility_ms=1, wait_ms=300)
        await world.settle()
        assert [run for _, run in world._handle.due.candidates({""})] == []
        with pytest.raises(RunNotFoundError):
            await world.storage.get_run(RUN)


async def test_an_append_whose_writer_dies_is_acted_on(url: str) -> None:
    """The head has the event and the wake, and whoever wrote it is gone."""
    clock = ManualClock()
    async with S3World(url, clock=clock) as world:
        await world.storage.create_run(new_run())
        (claim,) = await world.queue.claim_wakes(limit=1, visibility_ms=1000)
        await world.queue.finish(LeaseEnd(lease=claim.lease, generation=claim.generation))
        await world.settle()
        assert not world._handle.due.candidates({""})
    dead = S3World(url, clock=clock)
    await dead.open()
    await dead.storage.append(Append(run_id=RUN, event=event("step_1/end")))
    async with S3World(url, clock=clock) as world:  # the dead one neither settled nor closed
        (again,) = await world.queue.claim_wakes(limit=1, visibility_ms=1000)
        assert (again.run_id, again.fruitless_claims) == (RUN, 1)
    await dead.aclose()


async def test_what_is_due_far_ahead_is_kept_apart_and_moved_when_it_comes_near(url: str) -> None:
    clock = ManualClock()
    hour = 3_600_000
    async with S3World(url, clock=clock) as world:
        for n in range(3):
            await world.storage.create_run(new_run(f"run_{n}"))
        for claim in await world.queue.claim_wakes(limit=9, visibility_ms=1000):
            due = clock.now_ms() + 24 * hour + int(claim.run_id[4:]) * hour
            end = LeaseEnd(lease=claim.lease, generation=claim.generation, next_due_ms=due)
            await world.queue.finish(end)
        await world.settle()
        assert len(await names(world, Layout.later(0))) == 3
        assert not world._handle.due._shelves[0].items()
        clock.advance(23 * hour)
        assert not await world.queue.claim_wakes(limit=9, visibility_ms=1000)
        clock.advance(hour)
        (claim,) = await world.queue.claim_wakes(limit=9, visibility_ms=1000)
        assert claim.run_id == "run_0"
        assert len(await names(world, Layout.later(0))) == 2
    clock.advance(48 * hour)  # nobody was there for two days
    async with S3World(url, clock=clock) as world:
        claims = await world.queue.claim_wakes(limit=9, visibility_ms=1000)
        assert [one.run_id for one in claims] == ["run_0", "run_1", "run_2"]
        await world.settle()
        assert not await names(world, Layout.later(0))


async def test_an_index_on_several_shelves_holds_the_same(url: str) -> None:
    async with S3World(f"{url}&shards=4") as world:
        for n in range(12):
            await world.storage.create_run(new_run(f"run_{n:02}", created_at_ms=n + 1))
    async with S3World(f"{url}&shards=2") as world:  # what was written down counts
        assert len(world._handle.due._shelves) == 4
        assert (await world.queue.count_waiting())[""] == 12
        claims = await world.queue.claim_wakes(limit=20, visibility_ms=60_000)
        assert {claim.run_id for claim in claims} == {f"run_{n:02}" for n in range(12)}
        assert len(await names(world, Layout.DUE)) == 4


async def test_two_processes_share_the_work(url: str) -> None:
    async with S3World(url) as world, S3World(f"{url}&poll=0.2") as other:
        heard: list[str] = []

        async def wait() -> None:
            (claim,) = await other.queue.claim_wakes(limit=1, visibility_ms=1000, wait_ms=20_000)
            heard.append(claim.run_id)
            (message,) = await other.queue.claim_messages(
                ["t"], limit=1, visibility_ms=1000, wait_ms=20_000
            )
            heard.append(message.message.message_id)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await world.storage.create_run(new_run())
            await world.queue.send(
                [
                    NewMessage(
                        message_id=f"{RUN}/m", run_id=RUN, topic="t", body=b"b" * 9_000, due_ms=0
                    )
                ]
            )
        assert heard == [RUN, f"{RUN}/m"]


async def test_leases_belong_to_runs_that_are_there(url: str) -> None:
    async with S3World(url) as world:
        lease = Lease(item="run_z/m", token="x", is_wake=False, expires_at_ms=2**45)
        assert await world.queue.extend([lease], visibility_ms=1000) == ()
        with pytest.raises(LeaseLostError):
            await world.queue.finish(LeaseEnd(lease=lease))
        with pytest.raises(LeaseLostError):
            await world.queue.release(lease)


async def test_what_is_put_right_during_a_write_is_written_after_it(url: str) -> None:
    writes: list[str] = []
    under_way, after = anyio.Event(), anyio.Event()

    def plan(number: int, verb: str, key: str) -> Fault:
        if verb != "PUT" or "/due/" not in key:
            return Fault.NONE
        writes.append(key)
        if len(writes) == 2:
            under_way.set()
        elif len(writes) == 3:
            after.set()
        return Fault.SLOW

    async with wrapped_world(url, plan) as (world, _):
        shelf = world._handle.due._shelves[0]
        item = Item("life", 1, 1, {"": 1})
        await shelf.arm("run_x", item)
        async with anyio.create_task_group() as group:
            group.start_soon(shelf.arm, "run_y", item)
            await under_way.wait()
            shelf.tidy("run_x", View("life", 1, {}), now_ms=2)
        assert set(shelf.items()) == {"run_x", "run_y"}
        with anyio.fail_after(10):
            await after.wait()  # nobody asks for it to be settled
        await world.settle()
        assert set(shelf.items()) == {"run_y"}
    assert world.statistics()["PUT"] > 3
