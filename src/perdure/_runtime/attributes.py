"""Attributes: texts by name that a run is found by, set at its start and by its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Mapping
from typing import cast

from .._core.attributes import fault_of
from .._model.commit import Append
from .._model.events import Event, EventType
from .._model.ids import EntityId, RunId
from ..abc import World
from ..errors import AttributeLimitError, UsageError
from .ambient import workers
from .arguments import checked_attributes, checked_text
from .carrier.writes import Writes
from .fresh_ids import fresh_id
from .metadata import step_metadata
from .worker.lifetime import world_around

__all__ = ("initial_attributes", "set_attributes")


def initial_attributes(value: object, *, allow_reserved: bool) -> dict[str, str]:
    """The attributes that a run is started with.

    Raises:
        UsageError: they are no texts by name, or past a limit.
    """
    texts = checked_attributes(value)
    if texts and (fault := fault_of(texts, allow_reserved=allow_reserved)) is not None:
        raise UsageError(fault)
    return texts


def set_attributes(
    changes: Mapping[str, str | None], *, allow_reserved_attributes: bool = False
) -> Awaitable[None]:
    """In a step: set attributes of its run, durably; ``await`` it.

    In a plain ``def`` step, which has no event loop, it returns once they are written, and there
    is nothing to await. They stay, also if the step fails.

    Args:
        changes: texts by name; None takes an attribute away.
        allow_reserved_attributes: names may begin with ``$``.

    Raises:
        AttributeLimitError: a text or name is too long, a name is reserved or empty, or the run
            would have too many. The step fails by it without a retry, unless it catches it.
        UsageError: no step is running here, or *changes* are no texts by name.
        RunEndedError: the run has ended.
    """
    step_id = step_metadata().id
    texts = _checked(changes)
    fault = fault_of(texts, allow_reserved=allow_reserved_attributes)
    if fault is not None:
        raise AttributeLimitError(fault)
    world, loop = world_around()
    writing = _write(world, step_id, texts)
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop:
        return writing
    future = asyncio.run_coroutine_threadsafe(writing, loop)
    if here is not None:
        return asyncio.wrap_future(future)
    future.result()
    return _Done()


class _Done:
    """Nothing to wait for."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


async def _write(world: World, step_id: str, texts: Mapping[str, str | None]) -> None:
    run, _, entity = step_id.rpartition("/")
    event = Event(
        type=EventType.ATTRIBUTES_SET,
        key=f"attributes/{fresh_id('set')}",
        at_ms=world.now_ms(),
        entity=EntityId(entity),  # who has set them
        facts=dict(texts),
    )
    await Writes(RunId(run), world).append(Append(run_id=RunId(run), event=event, wake=False))
    worker = workers.get(world)
    if worker is not None:
        worker.expect_events(RunId(run))


def _checked(changes: object) -> dict[str, str | None]:
    if not isinstance(changes, Mapping):
        raise UsageError(
            f"set_attributes requires a plain object: a dict of texts by name, not {changes!r}"
        )
    pairs = cast("Mapping[object, object]", changes).items()
    return {
        checked_text("a name of set_attributes", name): None
        if text is None
        else checked_text(f"set_attributes {name!r}", text)
        for name, text in pairs
    }
