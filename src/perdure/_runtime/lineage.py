"""Lineage: the attributes of a run that a step starts, which name its parent and its root."""

from __future__ import annotations

from collections.abc import Mapping

from .._core.children import lineage
from ..abc import World
from ..errors import RunNotFoundError
from .attributes import initial_attributes
from .metadata import entered
from .worker.lifetime import is_around

__all__ = ("with_lineage",)


async def with_lineage(texts: Mapping[str, str], world: World) -> Mapping[str, str]:
    """The attributes of a run that starts here in *world*: with those of a child, in a step.

    A run that a step starts in another world has no parent there.

    Raises:
        UsageError: with them there would be too many.
    """
    step = entered.get(None)
    if step is None or not is_around(world):
        return texts
    try:
        parent = await world.storage.get_run(step.run_id)
    except RunNotFoundError:  # deleted while the step ran
        return texts
    family = lineage(parent.run_id, parent.attributes)
    return initial_attributes({**texts, **family}, allow_reserved=True)
