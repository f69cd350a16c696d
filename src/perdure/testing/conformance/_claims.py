"""Claims: an item that is lost again and again stays, and is counted; no item is a dead letter.

And who lost a claim has lost it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..._model.queue import LeaseEnd, MessageClaim, NewMessage, WakeClaim
from ...abc import World
from ...errors import LeaseLostError
from ..clock import ManualClock
from ._case import RUN, Case, append_of, commit_of, expect, named, new_run

__all__ = ("CLAIMS",)

VISIBILITY_MS = 1000
TOPIC = "t"
FEW, MANY = 12, 40  # more than any budget there is


async def lost_claims_lose_nothing(case: Case) -> None:
    """However often claims are lost, before and after a reopening, the count of them is exact."""
    clock = ManualClock()
    losses = MANY if case.thorough else FEW
    async with case.open(clock) as world:
        await world.storage.create_run(new_run())
        message = NewMessage(message_id=f"{RUN}/m", run_id=RUN, topic=TOPIC, body=b"b", due_ms=0)
        await world.queue.send([message])
        for earlier in range(losses):
            await _claim(world, earlier)
            clock.advance(VISIBILITY_MS)
    async with case.open(clock) as world:
        wake, claim = await _claim(world, losses)
        await world.queue.release(wake.lease)
        await world.queue.release(claim.lease)
        await world.settle()
        wake, claim = await _both(world)
        expect(wake.fruitless_claims == losses + 1, "a wake given back unrun is not counted")
        expect((claim.losses, claim.returned) == (losses, 1), "a message given back is not lost")
        now_ms = clock.now_ms()
        end = LeaseEnd(lease=wake.lease, generation=wake.generation, next_due_ms=now_ms)
        await world.queue.finish(end)
        await world.queue.release(claim.lease, ran=True)
        await world.settle()
        wake, claim = await _both(world)
        expect(wake.fruitless_claims == 1, "a finished claim of a wake begins the count anew")
        expect(claim.claims == losses + 3, "a message's count never falls")


async def a_lost_lease_ends_nothing(case: Case) -> None:
    """The holder of a lease that ran out can neither write with it nor end the claim of another."""
    clock = ManualClock()
    async with case.open(clock) as world:
        await world.storage.create_run(new_run())
        message = NewMessage(message_id=f"{RUN}/m", run_id=RUN, topic=TOPIC, body=b"b", due_ms=0)
        await world.queue.send([message])
        await world.settle()
        old_claims = await _both(world)
        clock.advance(VISIBILITY_MS)
        new_claims = await _both(world)
        for claim in old_claims:
            await _refused(world, claim)
        ends = tuple(_end(claim) for claim in old_claims)
        await world.storage.commit(commit_of(0, leases=ends))
        leases = [claim.lease for claim in new_claims]
        renewed = await world.queue.extend(
            [*leases, *(claim.lease for claim in old_claims)], visibility_ms=VISIBILITY_MS
        )
        tokens = [lease.token for lease in renewed]
        expect(
            tokens == [lease.token for lease in leases], "only a live lease is ended, or renewed"
        )
        for claim in new_claims:
            await world.queue.finish(_end(claim))
        record = await world.storage.get_run(RUN)
        expect(record.position == 2, "who lost a lease appends nothing with it")


def _end(claim: WakeClaim | MessageClaim) -> LeaseEnd:
    generation = claim.generation if isinstance(claim, WakeClaim) else 0
    return LeaseEnd(lease=claim.lease, generation=generation)


async def _refused(world: World, claim: WakeClaim | MessageClaim) -> None:
    """Each call with a lost lease is refused."""
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: world.queue.finish(_end(claim)),
        lambda: world.queue.release(claim.lease),
        lambda: world.storage.append(append_of(lease=claim.lease)),
    )
    for call in calls:
        try:
            await call()
        except LeaseLostError:
            continue
        raise AssertionError("who lost a lease is told so")


async def _claim(world: World, earlier: int) -> tuple[WakeClaim, MessageClaim]:
    """Claim both, which were claimed and lost so often before."""
    await world.settle()
    wake, claim = await _both(world)
    expect(
        wake.fruitless_claims == earlier + 1,
        f"a wake's claims are counted, {earlier} lost ones too",
    )
    counts = (claim.claims, claim.losses, claim.returned)
    expect(counts == (earlier + 1, earlier, 0), "a message's lost claims are counted exactly")
    return wake, claim


async def _both(world: World) -> tuple[WakeClaim, MessageClaim]:
    wakes = await world.queue.claim_wakes(limit=9, visibility_ms=VISIBILITY_MS)
    claims = await world.queue.claim_messages([TOPIC], limit=9, visibility_ms=VISIBILITY_MS)
    expect(len(wakes) == 1, "a run stays due however often its claims are lost")
    expect(len(claims) == 1, "a message stays however often its claims are lost")
    return wakes[0], claims[0]


CLAIMS = named(lost_claims_lose_nothing, a_lost_lease_ends_nothing)
