"""Rerun: a run that has ended, started anew from its own beginning."""

from __future__ import annotations

from .._runtime.start import start_again
from ..worlds import open_world
from ._arguments import JsonOption, RunArgument, WorldOption, check_shared, near
from ._errors import run_async
from ._output import print_json, show

__all__ = ("rerun",)


def rerun(run_id: RunArgument, world: WorldOption = None, as_json_: JsonOption = False) -> None:
    """Start an ended run anew: a new run of the same code with the same arguments."""

    async def main() -> None:
        async with open_world(world) as opened, near(opened):
            check_shared(opened)
            successor = await start_again(opened, run_id)
        if as_json_:
            print_json({"id": successor.id})
        else:
            show(successor.id)

    run_async(main)
