"""Claims: what is lost again and again stays, and is counted; nothing becomes a dead letter."""

from __future__ import annotations

from ..._model.queue import LeaseEnd, MessageClaim, NewMessage, WakeClaim
from ...abc import World
from ..clock import ManualClock
from ._case import RUN, Case, expect, named, new_run

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
        expect(wake.attempt == losses + 1, "a wake given back unrun is not counted")
        expect((claim.lost, claim.returned) == (losses, 1), "a message given back is not lost")
        now_ms = clock.now_ms()
        end = LeaseEnd(lease=wake.lease, generation=wake.generation, next_due_ms=now_ms)
        await world.queue.finish(end)
        await world.queue.release(claim.lease, ran=True)
        await world.settle()
        wake, claim = await _both(world)
        expect(wake.attempt == 1, "a finished claim of a wake begins the count anew")
        expect(claim.attempt == losses + 3, "a message's count never falls")


async def _claim(world: World, earlier: int) -> tuple[WakeClaim, MessageClaim]:
    """Claim both, which were claimed and lost so often before."""
    await world.settle()
    wake, claim = await _both(world)
    expect(wake.attempt == earlier + 1, f"a wake's claims are counted, {earlier} lost ones too")
    counts = (claim.attempt, claim.lost, claim.returned)
    expect(counts == (earlier + 1, earlier, 0), "a message's lost claims are counted exactly")
    return wake, claim


async def _both(world: World) -> tuple[WakeClaim, MessageClaim]:
    wakes = await world.queue.claim_wakes(limit=9, visibility_ms=VISIBILITY_MS)
    claims = await world.queue.claim_messages([TOPIC], limit=9, visibility_ms=VISIBILITY_MS)
    expect(len(wakes) == 1, "a run stays due however often its claims are lost")
    expect(len(claims) == 1, "a message stays however often its claims are lost")
    return wakes[0], claims[0]


CLAIMS = named(lost_claims_lose_nothing)
