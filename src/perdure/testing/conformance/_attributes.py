"""Attributes: the promises about those that are set from outside a turn, by one short program."""

from __future__ import annotations

from collections.abc import Awaitable

from ..._model.commit import Append
from ..._model.events import Event, EventType, Fact
from ..._model.ids import EntityId
from ..._model.runs import RunFilter
from ...abc import World
from ...errors import AttributeLimitError
from ._case import RUN, Case, commit_of, expect, named, new_run

__all__ = ("ATTRIBUTES",)

FULL: dict[str, str | None] = {f"a{n}": "x" for n in range(62)}


async def appended_attributes_are_the_runs(case: Case) -> None:
    """An event that sets attributes merges them in the same write, once, up to the limit."""
    async with case.open() as world:
        storage = world.storage
        await storage.create_run(new_run(attributes={"b": "1", "c": "2"}))
        await storage.append(changed("k1", b="3", c=None, d="4"))
        await _has(world, b="3", d="4")
        await storage.append(changed("k1", b="5"))
        await _has(world, b="3", d="4")  # the key was there
        await storage.commit(commit_of(0, expected_position=2, events=(_event("k2", c="6"),)))
        await _has(world, b="3", c="6", d="4")
        await storage.append(changed("k3", c=None, **FULL))
        await _refuses(world, storage.append(changed("k4", e="7")))
        events = (_event("k5", e="7"),)
        await _refuses(world, storage.commit(commit_of(1, expected_position=4, events=events)))
        await storage.append(changed("k6", b=None, e="7"))
        await _has(world, d="4", e="7", **FULL)
        await world.settle()
        page = await world.catalogue.list_runs(RunFilter(attributes={"e": "7", "a9": "x"}))
        expect([run.run_id for run in page.runs] == [RUN], "lists know of them")


def changed(key: str, **facts: Fact) -> Append:
    """An append that sets these."""
    return Append(run_id=RUN, event=_event(key, **facts))


def _event(key: str, **facts: Fact) -> Event:
    step = EntityId("step_1")
    return Event(type=EventType.ATTRIBUTES_SET, key=key, at_ms=2, entity=step, facts=facts)


async def _has(world: World, **texts: str | None) -> None:
    record = await world.storage.get_run(RUN)
    expect(dict(record.attributes) == texts, f"the run has {texts}, not {record.attributes}")


async def _refuses(world: World, write: Awaitable[object]) -> None:
    before = await world.storage.get_run(RUN)
    try:
        await write
    except AttributeLimitError:
        after = await world.storage.get_run(RUN)
        expect(before == after, "a refused write changes nothing")
        return
    raise AssertionError("more than 64 attributes are refused")


ATTRIBUTES = named(appended_attributes_are_the_runs)
