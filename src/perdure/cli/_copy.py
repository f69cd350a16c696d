"""Copy: a run taken from one world to another."""

from __future__ import annotations

from typing import Annotated

import typer

from .._runtime.inspection import record_json
from .._runtime.transfer import copy_run
from ..worlds import make_world, open_world
from ._arguments import JsonOption, RunArgument, WorldOption, check_shared, near
from ._errors import run_async
from ._output import out, print_json

__all__ = ("copy",)


def copy(
    context: typer.Context,
    run_id: RunArgument,
    to: Annotated[str, typer.Option(metavar="URL", help="The world it is to go to.")],
    world: WorldOption = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for steps that are running.")
    ] = 30.0,
    lose_claims: Annotated[
        bool,
        typer.Option(
            "--lose-claims",
            help="Do not wait: steps that are running count as lost, and run again there.",
        ),
    ] = False,
    as_json_: JsonOption = False,
) -> None:
    """Move a run that has not ended to another world, where it goes on.

    Should it be cut short, the same command completes it.
    """

    if world is None and context.parent is not None:
        world = context.parent.params.get("world")  # perdure runs --world URL copy …

    async def main() -> None:
        make_world(to)  # a URL that nobody serves is told before anything is opened
        async with open_world(world) as source, open_world(to) as target, near(source):
            for opened in (source, target):
                check_shared(opened)
            there = await copy_run(run_id, source, target, timeout=timeout, lose_claims=lose_claims)
            record = await there.info()
        if as_json_:
            print_json({"from": source.url, "to": target.url, "run": record_json(record)})
            return
        out.print(f"{run_id} goes on in {target.url}", markup=False, soft_wrap=True)
        out.print(f"carry it on: perdure worker --world {to} --steps …", markup=False)

    run_async(main)
