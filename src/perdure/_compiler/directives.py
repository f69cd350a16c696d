"""Directives: which functions are workflows and steps, and directives that are wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field

from tree_sitter import Node

from .._value_class import value_class
from .diagnostics import Diagnostic, diagnose
from .parse import Source, walk
from .paths import enclosing_function
from .scopes import FUNCTIONS

__all__ = ("STEP", "WORKFLOW", "Directives", "FoundWorkflow", "find_directives")

WORKFLOW = "use workflow"
STEP = "use step"
_DIRECTIVES = (WORKFLOW, STEP)
_KINDS = {WORKFLOW: "a workflow", STEP: "a step"}


@value_class
class FoundWorkflow:
    """A workflow function."""

    name: str  # by which the module exports it, or is made to
    line: int
    column: int
    path: str = ""  # of its id
    unexported: str = ""  # an expression for it, if its source does not export it by that name


@value_class
class Directives:
    """The functions of a file that are more than functions, and every misuse of a directive.

    Its classes are noted on the way.
    """

    workflows: list[FoundWorkflow] = field(default_factory=list[FoundWorkflow])
    bodies: list[Node] = field(default_factory=list[Node])  # the functions of those workflows
    steps: list[Node] = field(default_factory=list[Node])  # functions
    classes: list[Node] = field(default_factory=list[Node])
    problems: list[Diagnostic] = field(default_factory=list[Diagnostic])


def find_directives(source: Source) -> Directives:
    """The workflows and the steps of a file."""
    finder = _Finder(source)
    classes: list[Node] = []
    for node in walk(source.root):
        if node.type == "expression_statement":
            finder.check(node)
        elif node.type in {"class", "class_declaration"} and node.is_named:
            classes.append(node)
    if finder.whole_file is not None:
        finder.take_all(finder.whole_file)
    finder.steps.sort(key=_place_of)
    return Directives(
        workflows=finder.workflows,
        bodies=finder.bodies,
        steps=finder.steps,
        classes=classes,
        problems=finder.problems,
    )


class _Finder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.workflows: list[FoundWorkflow] = []
        self.bodies: list[Node] = []
        self.steps: list[Node] = []
        self.problems: list[Diagnostic] = []
        self.marks: dict[int, str] = {}  # functions by their first byte -> directive
        self.whole_file: str | None = None

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
        if text not in _DIRECTIVES or inner.type == "template_string":
            likely = STEP if re.search(r"st", text, re.IGNORECASE) else WORKFLOW
            self.report(inner, f"unknown directive {self.source.of(inner)}", f'write "{likely}"')
        else:
            self.place(statement, inner, text)

    def place(self, statement: Node, directive: Node, text: str) -> None:
        block = _block_of(statement)
        function = block.parent if block is not None else None
        if not _is_first(statement):
            message = f'"{text}" must be the first statement of its function'
            earlier = self._earlier(statement)
            if earlier is not None:
                message = f'"{text}" conflicts with "{earlier}" above it'
            hint = "move it up" if earlier is None else "keep one of them"
            self.report(directive, message, hint)
        elif block is not None and block.type == "program":
            self.whole_file = text
        elif function is None or function.type not in FUNCTIONS:
            hint = "make it the first statement of an async function"
            self.report(directive, f'"{text}" stands in no function', hint)
        else:
            self.take(function, text)

    def _earlier(self, statement: Node) -> str | None:
        """Another directive directly above, where there is one."""
        before = _before(statement)
        text = "" if before is None else self.source.of(before).strip("; \n\t\"'")
        return text if text in _DIRECTIVES else None

    def take(self, function: Node, directive: str) -> None:
        words = {c.type for c in function.children}
        kind = _KINDS[directive]
        if "generator" in function.type or "*" in words:
            self.report(function, f"{kind} cannot be a generator", "write async function")
        elif directive == STEP:
            self._take_step(function, words)
        elif "async" not in words:
            self.report(function, "a workflow must be async", "write async function")
        elif function.type == "method_definition":
            self._take_method(function, words)
        else:
            self.add(function)

    def _take_step(self, function: Node, words: set[str]) -> None:
        name = function.child_by_field_name("name")
        if "set" in words:
            self.report(function, "a step cannot be a setter", "write a method")
        elif name is not None and name.type == "private_property_identifier":
            self.report(function, "a step cannot be private", "write its name without #")
        elif name is not None and self.source.of(name) == "constructor" and _owner(function):
            self.report(function, "a step cannot be a constructor", "write a static method")
        elif not self._is_at_top(function):
            hint = "move the class to the top of its file, or the step out of it"
            self.report(
                function, "a step of a class needs a class that stands in no function", hint
            )
        else:
            self.marks[function.start_byte] = STEP
            self.steps.append(function)

    def _is_at_top(self, function: Node) -> bool:
        """Whether the class that it is a member of stands in no function; True for no member."""
        owner = _owner(function)
        return owner is None or enclosing_function(owner) is None

    def _take_method(self, function: Node, words: set[str]) -> None:
        owner = _owner(function)
        name = function.child_by_field_name("name")
        if "static" not in words or owner is None or name is None:
            hint = "write static before it, or an async function"
            self.report(function, "a workflow cannot be a method, unless that is static", hint)
        elif name.type != "property_identifier" or enclosing_function(owner) is not None:
            hint = "give it a name that is written out, in a class at the top of its file"
            self.report(function, "a workflow needs a name", hint)
        else:
            holder = _binding(owner)
            if holder is None:
                self.report(function, "a workflow's class needs a name", "write class Name")
                return
            path = f"{self.source.name(holder)}.{self.source.name(name)}"
            self._note(function, name=path, path=path, unexported=path)

    def add(self, function: Node) -> None:
        binding = _binding(function)
        name = _exported_name(self.source, function)
        own = "" if binding is None else self.source.name(binding)
        if enclosing_function(function) is not None or not (own or name):
            hint = "declare it by its name, outside of all functions"
            self.report(function, "a workflow must stand at the top of its file", hint)
        elif name is None and _listed_local(self.source, own):
            self.report(function, f"another export has the name {own!r}", "export this one, too")
        else:
            unexported = "" if name else own
            self._note(function, name=name or own, path=own or "__default", unexported=unexported)

    def _note(self, function: Node, *, name: str, path: str, unexported: str) -> None:
        self.marks[function.start_byte] = WORKFLOW
        row, column = function.start_point
        workflow = FoundWorkflow(
            name=name, line=row + 1, column=column + 1, path=path, unexported=unexported
        )
        self.workflows.append(workflow)
        self.bodies.append(function)

    def take_all(self, directive: str) -> None:
        for function in _top_functions(self.source.root):
            name = _exported_name(self.source, function)
            mark = self.marks.get(function.start_byte)
            if name and mark is None:
                self.take(function, directive)
            elif mark not in {None, directive} and directive == STEP:
                hint = "move the workflow to a file of its own"
                self.report(function, "a file of steps holds no workflow", hint)
        if directive == STEP:
            self._check_exports()

    def _check_exports(self) -> None:
        """A file of steps exports functions alone: to a workflow all of them are steps."""
        functions = {function.start_byte for function in _top_functions(self.source.root)}
        for statement in self.source.root.named_children:
            if statement.type == "export_statement":
                for node in _exports(self.source, statement):
                    if node.start_byte not in functions:
                        hint = "move it to a file of its own"
                        self.report(node, "a file of steps exports functions only", hint)


def _place_of(node: Node) -> int:
    return node.start_byte


def _owner(method: Node) -> Node | None:
    """The class that a function is a method of."""
    body = method.parent
    return body.parent if body is not None and body.type == "class_body" else None


def _binding(node: Node) -> Node | None:
    """The name by which a function or a class is declared."""
    holder = node.parent
    if holder is not None and holder.type == "variable_declarator":
        name = holder.child_by_field_name("name")
        return name if name is not None and name.type == "identifier" else None
    is_declared = node.type.endswith("_declaration")
    is_default = holder is not None and holder.type == "export_statement"
    return node.child_by_field_name("name") if is_declared or is_default else None


def _exports(source: Source, statement: Node) -> Iterator[Node]:
    """The values that a statement exports; of names, those that are declared by no function."""
    value = statement.child_by_field_name("value")
    declaration = statement.child_by_field_name("declaration")
    if value is not None:
        if value.type == "identifier" and _is_function(source, source.name(value)):
            return
        yield value
    elif declaration is not None:
        declarators = [n for n in declaration.named_children if n.type == "variable_declarator"]
        for node in declarators or [declaration]:
            yield node.child_by_field_name("value") or node if declarators else node
    elif statement.child_by_field_name("source") is not None:
        yield statement
    else:
        for spec in (n for n in walk(statement) if n.type == "export_specifier"):
            name = spec.child_by_field_name("name")
            if name is None or not _is_function(source, source.name(name)):
                yield spec


def _is_function(source: Source, name: str) -> bool:
    """Whether the file declares a function of this name at its top."""
    bindings = map(_binding, _top_functions(source.root))
    return any(node is not None and source.name(node) == name for node in bindings)


def _top_functions(root: Node) -> Iterator[Node]:
    """The functions a file declares at its top, exported or not."""
    for statement in root.children:
        fields = (statement.child_by_field_name(name) for name in ("declaration", "value"))
        outer = next((node for node in fields if node is not None), statement)
        declared = (n for n in outer.named_children if n.type == "variable_declarator")
        inner = (node.child_by_field_name("value") for node in declared)
        yield from (n for n in (outer, *inner) if n is not None and n.type in FUNCTIONS)


def _resembles_directive(text: str) -> bool:
    if len(text) > 24 or not text.lower().lstrip().startswith("us"):
        return False
    plain = " ".join(text.lower().split())
    if plain in _DIRECTIVES:
        return True
    from difflib import SequenceMatcher  # for errors alone

    return any(SequenceMatcher(None, plain, directive).ratio() > 0.8 for directive in _DIRECTIVES)


def _before(statement: Node) -> Node | None:
    """The statement above, not counting comments."""
    before = statement.prev_named_sibling
    while before is not None and before.type in {"comment", "hash_bang_line"}:
        before = before.prev_named_sibling
    return before


def _is_first(statement: Node) -> bool:
    return _before(statement) is None


def _block_of(statement: Node) -> Node | None:
    """The block that a statement is of; for one that compilers put into a ``try`` its function's.

    That is how TypeScript writes ``using``: declarations, then a ``try`` around all the rest.
    """
    block = statement.parent
    outer = block.parent if block is not None else None
    if block is None or outer is None or outer.type != "try_statement":
        return block
    before = _before(outer)
    while before is not None and before.type in {"lexical_declaration", "variable_declaration"}:
        before = _before(before)
    is_body = outer.child_by_field_name("body") == block and before is None
    if outer.parent is not None and outer.parent.type == "program":
        return block
    return outer.parent if is_body else block


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
    if holder is None or holder.type != "program":
        return None
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


def _listed_local(source: Source, name: str) -> bool:
    """Whether another name is exported as this one."""
    for node in walk(source.root):
        if node.type == "export_specifier":
            alias = node.child_by_field_name("alias")
            if alias is not None and source.name(alias) == name:
                return True
    return False
