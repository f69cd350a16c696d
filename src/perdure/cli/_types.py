"""Types: TypeScript declarations of "workflow" and of Python steps, for an editor."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

import typer

from .._runtime.parameters import annotation_of
from .._runtime.registry import AnyStep
from .._types import AMBIENT, Declared, declare_module
from ..errors import PerdureError
from ._arguments import load_steps
from ._errors import report
from ._output import print_source

__all__ = ("types",)


def types(
    modules: Annotated[list[str], typer.Argument(metavar="MODULE...", help="Modules with steps.")],
) -> None:
    """Print declarations: perdure types shop.steps > perdure.d.ts"""
    try:
        steps = load_steps(modules)
    except PerdureError as exc:
        raise typer.Exit(report(exc)) from None
    found: dict[str, list[Declared]] = defaultdict(list)
    for step in steps.values():
        module, _, name = step.id.partition(":")
        if name.isidentifier():  # others cannot be imported by name
            found[module].append(_declared(name, step))
    parts = [AMBIENT, *[declare_module(module, found[module]) for module in sorted(found)]]
    print_source("\n".join(parts).removesuffix("\n"))


def _declared(name: str, step: AnyStep) -> Declared:
    hints = {known: _hint(step, known) for known in (*step.signature.parameters, "return")}
    return Declared(name=name, signature=step.signature, hints=hints, doc=step.__doc__ or "")


def _hint(step: AnyStep, name: str) -> object:
    try:
        return annotation_of(step.function, name)
    except NameError:  # for type checkers only
        return Any
