"""Stream: what a run's steps wrote to one of its streams, for people and scripts."""

from __future__ import annotations

import base64
import json
from typing import Annotated

import typer

from .._protocol.json_values import Json, as_json
from .._runtime.run import get_run
from .._runtime.streams.readable import Readable
from ..abc import World
from ..errors import UsageError
from ..values import Rewind, Stream
from ..worlds import open_world
from ._arguments import JsonOption, RunArgument, WorldOption, near
from ._errors import run_async
from ._output import counted, print_json, say, show

__all__ = ("stream",)

_LINES = 1000


def stream(
    run_id: RunArgument,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="As inspect lists it, or a namespace.")
    ] = "out",
    start: Annotated[
        int, typer.Option(help="The first chunk's index; below 0 it counts from the end.")
    ] = 0,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more, until the stream or the run ends.")
    ] = False,
    world: WorldOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Print the chunks of a stream of a run: texts as they are, other values as JSON."""

    async def main() -> None:
        async with open_world(world) as opened, near(opened):
            await _check_there(opened, run_id, name, follow=follow)
            if name == "log":
                for line in await get_run(run_id, opened).log_lines(start=start):
                    print_json(line) if as_json_ else show(line)
                return
            reader = Readable[object](Stream(run_id, _whole(name)), start, world=opened)
            if follow:
                async for value in reader:
                    _print(value, reader.index - 1, as_json_=as_json_)
            else:
                await _print_pages(reader, as_json_=as_json_)

    run_async(main)


def _whole(name: str) -> str:
    return name if name == "out" or name.startswith("out/") else f"out/{name}"


async def _check_there(world: World, run_id: str, name: str, *, follow: bool) -> None:
    if follow and name == "log":
        raise UsageError("--follow is for what steps write; the console: perdure log RUN")
    names = [info.name for info in await get_run(run_id, world).streams()]
    wanted = name if name == "log" else _whole(name)
    if not follow and wanted not in names:
        there = f"there is {', '.join(names)}" if names else "nobody has written any"
        raise UsageError(f"run {run_id} has no stream {wanted}: {there}; --follow waits for it")


async def _print_pages(reader: Readable[object], *, as_json_: bool) -> None:
    while True:
        values = await reader.page(_LINES)
        if not values:
            return
        for index, value in enumerate(values, start=reader.index - len(values)):
            _print(value, index, as_json_=as_json_)


def _print(value: object, index: int, *, as_json_: bool) -> None:
    if as_json_:
        print_json(_fields(value) | {"index": index})
    elif isinstance(value, Rewind):
        count = sum(end - first for first, end in value.void)
        say(f"attempt {value.attempt}: {counted(count, 'chunk')} from {value.index} on void")
    elif isinstance(value, bytes):
        show(value.decode(errors="backslashreplace"))
    else:
        show(value if isinstance(value, str) else json.dumps(as_json(value), ensure_ascii=False))


def _fields(value: object) -> Json:
    match value:
        case Rewind():
            void = [list(span) for span in value.void]
            return {"rewind": {"attempt": value.attempt, "void": void}}
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case _:
            return {"value": as_json(value)}
