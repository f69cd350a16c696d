"""Health: whether a world answers, and whether a worker carries its runs."""

from __future__ import annotations

from typing import Annotated

import typer

from .._protocol.json_values import Json
from .._runtime.health import Health, check_health
from ..display import shown_url
from ..worlds import open_world
from ._arguments import JsonOption, WorldOption, check_shared
from ._errors import FAILED, WORLD, run_async
from ._output import counted, print_json, show

__all__ = ("health",)


def health(
    world: WorldOption = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds that a worker may take; the world has as long, or five.")
    ] = 5.0,
    as_json_: JsonOption = False,
) -> None:
    """See whether the world answers, and whether a worker carries a run; exit code 1 or 3 if not.

    It starts a run of one line, and deletes it.
    """

    async def main() -> tuple[str, Health]:
        async with open_world(world) as opened:
            check_shared(opened)
            return shown_url(opened.url), await check_health(timeout, world=opened)

    url, state = run_async(main)
    if as_json_:
        print_json(_json(url, state))
    else:
        _print(url, state)
    if not state.is_healthy:
        raise typer.Exit(FAILED if state.is_reachable else WORLD)


def _json(url: str, state: Health) -> Json:
    return {
        "healthy": state.is_healthy,
        "world": url,
        "reachable": state.is_reachable,
        "worked": state.is_worked,
        "world_ms": state.world_ms,
        "worker_ms": state.worker_ms,
        "waiting": state.waiting,
        "error": state.error,
    }


def _print(url: str, state: Health) -> None:
    if state.is_reachable:
        show(f"{url} answers in {state.world_ms:g} ms")
    if state.waiting:
        show(f"{counted(state.waiting, 'item')} of work wait for a worker")
    if state.is_worked:
        show(f"a worker carried a run in {state.worker_ms:g} ms")
    if state.error is not None:
        show(state.error)
