"""Forcing: a run that takes a token from another, and payloads on their way meanwhile."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from ..._model.events import EventType
from ..._model.ids import RunId
from ..._model.queue import LeaseEnd
from ...abc import World
from ...errors import HookNotFoundError, RunEndedError
from ...worldkit.clock import SystemClock
from ..clock import ManualClock
from ._case import Case, expect, named, new_run
from ._conversations import HOOK_0, TOKEN, end, gone, keyed, resume, turn

__all__ = ("FORCING",)

RESUMES = 24


async def a_forced_claim_tells_its_victim(case: Case) -> None:
    """The token changes hands in one write; the victim's log says so, and it is due at once."""
    clock = ManualClock(1_000)
    async with case.open(clock) as world:
        storage = world.storage
        await storage.create_run(keyed("run_v"))
        await storage.create_run(new_run("run_t"))
        await storage.append(resume("run_v", HOOK_0))
        await world.settle()
        wakes = await world.queue.claim_wakes(limit=9, visibility_ms=50_000)
        expect(len(wakes) == 2, "both are under way")
        answer = await storage.commit(turn(0, "+hook_1", run_id="run_t", force=True))
        expect(not answer.conflicts, "a token is taken by force")
        await world.settle()
        hook = await storage.get_hook(TOKEN)
        expect((hook.run_id, hook.hook_id) == ("run_t", "hook_1"), "the token is the taker's")
        revoked = (await storage.read_events(RunId("run_v")))[-1].event
        expect(
            (revoked.type, revoked.key, revoked.entity, revoked.payload)
            == (EventType.HOOK_REVOKED, "hook_0/revoked", "hook_0", None),
            "the victim's log says that its hook is gone",
        )
        facts = {"token": TOKEN, "run_id": "run_t"}
        expect(revoked.facts == facts, "and names the token and the taker")
        await refuse_resume(world, "run_v", HOOK_0)
        for wake in wakes:
            await world.queue.finish(LeaseEnd(lease=wake.lease, generation=wake.generation))
        await world.settle()
        due = [wake.run_id for wake in await world.queue.claim_wakes(limit=9, visibility_ms=1)]
        expect(due == ["run_v"], "the victim is woken, and nobody else")
        await storage.append(resume("run_t", "hook_1"))
        answer = await storage.commit(turn(0, "-hook_0", run_id="run_v"))
        expect((await storage.get_hook(TOKEN)).run_id == "run_t", "its disposal frees nothing")


async def force_takes_what_it_may(case: Case) -> None:
    """A free token, a kept one, and one that was itself taken; never a run's own other hook."""
    clock = ManualClock(1_000)
    async with case.open(clock) as world:
        storage, later = world.storage, clock.now_ms() + 500
        for name in ("run_a", "run_b", "run_c", "run_d"):
            await storage.create_run(new_run(name))
        for number, name in enumerate(("run_a", "run_b", "run_c")):
            claim = turn(0, "+hook_1", run_id=name, force=True, keep_until_ms=later)
            expect(not (await storage.commit(claim)).conflicts, "force takes what is free or held")
            await world.settle()
            kinds = [
                [logged.event.type for logged in await storage.read_events(RunId(other))]
                for other in ("run_a", "run_b", "run_c")
            ]
            hears = [EventType.HOOK_REVOKED in some for some in kinds]
            expect(hears == [n < number for n in range(3)], "each holder is told once")
        other = await storage.commit(turn(1, "+hook_2", run_id="run_c", force=True))
        expect(other.conflicts == ("hook_2",), "a run's own hook keeps its token")
        facts = (await storage.read_events(RunId("run_c")))[-1].event.facts
        expect(facts == {"token": TOKEN, "run_id": "run_c"}, "as an ordinary conflict")
        await end(world, "run_c")
        before = await storage.read_events(RunId("run_c"))
        claim_of_d = await storage.commit(turn(0, "+hook_1", run_id="run_d", force=True))
        expect(not claim_of_d.conflicts, "an ended run's token is taken, too")
        await world.settle()
        expect((await storage.get_hook(TOKEN)).run_id == "run_d", "it is the taker's")
        expect(await storage.read_events(RunId("run_c")) == before, "an ended run is told nothing")
        await end(world, "run_d")
        await gone(world, "and free after the taker's end")
        await world.catalogue.delete_run(RunId("run_d"))
        await world.catalogue.delete_run(RunId("run_c"))


