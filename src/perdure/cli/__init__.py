"""The command line: ``perdure``, the same as ``python -m perdure``."""

from __future__ import annotations

from typing import Annotated

import typer

import perdure

from . import _compile, _runs
from ._cancel import cancel
from ._certify import certify
from ._health import health
from ._hooks import hooks, resume
from ._inspect import inspect
from ._list import runs
from ._logging import show_logs
from ._move import ANY, former, move
from ._output import show
from ._program import Program
from ._rerun import rerun
from ._serve import serve
from ._stream import stream
from ._types import types
from ._wake import wake
from .demo import demo

__all__ = ("app", "main")

app: typer.Typer = typer.Typer(
    name="perdure",
    cls=Program,
    help="Durable workflows for asyncio Python services.",
    epilog="Exit codes: 0 done, 1 the run failed or a check found a difference, 2 wrong usage, "
    "3 the world cannot be used, 70 a defect of the program, 130 interrupted, "
    "141 nobody reads what it prints.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(is_set: bool) -> None:
    if is_set:
        show(f"perdure {perdure.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    del version  # it was printed


for _command in (
    demo,
    _runs.run,
    _runs.start,
    _runs.worker,
    serve,
    inspect,
    _runs.log,
    stream,
    cancel,
    wake,
    hooks,
    resume,
    health,
    move,
    rerun,
    _runs.verify,
    types,
    certify,
):
    app.command()(_command)
_of_runs = typer.Typer(invoke_without_command=True, subcommand_metavar="")
_of_runs.callback()(runs)
_of_runs.command("copy", hidden=True, context_settings=ANY)(former)
app.add_typer(_of_runs, name="runs")
app.command("compile")(_compile.compile_file)


def main() -> None:
    """Run the command line."""
    show_logs()
    app()
