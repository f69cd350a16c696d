"""Paths: the part of an id that tells a function or a class from the others of its file. Pure.

``outer/inner`` for functions and the keys of objects around them, ``Class.method`` for a static
member, ``Class#member`` for one of each instance.
"""

from __future__ import annotations

from tree_sitter import Node

from .parse import Source
from .scopes import FUNCTIONS

__all__ = ("class_name", "enclosing_function", "key_of", "member_path", "module_path", "path_of")

_SUFFIXES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_INNER = frozenset({"class_static_block", "field_definition"})  # run as functions are
_UNNAMING = frozenset({"arguments", "array"})  # a value in them is not what a name stands for
DEFAULT = "__default"
DEFAULT_CLASS = "__DefaultClass"


def module_path(specifier: str) -> str:
    """The part of an id that names the file."""
    suffix = next((suffix for suffix in _SUFFIXES if specifier.endswith(suffix)), "")
    return "./" + specifier.removesuffix(suffix)


def enclosing_function(node: Node) -> Node | None:
    """The innermost function around a node, or piece of a class that is run like one."""
    parent = node.parent
    while parent is not None and parent.type not in FUNCTIONS and parent.type not in _INNER:
        parent = parent.parent
    return parent


def path_of(source: Source, function: Node) -> str:
    """The path of a function within its file; "" if it has no name of its own."""
    own = _own_path(source, function)
    outer = enclosing_function(function)
    is_field = outer is not None and outer.child_by_field_name("value") == function
    while outer is not None and (own or is_field):
        keys = _own_path(source, outer)
        own = [*keys, *own]
        outer = enclosing_function(outer)
    return "/".join(own)


def prefix_of(source: Source, function: Node) -> str:
    """The path of the functions around a function, and a slash; "" at the top."""
    outer = enclosing_function(function)
    while outer is not None:
        path = path_of(source, outer)
        if path:
            return f"{path}/"
        outer = enclosing_function(outer)
    return ""


def _own_path(source: Source, node: Node) -> list[str]:
    """The names between a function and the function around it."""
    if node.type in {"method_definition", *_INNER}:
        member = member_path(source, node)
        if member is not None:
            return [member] if member else []
    keys: list[str] = []
    if node.type == "method_definition":
        keys = [key_of(source, node.child_by_field_name("name"))]
    elif node.type.endswith("_declaration"):
        name = node.child_by_field_name("name")
        return [DEFAULT if name is None else source.name(name)]
    keys = _named_around(source, node, keys)
    own = node.child_by_field_name("name")
    return keys or ([] if own is None else [source.name(own)])


def _named_around(source: Source, node: Node, keys: list[str]) -> list[str]:
    """The keys and the binding of an expression, from the outermost on."""
    parent = node.parent
    while parent is not None and parent.type not in FUNCTIONS and parent.type not in _INNER:
        kind = parent.type
        if kind == "pair":
            keys = [key_of(source, parent.child_by_field_name("key")), *keys]
        elif kind in _UNNAMING and not keys:
            return []
        elif kind == "variable_declarator":
            return _bound(source, parent.child_by_field_name("name"), keys)
        elif kind == "assignment_expression":
            return _bound(source, parent.child_by_field_name("left"), keys)
        elif kind == "export_statement":
            return [DEFAULT, *keys]
        elif kind.endswith("_statement"):
            return keys
        parent = parent.parent
    return keys


def _bound(source: Source, target: Node | None, keys: list[str]) -> list[str]:
    """The keys behind the name that a value is given to."""
    names: list[str] = []
    while target is not None and target.type == "member_expression":
        part = target.child_by_field_name("property")
        names = [*names, "" if part is None else source.name(part)]
        target = target.child_by_field_name("object")
    if target is None or target.type not in {"identifier", "this"}:
        return keys
    if target.type == "identifier":
        names.append(source.name(target))
    return [*reversed(names), *keys]


def key_of(source: Source, key: Node | None) -> str:
    """The name of a property; "" if it is computed."""
    if key is None or key.type == "computed_property_name":
        return ""
    return source.name(key)


def member_path(source: Source, member: Node) -> str | None:
    """``Class.name`` or ``Class#name``; "" of a class's block, None if it is of no class."""
    body = member.parent
    if body is None or body.type != "class_body" or body.parent is None:
        return None
    if member.type == "class_static_block":
        return ""
    key = member.child_by_field_name("name") or member.child_by_field_name("property")
    name, owner = key_of(source, key), class_name(source, body.parent)
    is_static = any(child.type == "static" for child in member.children)
    return f"{owner}{'.' if is_static else '#'}{name}" if owner and name else ""


def class_name(source: Source, node: Node) -> str:
    """The name by which its module knows a class; "" if it has none."""
    holder = node.parent
    name = node.child_by_field_name("name")
    if holder is not None and holder.type == "variable_declarator":
        name = holder.child_by_field_name("name")
    if name is not None:
        return source.name(name)
    is_default = holder is not None and holder.type == "export_statement"
    return DEFAULT_CLASS if is_default else ""
