"""Move: a run goes to another world, or comes back."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated, TypeAlias

import typer

from .._runtime.inspect.inspection import record_json
from .._runtime.move import bring_back, keep_here, move_run
from ..abc import World
from ..display import shown_url
from ..errors import UsageError, WorldError
from ..worlds import make_world, open_world
from ._arguments import JsonOption, RunArgument, WorldOption, check_shared, near
from ._errors import report, run_async
from ._output import print_json, say, show

__all__ = ("ANY", "former", "move")

# Settings of a command that takes any arguments.
ANY = {"allow_extra_args": True, "ignore_unknown_options": True}
SHELTER = "sqlite:///.perdure/kept.db"  # where a run is for the moment in which it is put back
LIVES_TWICE = (
    "should that world have taken the run in, and come back, the run lives twice and its steps run "
    "twice; before a worker works there, end it there"
)
KeepOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--keep-here",
        help="Bring it back, or if that world is gone for good, have it go on here from what it "
        "left. Should that world come back with the run, it would live twice.",
    ),
]


def move(
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
    keep: KeepOption = False,
    as_json_: JsonOption = False,
) -> None:
    """Move a run that has not ended to another world, where it goes on.

    Should it be cut short, the same command completes it.
    """

    async def main() -> None:
        other = make_world(to)  # a URL that nobody serves is told before anything is opened
        async with AsyncExitStack() as stack:
            home = await stack.enter_async_context(open_world(world))
            for one in (home, other):
                check_shared(one)
            away = await _reach(stack, to, needed=not keep)
            source, target = (away or other, home) if back or keep else (home, other)
            async with near(source if away is not None else home):
                if away is None:
                    shelter = await stack.enter_async_context(open_world(SHELTER))
                    run = await keep_here(run_id, home, shelter, to=other.url)
                    _warn(f"{LIVES_TWICE}: perdure cancel {run_id} --world {shown_url(to)}")
                else:
                    carry = bring_back if back or keep else move_run
                    run = await carry(run_id, home, away, timeout=timeout, lose_claims=lose_claims)
            record = await run.info()
        if as_json_:
            print_json({"from": source.url, "to": target.url, "run": record_json(record)})
            return
        show(f"{run_id} goes on in {target.url}")
        where = target.url if target is home else shown_url(to)
        show(f"carry it on: perdure worker --world {where} --steps MODULE")

    run_async(main)


def former() -> None:
    """Refuse the name that ``perdure move`` once had."""
    refused = UsageError("perdure runs copy is now perdure move: perdure move RUN --to URL")
    raise typer.Exit(report(refused))


async def _reach(stack: AsyncExitStack, url: str, *, needed: bool) -> World | None:
    """The world, open; None if it does not open and need not."""
    try:
        return await stack.enter_async_context(open_world(url))
    except WorldError as exc:
        if needed:
            raise
        _warn(f"not reached: {exc}")
        return None


def _warn(text: str) -> None:
    say(text, style="yellow")
