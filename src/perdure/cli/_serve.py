"""Serve: a worker and the HTTP app in one process."""

from __future__ import annotations

import gc
import os
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, cast

import anyio
import typer

from .._runtime.step_options import DEFAULT_QUEUE
from .._runtime.worker.worker import Worker
from .._runtime.workflow import Workflow, workflow
from ..abc import World
from ..errors import UsageError
from ..worlds import open_world
from ._arguments import (
    QueueOption,
    RootOption,
    StepsOption,
    WorldOption,
    check_shared,
    load_module,
    load_steps,
)
from ._errors import run_async
from ._output import counted, say
from ._signals import stop_on_signal

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from ..web import Authorize

__all__ = ("serve",)


def serve(
    steps: StepsOption = None,
    queue: QueueOption = None,
    world: WorldOption = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 is any that is free.")] = 8000,
    base_url: Annotated[
        str | None,
        typer.Option(help="The public URL, as clients see it; default: PERDURE_BASE_URL."),
    ] = None,
    flows: Annotated[
        list[str] | None,
        typer.Option(
            "--workflow",
            metavar="NAME=FILE[#EXPORT]",
            help="A workflow that the run API may start; may be given several times.",
        ),
    ] = None,
    authorize: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Says who may use the run API; without it only webhooks and health answer.",
        ),
    ] = None,
    root: RootOption = None,
    drain_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="As of perdure worker.")
    ] = None,
) -> None:
    """Carry runs on, and answer webhooks and the run API, until told to stop."""
    _check_installed()

    async def main() -> int:
        by_id = load_steps(steps or [])
        names = {name: workflow(path, root=root) for name, path in map(_pair, flows or [])}
        allows = None if authorize is None else _function(authorize)
        async with open_world(world) as opened:
            check_shared(opened)
            site = _site(opened, base_url, allows, names)
            worker = Worker(
                opened,
                steps=by_id.values(),
                queues=queue or [DEFAULT_QUEUE],
                drain_timeout=drain_timeout,
            )
            await _serve(site, worker, host, port)
        return worker.statistics()["left_behind"]

    left_behind = run_async(main)
    if left_behind:
        say(f"exited with {counted(left_behind, 'step')} that cannot be cancelled")
        os._exit(0)  # this process would wait for their threads


async def _serve(site: Starlette, worker: Worker, host: str, port: int) -> None:
    """Serve until a signal; the HTTP server stops first, so that held callers are answered."""
    from ..web.server import Server, listen  # optional: the extra perdure[web]

    server = Server(site)

    def stop(_: anyio.CancelScope) -> None:
        say("draining: waiting for requests and running steps; signal again to exit at once")
        server.stop()

    def leave() -> None:
        say("exited at once; another worker repeats running steps")

    with closing(listen(host, port)) as listener:
        address, number = listener.getsockname()[:2]
        name = f"[{address}]" if ":" in address else address
        async with stop_on_signal(stop, leave), worker:
            say(f"working on {worker.world.url}, answering at http://{name}:{number}")
            gc.freeze()  # as perdure worker does
            await server.serve([listener])


def _site(
    world: World,
    base_url: str | None,
    authorize: Authorize | None,
    workflows: dict[str, Workflow],
) -> Starlette:
    from ..web import app  # optional: the extra perdure[web]

    return app(world, base_url=base_url, authorize=authorize, workflows=workflows)


def _check_installed() -> None:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise typer.BadParameter(
            f"perdure serve needs {' and '.join(missing)}: pip install 'perdure[web]'"
        )


def _pair(text: str) -> tuple[str, str]:
    name, mark, path = text.partition("=")
    if not (mark and name and path):
        raise UsageError(f"--workflow {text!r}: write NAME=FILE, for example pay=flows/pay.ts")
    return name, path


def _function(text: str) -> Authorize:
    """The function that the option names.

    Raises:
        UsageError: there is none.
    """
    name, _, attribute = text.partition(":")
    if not (name and attribute):
        raise UsageError(f"--authorize {text!r}: write MODULE:FUNCTION, for example shop:authorize")
    function: object = load_module(name)
    for part in attribute.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise UsageError(f"--authorize {text!r}: module {name} has no such function")
    return cast("Authorize", function)
