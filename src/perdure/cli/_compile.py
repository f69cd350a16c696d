"""Compile: the compiler's view of a workflow's file."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from .._runtime.check import check_bundle
from .._runtime.workflow import workflow
from .._vm.guest import default_engine
from ..errors import PerdureError
from ._arguments import JsonOption, RootOption, StepsOption, load_steps
from ._errors import report
from ._output import print_json, show

__all__ = ("compile_file",)


def compile_file(
    file: Annotated[str, typer.Argument(metavar="FILE[#EXPORT]", help="A workflow's file.")],
    steps: StepsOption = None,
    root: RootOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Check a workflow's file, and show the ids of its workflows, steps and classes.

    With --steps its imports are looked up in those modules.
    """
    try:
        load_steps(steps or [])
        bundle = workflow(file, root=root).survey()
        anyio.run(check_bundle, default_engine(), bundle)
    except PerdureError as exc:
        raise typer.Exit(report(exc)) from None
    is_single = "#" in file or len(bundle.workflows) == 1
    single = {
        "workflow": bundle.name,
        "export": bundle.export,
        "digest": bundle.digest,
        "bytes": len(bundle.encoded),
    }
    fields = (single if is_single else {}) | {
        "modules": sorted(bundle.modules),
        "workflows": sorted(bundle.exports),
        "steps": sorted([*bundle.step_ids, *bundle.js_steps]),
        "classes": sorted(bundle.classes),
    }
    if as_json_:
        print_json(fields)
        return
    for name, value in fields.items():
        show(f"{name:10}{', '.join(value) if isinstance(value, list) else value}")
