"""Imports: the modules and names that a module asks for, resolved and checked. Pure."""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TypeAlias

from tree_sitter import Node

from .._value_class import record_class, value_class
from .builtin_modules import MODULES
from .diagnostics import Diagnostic, diagnose, is_close, suggest
from .node_modules import is_builtin
from .parse import Source, walk

__all__ = (
    "SOURCE_SUFFIXES",
    "Look",
    "ModuleImports",
    "PythonModule",
    "Refusal",
    "candidates",
    "exported_names",
    "levels_above",
    "read_imports",
    "resolve",
)

# No file of another name is ever read, or part of a bundle.
SOURCE_SUFFIXES = (".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx", ".json")
_ENDINGS = (".ts", ".tsx", ".js", ".mjs", "/index.ts", "/index.js")


@value_class
class Refusal:
    """Why a file is not read; nothing of its content."""

    reason: str  # "it is …"
    hint: str = ""


@value_class
class PythonModule:
    """The contents of a Python module that a workflow may import, where they can be seen."""

    steps: frozenset[str] = frozenset()  # by the names that workflows import
    others: Mapping[str, str] = field(default_factory=dict[str, str])  # names of steps -> their ids
    functions: frozenset[str] = frozenset()  # that are no steps
    is_whole: bool = True  # False: modules that are not seen may add steps to it


# Returns the contents of a Python module; None where they are not known.
Look: TypeAlias = "Callable[[str], PythonModule | None]"


@record_class
class ModuleImports:
    """The imports of one module, and problems with them."""

    relative: list[tuple[str, Node, tuple[str, ...]]] = field(
        default_factory=list[tuple[str, Node, tuple[str, ...]]]
    )  # specifier, where, names
    steps: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    absent: list[AbsentModule] = field(default_factory=list["AbsentModule"])
    problems: list[Diagnostic] = field(default_factory=list[Diagnostic])


@value_class
class AbsentModule:
    """An import of a module of Node's, which only a step may have, and no step can use."""

    name: str
    place: int  # of the statement, in bytes
    names: tuple[str, ...]
    problem: Diagnostic  # in a workflow


def resolve(base: str, name: str, is_there: Callable[[str], bool]) -> str | None:
    """The module a relative specifier means, by the guest's own rule."""
    return next((tried for tried in candidates(base, name) if is_there(tried)), None)


def candidates(base: str, name: str) -> list[str]:
    """The modules a relative specifier may mean, the first that is there first; none above."""
    if levels_above(base, name):
        return []
    path = _joined(base, name)
    stem = path.rsplit(".", 1)[0] if path.endswith((".js", ".mjs", ".jsx")) else path
    return [path, *(path + end for end in _ENDINGS), stem + ".ts", stem + ".tsx", stem + ".mts"]


def _joined(base: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), name))


def levels_above(base: str, name: str) -> int:
    """How many folders above the root a relative specifier leads; 0 within it."""
    parts = _joined(base, name).split("/")
    return sum(part == ".." for part in parts)


def read_imports(
    source: Source,
    erased: Source,
    look: Look = lambda name: None,
    *,
    steps: Sequence[Node] = (),
) -> ModuleImports:
    """The imports that are left once types are gone, checked.

    Args:
        source: as written, for excerpts.
        erased: the JavaScript, at the same places.
        look: returns the contents of a Python module; None where they are not known.
        steps: the functions that are JavaScript steps, in order: they may load as they please.
    """
    reader = _Reader(source, erased, look)
    starts = [step.start_byte for step in steps]
    for node in walk(erased.root):
        if node.type in {"import_statement", "export_statement"}:
            reader.statement(node)
        elif node.type == "call_expression":
            outer = bisect_right(starts, node.start_byte) - 1
            if outer < 0 or not any(node.end_byte <= s.end_byte for s in steps[: outer + 1]):
                reader.call(node)
    return reader.imports