async def force_is_refused_by_older_runs(case: Case) -> None:
    """A run that cannot be told keeps its token; the conflict says that force was refused."""
    async with case.open() as world:
        storage = world.storage
        await storage.create_run(keyed("run_v", level=0))
        await storage.create_run(new_run("run_t"))
        answer = await storage.commit(turn(0, "+hook_1", run_id="run_t", force=True))
        expect(answer.conflicts == ("hook_1",), "a run of an older level keeps its token")
        facts = (await storage.read_events(RunId("run_t")))[-1].event.facts
        refused = {"token": TOKEN, "run_id": "run_v", "refused": True}
        expect(facts == refused, "the conflict says that force was refused")
        await world.settle()
        await storage.append(resume("run_v", HOOK_0))
        kinds = [logged.event.type for logged in await storage.read_events(RunId("run_v"))]
        expect(EventType.HOOK_REVOKED not in kinds, "nothing is told to who would not know it")


async def no_payload_is_lost_to_force(case: Case) -> None:
    """Payloads that race a forced claim are at the victim before it, or at the taker; once."""
    for round_ in case.rounds(8, full_s=8.0):
        with case.fresh() as make:
            async with make(SystemClock()) as world:
                await _race(world, round_)


async def _race(world: World, after: int) -> None:
    storage, landed = world.storage, list[int]()
    await storage.create_run(keyed("run_v"))
    await storage.create_run(new_run("run_t"))

    async def send(number: int) -> None:
        while True:  # a hook that is gone by now was taken: another has the token
            hook = await storage.get_hook(TOKEN)
            try:
                await storage.append(resume(hook.run_id, hook.hook_id, number))
            except HookNotFoundError:
                continue
            landed.append(number)
            return

    async def take() -> None:
        for _ in range(after):
            await anyio.lowlevel.checkpoint()
        answer = await storage.commit(turn(0, "+hook_1", run_id="run_t", force=True))
        expect(not answer.conflicts, "force takes the token")

    async with anyio.create_task_group() as group:
        for number in range(RESUMES):
            group.start_soon(send, number)
            if number == RESUMES // 2:
                group.start_soon(take)
    expect(sorted(landed) == [*range(RESUMES)], "every payload lands")
    victim = [logged.event for logged in await storage.read_events(RunId("run_v"))]
    taker = [logged.event for logged in await storage.read_events(RunId("run_t"))]
    places = [event.type for event in victim]
    expect(places.count(EventType.HOOK_REVOKED) == 1, "the victim is told once")
    expect(places[-1] is EventType.HOOK_REVOKED, "and takes no payload after it")
    keys = [e.key for e in (*victim, *taker) if e.type is EventType.HOOK_RECEIVED]
    expect(len({*(key.rpartition("/")[2] for key in keys)}) == len(keys), "no payload lands twice")
    expect(len(keys) == RESUMES, "no payload is lost")


async def refuse_resume(world: World, run_id: str, hook: str) -> None:
    """Fail unless the hook takes no payload any more."""
    try:
        await world.storage.append(resume(run_id, hook, 99))
    except (HookNotFoundError, RunEndedError):
        return
    raise AssertionError("a hook that is gone takes no payload")


FORCING = named(
    a_forced_claim_tells_its_victim,
    force_takes_what_it_may,
    force_is_refused_by_older_runs,
    no_payload_is_lost_to_force,
)
