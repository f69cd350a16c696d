"""Assembly: which modules, steps and classes a bundle holds, from the forms of its files. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from .._value_class import value_class
from .diagnostics import Diagnostic, diagnose
from .forms import FileForms, Form
from .imports import AbsentModule, ModuleImports
from .node_modules import stand_in
from .parse import Source
from .paths import module_path
from .rewriting import quoted

if TYPE_CHECKING:
    from .step_functions import StepFunction
    from .value_classes import ValueClass

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
    classes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    workflows: dict[str, str] = field(default_factory=dict[str, str])  # id -> module#export
    problems: list[Diagnostic] = field(default_factory=list[Diagnostic])


def assemble(entry: str, files: Mapping[str, File], find: Find) -> Parts:
    """The parts of a bundle whose workflow is in *entry*."""
    classes: Mapping[str, Sequence[ValueClass]] = {}
    if any(file.forms.classes for file in files.values()):
        from .value_classes import extending

        classes = extending({name: file.forms.classes for name, file in files.items()})
    js_steps = {
        step.id: _entry(name, step) for name, file in files.items() for step in file.forms.steps
    }
    parts = Parts(
        modules={},
        js_steps=js_steps,
        classes={
            one.id: {"module": name, "key": one.name}
            for name, members in classes.items()
            for one in members
        },
        workflows={
            f"workflow//{module_path(name)}//{workflow.path}": f"{name}#{workflow.name}"
            for name, file in files.items()
            for workflow in file.forms.workflows
        },
    )
    if not (js_steps or classes):
        parts.modules.update((name, file.forms.workflow().script) for name, file in files.items())
        return parts
    write = _Writer(files, find, classes)
    parts.modules.update(write.reached([entry, *classes], FileForms.workflow))
    parts.modules[entry] += _imports(entry, sorted(classes))
    parts.problems.extend(module.problem for module in write.absent)
    if js_steps:
        with_steps = [name for name, file in files.items() if file.forms.steps]
        parts.step_modules.update(write.reached([*with_steps, *classes], FileForms.step))
        parts.step_modules.update(_stand_ins(write.absent))
    return parts


def _stand_ins(modules: Iterable[AbsentModule]) -> dict[str, str]:
    """Modules that stand for those of Node's that are imported."""
    names: dict[str, set[str]] = {}
    for module in modules:
        names.setdefault(module.name, set()).update(module.names)
    return {name: stand_in(name, exports) for name, exports in names.items()}


def _entry(module: str, step: StepFunction) -> dict[str, object]:
    return {
        "module": module,
        "key": step.id.rpartition("//")[2],
        "line": step.line,
        "nested": step.is_nested,
        "this": step.takes_this,
    }


def _imports(entry: str, modules: Iterable[str]) -> str:
    """Imports of all modules with classes that cross."""
    folder = posixpath.dirname(entry)
    paths = [posixpath.relpath(module, folder or ".") for module in modules if module != entry]
    return "".join(f"\n;import {quoted(p if p[:1] == '.' else f'./{p}')};" for p in paths)


class _Writer:
    def __init__(
        self, files: Mapping[str, File], find: Find, classes: Mapping[str, Sequence[ValueClass]]
    ) -> None:
        self.files, self.find, self.classes = files, find, classes
        self.absent: list[AbsentModule] = []  # those that the last form has

    def reached(
        self, first: Iterable[str], write: Callable[[FileForms, Sequence[ValueClass]], Form]
    ) -> dict[str, str]:
        """The scripts of these files in one form, and of all that they import in it."""
        scripts: dict[str, str] = {}
        self.absent.clear()
        pending = list(first)
        while pending:
            name = pending.pop()
            if name in scripts:
                continue
            file = self.files[name]
            form = write(file.forms, self.classes.get(name, ()))
            scripts[name] = form.script
            self.absent += (m for m in file.imports.absent if m.place not in form.dropped)
            for imported, node, _ in file.imports.relative:
                statement = node.parent
                target = self.find(name, imported)
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
