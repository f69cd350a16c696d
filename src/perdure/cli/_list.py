"""List: the runs of a world, a page at a time."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

import typer

from .._model.runs import RunStatus
from .._protocol.json_values import Json
from .._runtime.inspect.inspection import record_json
from .._runtime.inspect.listing import list_runs
from ..display import shown_url
from ..worlds import open_world
from ._arguments import AttributesOption, JsonOption, WorldOption, parse_attributes
from ._errors import run_async
from ._output import counted, print_json, say, show_table, shown_status, to_second

__all__ = ("runs",)


def runs(
    context: typer.Context,
    status: Annotated[RunStatus | None, typer.Option(help="Only these.")] = None,
    name: Annotated[str | None, typer.Option("--workflow", help="Only of this workflow.")] = None,
    attribute: AttributesOption = None,
    error: Annotated[
        str | None, typer.Option(help="Only those that failed with this: FruitlessTurnsError.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest first.")] = 100,
    after: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on where a list before ended.")
    ] = None,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """List runs, the newest first."""
    if context.invoked_subcommand is not None:
        return

    async def main() -> None:
        async with open_world(world) as opened:
            page = await list_runs(
                status=status,
                workflow=name,
                attributes=parse_attributes(attribute),
                error=error,
                limit=limit,
                cursor=after,
                world=opened,
            )
        rows = [record_json(record) for record in page.runs]
        if as_json_:
            print_json(rows)
        else:
            _print(rows)
        if page.cursor is not None:
            filters = {"--status": status, "--workflow": name, "--error": error}
            where = None if world is None else shown_url(world)
            options = {**filters, "--limit": limit, "--world": where, "--after": page.cursor}
            same = [f"--attribute {shlex.quote(pair)}" for pair in attribute or ()]
            command = " ".join([_command(options), *same])
            say(f"{counted(len(rows), 'run')}, and there is more: {command}")

    run_async(main)


def _print(runs: list[Json]) -> None:
    rows = [
        [run["id"], run["workflow"], shown_status(run), to_second(run["created_at"])]
        for run in runs
    ]
    show_table(("run", "workflow", "status", "created"), rows, whole=("status", "created"))


def _command(options: Mapping[str, object]) -> str:
    words = [f"{name} {shlex.quote(str(value))}" for name, value in options.items() if value]
    return " ".join(["perdure runs", *words])
