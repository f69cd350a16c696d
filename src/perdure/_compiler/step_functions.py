"""Step functions: the steps of a file as both of its forms need them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from .._value_class import value_class
from .diagnostics import Diagnostic, diagnose
from .parse import Source, walk
from .paths import class_name, enclosing_function, key_of, module_path, path_of, prefix_of
from .scopes import FUNCTIONS, Scopes

__all__ = ("DECLARATION", "GETTER", "MEMBER", "PROPERTY", "VALUE", "StepFunction", "read_steps")

# Where a step stands.
DECLARATION = "declaration"
VALUE = "value"  # any expression
PROPERTY = "property"  # a method of an object
GETTER = "getter"  # of an object
MEMBER = "member"  # of a class

_NAMING = {"pair": "key", "assignment_expression": "left"}  # the name of an unnamed function


@value_class
class StepFunction:
    """A step of a file."""

    node: Node
    form: str
    id: str
    name: str  # its own, by which stacks show it; "" for none
    is_nested: bool  # a function is around it
    captures: tuple[str, ...]  # variables of functions around it
    takes_this: bool  # its body uses the ``this`` that it is called with
    keeps_this: bool  # … that of the function around it
    max_retries: str  # of one in a function, as its source sets it; "" if it does not

    @property
    def line(self) -> int:
        """The line that it begins on."""
        return self.node.start_point[0] + 1


def read_steps(
    source: Source, functions: list[Node], scopes: Scopes
) -> tuple[list[StepFunction], list[Diagnostic]]:
    """The steps that these functions are, and the problems with them.

    Args:
        functions: in the order of the source.
    """
    reader = _Reader(source, scopes)
    steps = [reader.read(function) for function in functions]
    return steps, reader.problems


class _Reader:
    def __init__(self, source: Source, scopes: Scopes) -> None:
        self.source, self.scopes = source, scopes
        self.problems: list[Diagnostic] = []
        self.anonymous = 0

    def report(self, node: Node, message: str, hint: str) -> None:
        source = self.source
        self.problems.append(diagnose(source.file, source.text, node, message, hint=hint))

    def read(self, function: Node) -> StepFunction:
        form = _form_of(function)
        is_nested = enclosing_function(function) is not None
        is_arrow = function.type == "arrow_function"
        uses_this = self.check(function, form, is_arrow=is_arrow)
        name = _own_name(self.source, function)
        path = path_of(self.source, function) or self.number(function)
        return StepFunction(
            node=function,
            form=form,
            id=f"step//{module_path(self.source.file)}//{path}",
            name=name,
            is_nested=is_nested,
            captures=tuple(self.captured(function, name)) if is_nested else (),
            takes_this=uses_this and not is_arrow,
            keeps_this=uses_this and is_arrow and is_nested,
            max_retries=self.retries(function, name) if is_nested else "",
        )

    def number(self, function: Node) -> str:
        path = f"{prefix_of(self.source, function)}_anonymousStep{self.anonymous}"
        self.anonymous += 1
        return path

    def captured(self, function: Node, name: str) -> Iterator[str]:
        """The variables that it captures; itself it has by its name."""
        for captured, _ in self.scopes.captured(function.start_byte, function.end_byte):
            if captured != name or not _declares(function):
                yield captured

    def retries(self, function: Node, name: str) -> str:
        """The number that the function around it sets as its ``maxRetries``."""
        outer = enclosing_function(function)
        assert outer is not None
        if not _declares(function):
            return ""
        for node in walk(outer):
            if node.type == "assignment_expression":
                left, right = (node.child_by_field_name(side) for side in ("left", "right"))
                is_it = left is not None and self.source.of(left) == f"{name}.maxRetries"
                if is_it and right is not None and right.type == "number":
                    return self.source.of(right)
        return ""

    def check(self, function: Node, form: str, *, is_arrow: bool) -> bool:
        """Report words that mean nothing in a step. Returns whether it uses ``this``."""
        uses_this = False
        for node in _own_nodes(function):
            if node.type == "this":
                uses_this = True
            elif node.type == "super":
                self.report(node, "super has no meaning in a step", "call a function by its name")
            elif is_arrow and node.type == "identifier" and self.source.of(node) == "arguments":
                hint = "write function, or name the parameters: (...args) =>"
                self.report(node, "a step that is an arrow function has no arguments", hint)
        if uses_this and form == GETTER:
            message = "this has no meaning in a getter that is a step of an object"
            self.report(function, message, "write a method, or a class")
        if form == MEMBER and not _owner_name(self.source, function):
            self.report(function, "a step's class needs a name", "write class Name")
        elif form == MEMBER and not key_of(self.source, function.child_by_field_name("name")):
            self.report(function, "a step needs a name that is written out", "write it without [ ]")
        return uses_this


def _form_of(function: Node) -> str:
    parent = function.parent
    if function.type == "method_definition":
        if parent is not None and parent.type == "class_body":
            return MEMBER
        return GETTER if any(child.type == "get" for child in function.children) else PROPERTY
    return DECLARATION if function.type == "function_declaration" else VALUE


def _own_name(source: Source, function: Node) -> str:
    """The name that a function has, or is given by where it stands."""
    parent = function.parent
    assert parent is not None
    own = function.child_by_field_name("name")
    if parent.type == "variable_declarator":
        own = parent.child_by_field_name("name")
    elif own is None and parent.type in _NAMING:
        own = parent.child_by_field_name(_NAMING[parent.type])
    elif own is None and parent.type == "export_statement":
        return "default"
    if own is None or own.type in {"object_pattern", "array_pattern", "member_expression"}:
        return ""
    return key_of(source, own)


def _declares(function: Node) -> bool:
    """Whether where it stands declares a variable of its name."""
    parent = function.parent
    is_variable = parent is not None and parent.type == "variable_declarator"
    return is_variable or function.type == "function_declaration"


def _owner_name(source: Source, method: Node) -> str:
    body = method.parent
    return "" if body is None or body.parent is None else class_name(source, body.parent)


def _own_nodes(function: Node) -> Iterator[Node]:
    """The nodes for which ``this`` is the function's, or that around an arrow function."""
    stack = [child for child in function.children if child.type != "computed_property_name"]
    while stack:
        node = stack.pop()
        yield node
        is_other = node.type in FUNCTIONS and node.type != "arrow_function"
        if not is_other and node.type != "class_body":
            stack.extend(node.children)
