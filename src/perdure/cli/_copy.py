"""Copy: a run taken from one world to another."""

from __future__ import annotations

from typing import Annotated

import typer

from .._runtime.inspection import record_json
from .._runtime.transfer import bring_back, copy_run
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
    back: Annotated[
        bool,
        typer.Option(
            "--back", help="Bring it back from there; a move that was cut short is completed first."
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
        async with open_world(world) as home, open_world(to) as away:
            for opened in (home, away):
                check_shared(opened)
            source, target = (away, home) if back else (home, away)
            move = bring_back if back else copy_run
            async with near(source):
                run = await move(run_id, home, away, timeout=timeout, lose_claims=lose_claims)
            record = await run.info()
        if as_json_:
            print_json({"from": source.url, "to": target.url, "run": record_json(record)})
            return
        out.print(f"{run_id} goes on in {target.url}", markup=False, soft_wrap=True)
        where = target.url if back else to  # as it was given, with what is secret in it
        out.print(f"carry it on: perdure worker --world {where} --steps …", markup=False)

    run_async(main)
