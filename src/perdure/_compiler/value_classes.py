"""Value classes: classes whose instances cross, by two static functions under agreed symbols. Pure.

A class with a static step crosses as a class, for the step's ``this``. A class that extends a value
class of the bundle is one, too, under its own id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tree_sitter import Node

from .._value_class import value_class
from .parse import Source, walk
from .paths import class_name, enclosing_function, module_path
from .rewriting import Rewriting, quoted

__all__ = ("ValueClass", "extending", "read_classes", "write_classes")

_SYMBOLS = {
    "workflow-serialize": "WORKFLOW_SERIALIZE",
    "workflow-deserialize": "WORKFLOW_DESERIALIZE",
}
_MENTIONED = re.compile(rb"WORKFLOW_|workflow-")
_BOTH = frozenset(_SYMBOLS.values())
_REGISTER = 'globalThis[Symbol.for("PERDURE_CLASS")]'
_BY_HAND = r"Symbol\s*\.\s*for\s*\(\s*[\"'](workflow-(?:de)?serialize)[\"']\s*\)"


@value_class
class ValueClass:
    """A class at the top of a file that crosses, or does so if what it extends does."""

    node: Node
    name: str
    id: str
    base: str  # the name of what it extends, as its module or another one declares it
    crosses: bool


def read_classes(source: Source, nodes: Iterable[Node], steps: Iterable[Node]) -> list[ValueClass]:
    """The classes of a file that may cross.

    Args:
        nodes: all its classes.
        steps: the functions that are its steps.
    """
    tops = [node for node in nodes if enclosing_function(node) is None]
    if not tops:
        return []
    names = _symbol_names(source) if _MENTIONED.search(source.script) else {}
    owners = {body.start_byte for step in steps if (body := _static_body(step)) is not None}
    classes: list[ValueClass] = []
    for node in tops:
        body = node.child_by_field_name("body")
        name, base = class_name(source, node), _base(source, node)
        if body is None or not name:
            continue
        crosses = _symbols(source, body, names) >= _BOTH or body.start_byte in owners
        if crosses or base:
            id_ = f"class//{module_path(source.file)}//{name}"
            base = _imported(source, base)
            one = ValueClass(node=node, name=name, id=id_, base=base, crosses=crosses)
            classes.append(one)
    return classes


def extending(files: Mapping[str, Iterable[ValueClass]]) -> dict[str, list[ValueClass]]:
    """Of all these files the classes that cross, those that extend one included."""
    names = {one.name for classes in files.values() for one in classes if one.crosses}
    while True:
        more = {
            one.name
            for classes in files.values()
            for one in classes
            if one.base in names and one.name not in names
        }
        if not more:
            break
        names |= more
    crossing = {
        name: [one for one in classes if one.crosses or one.base in names]
        for name, classes in files.items()
    }
    return {name: classes for name, classes in crossing.items() if classes}


def write_classes(classes: Iterable[ValueClass], rewriting: Rewriting) -> None:
    """Register each class where it is defined."""
    for one in classes:
        body = one.node.child_by_field_name("body")
        assert body is not None
        text = f"; static {{ {_REGISTER}({quoted(one.id)}, this); }} "
        rewriting.insert(body.end_byte - 1, text)


def _static_body(step: Node) -> Node | None:
    """The body of the class that a step is a static member of."""
    parent = step.parent
    is_static = any(child.type == "static" for child in step.children)
    return parent if is_static and parent is not None and parent.type == "class_body" else None


def _base(source: Source, node: Node) -> str:
    for child in node.children:
        if child.type == "class_heritage" and child.named_children:
            return source.of(child.named_children[0]).rpartition(".")[2]
    return ""


def _imported(source: Source, name: str) -> str:
    """The other module's name of an import; *name* itself if nothing is imported as it."""
    for statement in source.root.named_children:
        if statement.type == "import_statement":
            for spec in (node for node in walk(statement) if node.type == "import_specifier"):
                alias = spec.child_by_field_name("alias")
                own = spec.child_by_field_name("name")
                if own is not None and alias is not None and source.name(alias) == name:
                    return source.name(own)
    return name


def _symbol_names(source: Source) -> dict[str, str]:
    """The names at a file's top that stand for one of the symbols."""
    names: dict[str, str] = {}
    for statement in source.root.named_children:
        text = source.of(statement)
        if "WORKFLOW_" not in text and "workflow-" not in text:
            continue
        for node in walk(statement):
            if node.type in {"import_specifier", "pair_pattern"}:
                _name_imported(source, node, names)
            elif node.type == "shorthand_property_identifier_pattern":
                names[source.name(node)] = source.name(node)
            elif node.type == "variable_declarator":
                name, value = (node.child_by_field_name(part) for part in ("name", "value"))
                if name is not None and value is not None:
                    names[source.of(name)] = _symbol(source.of(value), names)
    return names


def _name_imported(source: Source, node: Node, names: dict[str, str]) -> None:
    fields = ("name", "alias") if node.type == "import_specifier" else ("key", "value")
    theirs, ours = (node.child_by_field_name(field) for field in fields)
    assert theirs is not None
    names[source.name(ours or theirs)] = source.name(theirs)


def _symbol(text: str, names: Mapping[str, str]) -> str:
    """The symbol that an expression stands for; "" for another value."""
    by_hand = re.fullmatch(_BY_HAND, text)
    if by_hand is not None:
        return _SYMBOLS[by_hand[1]]
    last = text.rpartition(".")[2]
    return last if "." in text and last in _BOTH else names.get(text, "")


def _symbols(source: Source, body: Node, names: Mapping[str, str]) -> set[str]:
    """The symbols under which a class has static members."""
    symbols: set[str] = set()
    for member in body.named_children:
        key = member.child_by_field_name("name") or member.child_by_field_name("property")
        is_static = any(child.type == "static" for child in member.children)
        if is_static and key is not None and key.type == "computed_property_name":
            symbols.add(_symbol(source.of(key)[1:-1].strip(), names))
    return symbols & _BOTH
