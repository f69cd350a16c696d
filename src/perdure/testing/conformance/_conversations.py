"""Conversations: the promises about levels and hook tokens, each by one short program."""

from __future__ import annotations

from ..._model.commit import Append
from ..._model.events import EventType
from ..._model.ids import RunId
from ..._model.runs import LEVEL, RunFilter
from ..clock import ManualClock
from ._case import Case, append_of, commit_of, event_of, expect, named, new_run

__all__ = ("CONVERSATIONS",)

ABOVE = RunId("run_above")


async def runs_of_a_later_version_are_left_alone(case: Case) -> None:
    """A run above our level is never handed out; it is listed, written to, woken and cancelled."""
    clock = ManualClock()
    async with case.open(clock) as world:
        storage, queue = world.storage, world.queue
        for n in range(40):  # more than a claim asks for, all due before the one that is ours
            await storage.create_run(new_run(f"run_{n:02}", level=LEVEL + 1 + n % 2))
        clock.advance(5)
        await storage.create_run(new_run(ABOVE, level=LEVEL + 1))
        await storage.commit(commit_of(0, run_id=ABOVE, wake_at_ms=clock.now_ms()))
        await storage.append(append_of(run_id=ABOVE))
        await queue.wake(ABOVE, due_ms=0)
        await storage.create_run(new_run())
        clock.advance(5)
        await world.settle()
        waiting = await queue.count_waiting()
        expect(waiting[""] == 1, "only the wakes that can be claimed are counted")
        claims = await queue.claim_wakes(limit=9, visibility_ms=1000)
        expect([one.run_id for one in claims] == ["run_a"], "runs above our level are passed over")
        record = await storage.get_run(ABOVE)
        expect((record.level, record.position) == (LEVEL + 1, 3), "they are read as others are")
        runs = [run.run_id for run in (await world.catalogue.list_runs(RunFilter())).runs]
        expect(ABOVE in runs, "they are listed")
        cancelled = event_of("run/ended", EventType.RUN_CANCELLED)
        await storage.append(Append(run_id=ABOVE, event=cancelled))
        expect((await storage.get_run(ABOVE)).status.is_over, "they are cancelled")


CONVERSATIONS = named(runs_of_a_later_version_are_left_alone)
