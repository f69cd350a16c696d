"""Scopes: which declaration each name in a source means. Pure.

Modules are strict code, so a function is declared in its block, and ``with`` and ``eval`` hide
nothing. Parameters and a function's outermost statements share one scope here: where that tells
the two apart, JavaScript refuses the source.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from tree_sitter import Node

from .._value_class import value_class
from .parse import Source

__all__ = ("FUNCTIONS", "Reference", "Scope", "Scopes", "bound_names")

FUNCTIONS = frozenset(
    {
        "function_declaration",
        "function_expression",
        "arrow_function",
        "generator_function_declaration",
        "generator_function",
        "method_definition",
    }
)
_DECLARED = frozenset({"function_declaration", "generator_function_declaration"})
_EXPRESSIONS = frozenset({"function_expression", "generator_function"})
_BLOCKS = frozenset({"for_statement", "for_in_statement", "switch_body", "catch_clause"})
_NAMES = frozenset(
    {
        "identifier",
        "shorthand_property_identifier",
        "shorthand_property_identifier_pattern",
    }
)
_PARTS = {
    "pair_pattern": "value",
    "assignment_pattern": "left",
    "object_assignment_pattern": "left",
}


class Scope:
    """A piece of source that names are declared in."""

    __slots__ = ("_parent", "end", "is_function", "names", "start")

    def __init__(self, node: Node, parent: Scope | None, *, is_function: bool) -> None:
        self.start, self.end = node.start_byte, node.end_byte
        self._parent = parent
        self.is_function = is_function
        self.names: set[str] = set()

    @property
    def is_module(self) -> bool:
        """Whether it is the outermost."""
        return self._parent is None

    @property
    def function(self) -> Scope:
        """The innermost function around it, or the module."""
        scope = self
        while not scope.is_function and scope._parent is not None:
            scope = scope._parent
        return scope

    def find(self, name: str) -> Scope | None:
        """The scope that declares a name which is used in this one."""
        scope: Scope | None = self
        while scope is not None and name not in scope.names:
            scope = scope._parent
        return scope


@value_class
class Reference:
    """A name where it stands for a value, or is assigned one."""

    name: str
    place: int  # its first byte
    scope: Scope


class Scopes:
    """The scopes of one source and every reference in it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._declared: set[int] = set()  # nodes that declare a name
        self._foreign: set[int] = set()  # … that are a name of another module
        self.module = Scope(source.root, None, is_function=True)
        self.references: list[Reference] = []
        stack = [(source.root, self.module)]
        while stack:
            node, scope = stack.pop()
            inner = self._read(node, scope)
            stack.extend((child, inner) for child in node.children)
        self.references.sort(key=_place_of)

    def declares(self, node: Node) -> bool:
        """Whether a name that stands here is declared here."""
        return node.id in self._declared

    def between(self, start: int, end: int) -> list[Reference]:
        """The references in a piece of the source, in its order."""
        first = bisect_left(self.references, start, key=_place_of)
        last = bisect_left(self.references, end, key=_place_of)
        return self.references[first:last]

    def captured(self, start: int, end: int) -> Iterator[tuple[str, Scope]]:
        """The names that a piece uses and a function around it declares, each with its scope."""
        names: set[str] = set()
        for reference in self.between(start, end):
            scope = reference.scope.find(reference.name)
            if scope is None or scope.function.is_module or reference.name in names:
                continue
            if scope.start < start or scope.end > end:
                names.add(reference.name)
                yield reference.name, scope

    def _read(self, node: Node, scope: Scope) -> Scope:
        """Note a node's declarations and references. Returns the scope of its children."""
        kind = node.type
        if kind in _NAMES:
            if node.id not in self._declared and node.id not in self._foreign:
                name = self._source.name(node)
                self.references.append(Reference(name=name, place=node.start_byte, scope=scope))
        elif kind in FUNCTIONS:
            return self._function(node, scope)
        elif kind in {"class", "class_declaration"}:
            return self._class(node, scope)
        elif kind in {"class_static_block", "field_definition"}:
            return Scope(node, scope, is_function=True)
        elif kind == "statement_block":
            parent = node.parent
            is_body = parent is not None and (
                parent.type in FUNCTIONS or parent.type == "class_static_block"
            )
            return scope if is_body else Scope(node, scope, is_function=False)
        elif kind in _BLOCKS:
            return self._block(node, scope)
        elif kind in {"variable_declaration", "lexical_declaration"}:
            self._variables(node, scope)
        elif kind in {"import_clause", "import_specifier", "namespace_import"}:
            self._import(node)
        elif kind == "export_specifier":
            self._export(node)
        return scope

    def _function(self, node: Node, scope: Scope) -> Scope:
        inner = Scope(node, scope, is_function=True)
        name = node.child_by_field_name("name")
        if node.type in _DECLARED:
            self._declare(name, scope)
        elif node.type in _EXPRESSIONS:
            self._declare(name, inner)
        self._declare(node.child_by_field_name("parameter"), inner)
        parameters = node.child_by_field_name("parameters")
        for parameter in () if parameters is None else parameters.named_children:
            self._declare(parameter, inner)
        return inner

    def _class(self, node: Node, scope: Scope) -> Scope:
        name = node.child_by_field_name("name")
        if node.type == "class_declaration":
            self._declare(name, scope)
        inner = Scope(node, scope, is_function=False)
        self._declare(name, inner)
        return inner

    def _block(self, node: Node, scope: Scope) -> Scope:
        inner = Scope(node, scope, is_function=False)
        self._declare(node.child_by_field_name("parameter"), inner)
        kind = node.child_by_field_name("kind")
        if kind is not None:
            pattern = node.child_by_field_name("left")
            self._declare(pattern, scope.function if kind.type == "var" else inner)
        return inner

    def _variables(self, node: Node, scope: Scope) -> None:
        target = scope.function if node.type == "variable_declaration" else scope
        for declarator in node.named_children:
            self._declare(declarator.child_by_field_name("name"), target)

    def _import(self, node: Node) -> None:
        """Declare the name that an import binds; the other module's name is no reference."""
        own = node.child_by_field_name("alias") or node.child_by_field_name("name")
        for child in node.named_children:
            if child.type == "identifier" and (own is None or child.id == own.id):
                self._declare(child, self.module)
            else:
                self._foreign.add(child.id)

    def _export(self, node: Node) -> None:
        """The name as another module sees it is no reference, nor is one of a third module."""
        statement = node.parent.parent if node.parent is not None else None
        has_source = statement is not None and statement.child_by_field_name("source") is not None
        own = node.child_by_field_name("name")
        for child in node.named_children:
            if has_source or own is None or child.id != own.id:
                self._foreign.add(child.id)

    def _declare(self, pattern: Node | None, scope: Scope) -> None:
        for node in bound_names(pattern):
            self._declared.add(node.id)
            scope.names.add(self._source.name(node))


def bound_names(pattern: Node | None) -> Iterator[Node]:
    """The names that a pattern binds, as nodes."""
    stack = [] if pattern is None else [pattern]
    while stack:
        node = stack.pop()
        if node.type in {"identifier", "shorthand_property_identifier_pattern"}:
            yield node
        elif node.type in {"object_pattern", "array_pattern", "rest_pattern"}:
            stack.extend(reversed(node.named_children))
        elif node.type in _PARTS:
            stack += node.children_by_field_name(_PARTS[node.type])


def _place_of(reference: Reference) -> int:
    return reference.place
