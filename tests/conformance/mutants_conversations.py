"""Mutants that break a promise about levels or hook tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mutants import mutant, swap

from perdure.model import LEVEL
from perdure.testing.memory import MemoryWorld

__all__ = ()


@mutant
def levels_are_ignored(world: MemoryWorld) -> None:
    """A worker is handed a run that it does not know how to carry."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            return await inner(replace(new, level=min(new.level, LEVEL)))

        return create_run

    swap(world.storage, "create_run", make)


@mutant
def higher_runs_starve_ours(world: MemoryWorld) -> None:
    """Runs above our level take the places of a claim, though they are not handed out."""

    def make(inner: Any) -> Any:
        async def claim_wakes(*, limit: int, **asked: Any) -> Any:
            runs = world._store.runs.values()
            hidden = sum(not run.record.is_known for run in runs)
            return await inner(limit=limit - hidden, **asked)

        return claim_wakes

    swap(world.queue, "claim_wakes", make)


@mutant
def secrets_are_anew(world: MemoryWorld) -> None:
    """A run that is started again has the secret of the second start."""

    def make(inner: Any) -> Any:
        async def create_run(new: Any) -> Any:
            _, is_new = await inner(new)
            run = world._store.runs[new.run_id]
            run.record = replace(run.record, secret=new.secret)
            return run.record, is_new

        return create_run

    swap(world.storage, "create_run", make)
