"""Types: TypeScript declarations of "workflow", Python steps and classes, for an editor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any

import typer

from .._runtime.parameters import annotation_of
from .._runtime.steps import AnyStep, collect_steps
from .._types import AMBIENT, Declared, declare_module, is_declarable
from ..errors import PerdureError, UsageError
from ._arguments import load_module
from ._errors import report
from ._output import print_source

__all__ = ("types",)


def types(
    modules: Annotated[
        list[str], typer.Argument(metavar="MODULE...", help="Modules with steps or classes.")
    ],
) -> None:
    """Print declarations: perdure types shop.steps > perdure.d.ts

    Of steps, and of classes with fields and enums: those in a module's __all__, or if it has none,
    the public ones that are defined in it.
    """
    steps: dict[str, list[Declared]] = defaultdict(list)
    classes: dict[str, list[type[object]]] = {}
    try:
        for module in map(load_module, modules):
            classes[module.__name__] = _classes_of(module)
            own_steps = collect_steps([module])
            if not own_steps and not classes[module.__name__]:
                raise UsageError(
                    f"module {module.__name__} has no steps, and no classes with fields; decorate "
                    "functions with @step, or name the module that has them"
                )
            for step in own_steps.values():
                home, _, name = step.id.partition(":")
                if name.isidentifier():  # others cannot be imported by name
                    steps[home].append(_declared(name, step))
    except PerdureError as exc:
        raise typer.Exit(report(exc)) from None
    names = sorted({*steps, *(name for name, own_steps in classes.items() if own_steps)})
    parts = [declare_module(name, steps[name], classes.get(name, ())) for name in names]
    print_source("\n".join([AMBIENT, *parts]).removesuffix("\n"))


def _classes_of(module: ModuleType) -> list[type[object]]:
    listed: Sequence[str] | None = getattr(module, "__all__", None)
    names = [name for name in vars(module) if name[0] != "_"] if listed is None else listed
    return [
        value
        for value in (getattr(module, name, None) for name in names)
        if isinstance(value, type)
        and (listed is not None or value.__module__ == module.__name__)
        and is_declarable(value)
    ]


def _declared(name: str, step: AnyStep) -> Declared:
    hints = {key: _hint(step, key) for key in (*step.signature.parameters, "return")}
    return Declared(name=name, signature=step.signature, hints=hints, doc=step.__doc__ or "")


def _hint(step: AnyStep, name: str) -> object:
    try:
        return annotation_of(step.function, name)
    except NameError:  # for type checkers only
        return Any