class _Reader:
    def __init__(self, source: Source, erased: Source, look: Look) -> None:
        self.source, self.erased, self.look = source, erased, look
        self.imports = ModuleImports()

    def report(self, node: Node, message: str, hint: str) -> None:
        text = self.source.text
        self.imports.problems.append(diagnose(self.source.file, text, node, message, hint=hint))

    def statement(self, node: Node) -> None:
        target = node.child_by_field_name("source")
        if target is None:
            return
        name = self.erased.name(target)
        names = tuple(_names(self.erased, node))
        if name in MODULES:
            self.builtin(node, name, names)
        elif name.startswith("python:"):
            self.python(node, name, names)
        elif name.startswith("."):
            self.imports.relative.append((name, target, names))
        elif is_builtin(name):
            self.absent(node, target, name, names)
        else:
            self.imports.problems.append(self.unknown(target, name))

    def unknown(self, target: Node, name: str) -> Diagnostic:
        hint = (
            'only relative files, "workflow" and "python:…" can be imported; '
            "do what needs a package or the system in a Python step"
        )
        file, text = self.source.file, self.source.text
        return diagnose(file, text, target, f"cannot import {name!r}", hint=hint)

    def absent(self, node: Node, target: Node, name: str, names: tuple[str, ...]) -> None:
        for space in (n for n in walk(node) if n.type == "namespace_import"):
            names += tuple(_members(self.erased, self.erased.name(space.named_children[0])))
        module = AbsentModule(
            name=name, place=node.start_byte, names=names, problem=self.unknown(target, name)
        )
        self.imports.absent.append(module)

    def builtin(self, node: Node, module: str, names: Iterable[str]) -> None:
        exports = MODULES[module]
        for name in names:
            if name not in exports:
                self.report(node, f'"{module}" has no {name!r}', _elsewhere(module, name))

    def python(self, node: Node, module: str, names: tuple[str, ...]) -> None:
        words = {n.type for n in walk(node)}
        target = module.removeprefix("python:")
        if not all(part.isidentifier() for part in target.split(".")):
            self.report(node, f"{target!r} is no Python module's name", 'write "python:pkg.mod"')
        elif "namespace_import" in words or "default" in names or "*" in names:
            self.report(
                node, "Python steps are imported by name", f'write import {{ f }} from "{module}"'
            )
        else:
            table = self.imports.steps.setdefault(module, {})
            table.update({name: f"{target}:{name}" for name in names})
            contents = self.look(target)
            if contents is not None:
                self.steps(node, target, contents)

    def steps(self, statement: Node, target: str, contents: PythonModule) -> None:
        """Report each imported name that is no step of the module."""
        for node in walk(statement):
            if node.type in {"import_specifier", "export_specifier"}:
                name = self.erased.name(node.children_by_field_name("name")[0])
                if name not in contents.steps and (advice := _no_step(target, name, contents)):
                    self.report(node, *advice)

    def call(self, node: Node) -> None:
        function = node.child_by_field_name("function")
        if function is not None and function.type == "import":
            self.report(
                node, "import() is not there in a workflow", "write import at the top of the file"
            )
        elif (
            function is not None
            and function.type == "identifier"
            and self.erased.of(function) == "require"
        ):
            self.report(
                node, "require is not there in a workflow", "write import at the top of the file"
            )


def _elsewhere(module: str, name: str) -> str:
    """A hint for a name that a builtin module has not: the one that has it, or like names."""
    other = next((other for other, exports in MODULES.items() if name in exports), None)
    if other is not None:
        return f'write import {{ {name} }} from "{other}"'
    return suggest(name, MODULES[module])


def _no_step(target: str, name: str, contents: PythonModule) -> tuple[str, str] | None:
    """A message and advice for a name that is no step of a module; None: it may be one."""
    if name in contents.others:
        module, _, step = contents.others[name].partition(":")
        return (
            f"{target}.{name} is the step {contents.others[name]!r}",
            f'write import {{ {step} }} from "python:{module}"',
        )
    if name in contents.functions:
        return f"{target}.{name} is no step", "decorate the function with @step"
    if not contents.is_whole and not is_close(name, contents.steps):
        return None
    message = f"Python module {target!r} has no step {name!r}"
    if contents.steps:
        return message, suggest(name, contents.steps)
    return message, "it has no steps; decorate its functions with @step"


def _members(source: Source, name: str) -> Iterable[str]:
    """The names that are asked of a namespace."""
    for node in walk(source.root):
        if node.type == "member_expression":
            whole, part = (node.child_by_field_name(field) for field in ("object", "property"))
            if whole is not None and part is not None and source.of(whole) == name:
                yield source.name(part)


def _names(source: Source, statement: Node) -> Iterable[str]:
    """The names asked of the other module."""
    for node in walk(statement):
        if node.type in {"import_specifier", "export_specifier"}:
            yield from map(source.name, node.children_by_field_name("name"))
        elif node.type == "import_clause":
            yield from ("default" for c in node.children if c.type == "identifier")
        elif node.type == "*" and statement.type == "export_statement":
            yield "*"


def exported_names(source: Source) -> set[str] | None:
    """The names that a module exports; None if ``export *`` makes that open."""
    exports: set[str] = set()
    for node in source.root.children:
        if node.type != "export_statement":
            continue
        words = {c.type for c in node.children}
        if "*" in words:
            return None
        for space in (c for c in node.children if c.type == "namespace_export"):
            exports.update(source.name(name) for name in space.named_children)
        if "default" in words:
            exports.add("default")
        for spec in (n for n in walk(node) if n.type == "export_specifier"):
            alias = spec.children_by_field_name("alias")
            exports.update(map(source.name, alias or spec.children_by_field_name("name")))
        declaration = node.child_by_field_name("declaration")
        if declaration is not None:
            exports.update(_declared(source, declaration))
    return exports


def _declared(source: Source, declaration: Node) -> Iterable[str]:
    name = declaration.child_by_field_name("name")
    if name is not None:
        yield source.name(name)
    for node in declaration.named_children:
        if node.type == "variable_declarator":
            for pattern in node.children_by_field_name("name"):
                yield from (
                    source.name(n)
                    for n in walk(pattern)
                    if n.type in {"identifier", "shorthand_property_identifier_pattern"}
                )
