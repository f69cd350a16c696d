"""Mutants that lose, double or forget something of a run that moves between worlds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio.lowlevel
from mutants import mutant, swap

from perdure.errors import RunExistsError
from perdure.model import Departure, RunCopy, RunId, RunRecord, RunStatus
from perdure.testing.memory import MemoryWorld

__all__ = ("a_departure_forgets_claims",)


@mutant
def a_departure_forgets_claims(world: MemoryWorld) -> None:
    """A claim that is live when a run departs does not count as lost."""

    def make(depart: Any) -> Any:
        async def changed(departure: Departure) -> RunRecord:
            if departure.lose_claims:
                for stored in world._store.messages.values():
                    stored.lease = None
            record: RunRecord = await depart(departure)
            return record

        return changed

    swap(world.transfer, "depart", make)


@mutant
def a_departed_run_goes_on(world: MemoryWorld) -> None:
    """A run that has departed takes turns and results still."""

    def make(depart: Any) -> Any:
        async def changed(departure: Departure) -> RunRecord:
            record: RunRecord = await depart(departure)
            run = world._store.runs[departure.run_id]
            run.record = replace(run.record, status=RunStatus.RUNNING, ended_at_ms=None)
            return record

        return changed

    swap(world.transfer, "depart", make)


@mutant
def a_departure_ignores_running_steps(world: MemoryWorld) -> None:
    """A run departs while its step runs, though nobody asked to lose it."""

    def make(depart: Any) -> Any:
        async def changed(departure: Departure) -> RunRecord:
            record: RunRecord = await depart(replace(departure, lose_claims=True))
            return record

        return changed

    swap(world.transfer, "depart", make)


@mutant
def a_departed_run_is_deleted(world: MemoryWorld) -> None:
    """A run that is not known to have arrived can be deleted."""

    def make(delete: Any) -> Any:
        async def changed(run_id: RunId) -> None:
            run = world._store.runs.get(run_id)
            if run is not None and run.record.status is RunStatus.MOVING:
                run.record = replace(run.record, status=RunStatus.MOVED)
            await delete(run_id)

        return changed

    swap(world.catalogue, "delete_run", make)


@mutant
def an_arrival_begins_attempts_anew(world: MemoryWorld) -> None:
    """A message that arrives has forgotten how often it was claimed."""

    def make(arrive: Any) -> Any:
        async def changed(copy: RunCopy) -> RunRecord:
            record: RunRecord = await arrive(copy)
            for stored in world._store.messages.values():
                stored.claims = 0
            return record

        return changed

    swap(world.transfer, "arrive", make)


@mutant
def an_arrival_is_repeated(world: MemoryWorld) -> None:
    """A copy that arrives again takes the run back to where it was."""

    def make(arrive: Any) -> Any:
        async def changed(copy: RunCopy) -> RunRecord:
            run = world._store.runs.pop(copy.record.run_id, None)
            if run is not None and run.record.created_at_ms != copy.record.created_at_ms:
                world._store.runs[copy.record.run_id] = run
                raise RunExistsError(copy.record.run_id, status=run.record.status)
            for token, hook in list(world._store.hooks.items()):
                if hook.run_id == copy.record.run_id:
                    del world._store.hooks[token]
            record: RunRecord = await arrive(copy)
            return record

        return changed

    swap(world.transfer, "arrive", make)


@mutant
def an_arrival_comes_in_parts(world: MemoryWorld) -> None:
    """An arrival that is refused for a token has left its messages."""

    def make(arrive: Any) -> Any:
        async def changed(copy: RunCopy) -> RunRecord:
            try:
                record: RunRecord = await arrive(copy)
            except Exception:
                others = dict(world._store.hooks)
                world._store.hooks.clear()
                await arrive(copy)
                del world._store.runs[copy.record.run_id]
                world._store.hooks.update(others)
                raise
            return record

        return changed

    swap(world.transfer, "arrive", make)


@mutant
def a_stream_arrives_without_its_writes(world: MemoryWorld) -> None:
    """A repeated write to a stream that has arrived adds its chunks again."""

    def make(arrive: Any) -> Any:
        async def changed(copy: RunCopy) -> RunRecord:
            streams = tuple(replace(stream, writes=()) for stream in copy.streams)
            record: RunRecord = await arrive(replace(copy, streams=streams))
            return record

        return changed

    swap(world.transfer, "arrive", make)


@mutant
def a_departure_is_two_moments(world: MemoryWorld) -> None:
    """What is claimed while a run departs is not in what it leaves with."""

    def make(depart: Any) -> Any:
        async def changed(departure: Departure) -> RunRecord:
            seen = {name: stored.claims for name, stored in world._store.messages.items()}
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            for name, attempt in seen.items():
                stored = world._store.messages.get(name)
                if stored is not None and stored.claims > attempt:
                    stored.claims, stored.lease = attempt, None
            record: RunRecord = await depart(departure)
            return record

        return changed

    swap(world.transfer, "depart", make)


@mutant
def a_departure_keeps_its_hooks(world: MemoryWorld) -> None:
    """The tokens of a run that has departed stay taken."""

    def make(depart: Any) -> Any:
        async def changed(departure: Departure) -> RunRecord:
            kept = {t: replace(h, keep_until_ms=2**50) for t, h in world._store.hooks.items()}
            record: RunRecord = await depart(departure)
            world._store.hooks.update(kept)
            return record

        return changed

    swap(world.transfer, "depart", make)


@mutant
def an_arrival_forgets_its_timer(world: MemoryWorld) -> None:
    """A run that arrives is due when somebody wakes it, not when it was to be."""

    def make(arrive: Any) -> Any:
        async def changed(copy: RunCopy) -> RunRecord:
            there = copy.record.run_id in world._store.runs
            record: RunRecord = await arrive(copy)
            wake = world._store.runs[copy.record.run_id].wake
            if not there and wake is not None:
                wake.due_ms = None
            return record

        return changed

    swap(world.transfer, "arrive", make)
