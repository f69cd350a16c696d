"""Directives: which functions are workflows, and directives that are wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from .._value_class import value_class
from .diagnostics import Diagnostic, diagnose
from .parse import Source, walk

__all__ = ("FoundWorkflow", "find_workflows")

WORKFLOW = "use workflow"
_FUNCTIONS = frozenset(
    {
        "function_declaration",
        "function_expression",
        "arrow_function",
        "generator_function_declaration",
        "generator_function",
        "method_definition",
    }
)


@value_class
class FoundWorkflow:
    """A workflow function."""

    name: str
    line: int
    column: int


def find_workflows(source: Source) -> tuple[list[FoundWorkflow], list[Diagnostic]]:
    """The exported workflows of a file, and every misuse of a directive."""
    finder = _Finder(source)
    for node in walk(source.root):
        if node.type == "expression_statement":
            finder.check(node)
    if finder.whole_file:
        finder.take_all()
    return finder.workflows, finder.problems


class _Finder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.workflows: list[FoundWorkflow] = []
        self.problems: list[Diagnostic] = []
        self.whole_file = False

    def report(self, node: Node, message: str, hint: str = "") -> None:
        source = self.source
        self.problems.append(diagnose(source.file, source.text, node, message, hint=hint))

    def check(self, statement: Node) -> None:
        inner = statement.named_children[0] if statement.named_children else None
        if inner is None or inner.type not in {"string", "template_string"}:
            return
        text = self.source.of(inner)[1:-1]
        if not _resembles_directive(text):
            return
        if re.fullmatch(r"use\s+step", text, re.IGNORECASE):
            self.report(
                inner,
                "JavaScript steps are not there yet",
                'write the step in Python and import it: import { f } from "python:pkg.mod"',
            )
        elif text != WORKFLOW or inner.type == "template_string":
            self.report(inner, f"unknown directive {self.source.of(inner)}", f'write "{WORKFLOW}"')
        else:
            self.place(statement, inner)

    def place(self, statement: Node, directive: Node) -> None:
        parent = statement.parent
        if not _is_first(statement):
            self.report(
                directive, f'"{WORKFLOW}" must be the first statement of its function', "move it up"
            )
        elif parent is not None and parent.type == "program":
            self.whole_file = True
        elif parent is None or parent.parent is None or parent.parent.type not in _FUNCTIONS:
            self.report(
                directive,
                f'"{WORKFLOW}" stands in no function',
                "make it the first statement of an async function",
            )
        else:
            self.take(parent.parent)

    def take(self, function: Node) -> None:
        words = {c.type for c in function.children}
        if "generator" in function.type or "*" in words:
            self.report(function, "a workflow cannot be a generator", "write async function")
        elif "async" not in words:
            self.report(function, "a workflow must be async", "write async function")
        elif function.type == "method_definition":
            self.report(
                function, "a workflow cannot be a method", "write an exported async function"
            )
        else:
            self.add(function)

    def add(self, function: Node) -> None:
        name = _exported_name(self.source, function)
        if name is None:
            self.report(function, "a workflow must be exported", "write export before it")
            return
        row, column = function.start_point
        self.workflows.append(FoundWorkflow(name=name, line=row + 1, column=column + 1))

    def take_all(self) -> None:
        names = {workflow.name for workflow in self.workflows}
        for function in _top_functions(self.source.root):
            name = _exported_name(self.source, function)
            if name and name not in names:
                names.add(name)
                self.take(function)


def _top_functions(root: Node) -> Iterator[Node]:
    """The functions a file declares at its top, exported or not."""
    for statement in root.children:
        fields = (statement.child_by_field_name(name) for name in ("declaration", "value"))
        outer = next((node for node in fields if node is not None), statement)
        declared = (n for n in outer.named_children if n.type == "variable_declarator")
        inner = (node.child_by_field_name("value") for node in declared)
        yield from (n for n in (outer, *inner) if n is not None and n.type in _FUNCTIONS)


def _resembles_directive(text: str) -> bool:
    if len(text) > 24 or not text.lower().lstrip().startswith("us"):
        return False
    from difflib import SequenceMatcher  # for errors alone

    plain = " ".join(text.lower().split())
    return any(
        SequenceMatcher(None, plain, directive).ratio() > 0.8
        for directive in (WORKFLOW, "use step")
    )


def _is_first(statement: Node) -> bool:
    before = statement.prev_named_sibling
    while before is not None and before.type == "comment":
        before = before.prev_named_sibling
    return before is None or before.type == "hash_bang_line"


def _exported_name(source: Source, function: Node) -> str | None:
    """The name under which the file exports a function, if it does."""
    name_node = function.child_by_field_name("name")
    holder = function.parent
    if holder is not None and holder.type == "variable_declarator":
        name_node = holder.child_by_field_name("name")
        holder = holder.parent.parent if holder.parent is not None else None
    if holder is not None and holder.type == "export_statement":
        if any(c.type == "default" for c in holder.children):
            return "default"
        return None if name_node is None else source.name(name_node)
    return None if name_node is None else _listed_name(source, source.name(name_node))


def _listed_name(source: Source, name: str) -> str | None:
    for node in source.root.children:
        if node.type != "export_statement":
            continue
        value = node.child_by_field_name("value")
        if value is not None and source.name(value) == name:
            return "default"
        for spec in (n for n in walk(node) if n.type == "export_specifier"):
            inner, alias = spec.child_by_field_name("name"), spec.child_by_field_name("alias")
            if inner is not None and source.name(inner) == name:
                return source.name(alias or inner)
    return None
