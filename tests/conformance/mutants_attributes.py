"""Mutants that break a promise about attributes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mutants import mutant, swap

from perdure.errors import AttributeLimitError
from perdure.model import EventType
from perdure.testing.memory import MemoryWorld

__all__ = ()


@mutant
def appended_attributes_stay_out_of_the_record(world: MemoryWorld) -> None:
    """Attributes that are set from outside a turn are in the log alone."""

    def make(inner: Any) -> Any:
        async def append(asked: Any) -> Any:
            before = world._store.runs[asked.run_id].record.attributes
            answer = await inner(asked)
            run = world._store.runs[asked.run_id]
            run.record = replace(run.record, attributes=before)
            return answer

        return append

    swap(world.storage, "append", make)


@mutant
def attributes_have_no_limit(world: MemoryWorld) -> None:
    """A run takes more than 64 attributes from a step."""

    def make(inner: Any) -> Any:
        async def append(asked: Any) -> Any:
            try:
                return await inner(asked)
            except AttributeLimitError:
                run = world._store.runs[asked.run_id]
                kept = dict(run.record.attributes)
                run.record = replace(run.record, attributes={})
                answer = await inner(asked)
                run.record = replace(run.record, attributes={**kept, **run.record.attributes})
                return answer

        return append

    swap(world.storage, "append", make)


@mutant
def repeated_attributes_are_merged_again(world: MemoryWorld) -> None:
    """An append whose key is there changes the attributes once more."""

    def make(inner: Any) -> Any:
        async def append(asked: Any) -> Any:
            answer = await inner(asked)
            if answer.duplicate and asked.event.type is EventType.ATTRIBUTES_SET:
                run = world._store.runs[asked.run_id]
                merged = {**run.record.attributes, **asked.event.facts}
                run.record = replace(run.record, attributes=merged)
            return answer

        return append

    swap(world.storage, "append", make)
