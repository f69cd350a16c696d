"""Assembly: which modules, steps and classes a bundle holds, from the forms of its files. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TypeAlias

from .._value_class import value_class
from .diagnostics import Diagnostic, diagnose
from .forms import FileForms, Form
from .imports import ModuleImports
from .parse import Source
from .paths import module_path

__all__ = ("File", "Parts", "assemble", "check_ids")

# Returns the specifier that a name means in a module; None if there is no such file.
Find: TypeAlias = "Callable[[str, str], str | None]"


@value_class
class File:
    """A file that a bundle may be made of."""

    source: Source
    imports: ModuleImports
    forms: FileForms


@value_class
class Parts:
    """The parts of a bundle that its files decide."""

    modules: dict[str, str]
    step_modules: dict[str, str] = field(default_factory=dict[str, str])
    js_steps: dict[str, dict[str, object]] = field(default_factory=dict[str, dict[str, object]])
    workflows: dict[str, str] = field(default_factory=dict[str, str])  # id -> module#export


def assemble(entry: str, files: Mapping[str, File], find: Find) -> Parts:
    """The parts of a bundle whose workflow is in *entry*."""
    with_steps = [name for name, file in files.items() if file.forms.steps]
    if not with_steps:
        return Parts(modules={name: file.forms.workflow().script for name, file in files.items()})
    modules = _reached([entry], files, find, FileForms.workflow)
    step_modules = _reached(with_steps, files, find, FileForms.step)
    return Parts(
        modules=modules,
        step_modules=step_modules,
        js_steps={
            step.id: {
                "module": name,
                "key": step.id.rpartition("//")[2],
                "line": step.line,
                "nested": step.is_nested,
                "this": step.takes_this,
            }
            for name in with_steps
            for step in files[name].forms.steps
        },
        workflows={
            f"workflow//{module_path(name)}//{workflow.path}": f"{name}#{workflow.name}"
            for name, file in files.items()
            for workflow in file.forms.workflows
        },
    )


def _reached(
    first: list[str],
    files: Mapping[str, File],
    find: Find,
    write: Callable[[FileForms], Form],
) -> dict[str, str]:
    """The scripts of these files in one form, and of all that they import in it."""
    scripts: dict[str, str] = {}
    pending = list(first)
    while pending:
        name = pending.pop()
        if name in scripts:
            continue
        form = write(files[name].forms)
        scripts[name] = form.script
        for imported, node, _ in files[name].imports.relative:
            statement = node.parent
            target = find(name, imported)
            is_kept = statement is not None and statement.start_byte not in form.dropped
            if target is not None and is_kept:
                pending.append(target)
    return scripts


def check_ids(files: Mapping[str, File]) -> list[Diagnostic]:
    """A problem for each step and workflow whose id another has."""
    problems: list[Diagnostic] = []
    places: dict[str, str] = {}
    for name, file in files.items():
        for id_, node in file.forms.identities():
            if id_ not in places:
                places[id_] = f"{name}:{node.start_point[0] + 1}"
                continue
            kind, _, _ = id_.partition("//")
            message = f"another {kind} has the id {id_!r}"
            hint = f"{places[id_]} has it, too: rename one of them"
            problems.append(diagnose(name, file.source.text, node, message, hint=hint))
    return problems
