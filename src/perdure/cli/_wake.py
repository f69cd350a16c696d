"""Wake: sleeps of a run, ended before their time."""

from __future__ import annotations

from typing import Annotated

import typer

from .._runtime.run import get_run
from ..worlds import open_world
from ._arguments import JsonOption, RunArgument, WorldOption, near
from ._errors import run_async
from ._output import counted, print_json, show

__all__ = ("wake",)


def wake(
    run_id: RunArgument,
    waits: Annotated[
        list[str] | None, typer.Argument(metavar="[WAIT]...", help="Only these: wait_3.")
    ] = None,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """End the sleeps of a run before their time."""

    async def main() -> None:
        async with open_world(world) as opened, near(opened):
            count = await get_run(run_id, opened).wake(waits or None)
        if as_json_:
            print_json({"id": run_id, "waits": count})
        else:
            show(f"{counted(count, 'sleep')} ended")

    run_async(main)
