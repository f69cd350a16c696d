"""Erasing: TypeScript to JavaScript by writing blanks over types, in place. Pure.

Nothing moves: line and column numbers of what stays are those of the source. A statement that
is erased whole leaves a ``;`` so that its neighbours do not join. What has meaning at run time
beyond JavaScript (enums, namespaces, parameter properties, …) is refused by name.
"""

from __future__ import annotations

from tree_sitter import Node

from .diagnostics import Diagnostic, diagnose
from .parse import Source, walk

__all__ = ("erase",)

# Nodes that are types through and through, wherever they stand.
_TYPES = frozenset(
    {
        "type_annotation",
        "type_parameters",
        "type_arguments",
        "implements_clause",
        "asserts_annotation",
        "type_predicate_annotation",
        "accessibility_modifier",
        "override_modifier",
        "omitting_type_annotation",
        "opting_type_annotation",
        "adding_type_annotation",
    }
)
_STATEMENTS = frozenset(
    {
        "interface_declaration",
        "type_alias_declaration",
        "ambient_declaration",
        "function_signature",
    }
)
_MEMBERS = frozenset({"abstract_method_signature", "method_signature", "index_signature"})
_REFUSED = {
    "enum_declaration": ("an enum", "write an object: const Color = { Red: 'red' } as const"),
    "internal_module": ("a namespace", "export its members from a file of their own"),
    "module": ("a namespace", "export its members from a file of their own"),
    "import_alias": ("import =", "write import … from"),
    "import_require_clause": ("import = require()", "write import … from"),
    "decorator": ("a decorator", "call the function yourself"),
    "type_assertion": ("a <T> cast", "write value as T"),
    "jsx_element": ("JSX", "workflows render nothing; do it in a step"),
    "jsx_self_closing_element": ("JSX", "workflows render nothing; do it in a step"),
}
_KEYWORDS = frozenset({"readonly", "abstract", "declare"})


def erase(source: Source) -> tuple[str, list[Diagnostic]]:
    """JavaScript at the same places, and what could not be erased."""
    eraser = _Eraser(source)
    eraser.visit(source.root)
    for node in walk(source.root):
        if node.type == "lookup_type":
            eraser.check_lookup(node)
    eraser.drop_type_imports()
    return eraser.out.decode("utf-8"), eraser.problems


class _Eraser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.out = bytearray(source.text)
        self.problems: list[Diagnostic] = []
        self.value_names: set[str] = set()

    def visit(self, root: Node) -> None:
        stack = [root]
        while stack:
            node = stack.pop()
            if not self.handle(node):
                stack.extend(reversed(node.children))

    def handle(self, node: Node) -> bool:
        """Deal with one node; True when its inside needs no visit."""
        kind = node.type
        if kind in _REFUSED:
            what, hint = _REFUSED[kind]
            self.refuse(node, f"{what} has no meaning here without TypeScript's compiler", hint)
            return True
        if kind in _TYPES:
            self.blank_type(node)
            return True
        if kind in _STATEMENTS:
            self.blank_statement(node)
            return True
        if kind in _MEMBERS and node.parent and node.parent.type == "class_body":
            self.blank(node.start_byte, node.end_byte)
            return True
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return handler(self, node)
        if kind in {"identifier", "shorthand_property_identifier"}:
            self.note_value(node)
        return False

    def refuse(self, node: Node, message: str, hint: str) -> None:
        source = self.source
        self.problems.append(diagnose(source.file, source.text, node, message, hint=hint))

    def blank(self, start: int, end: int) -> None:
        text = self.source.text[start:end].decode()
        self.out[start:end] = "".join(map(_blank_of, text)).encode()

    def blank_type(self, node: Node) -> None:
        before = node.prev_sibling
        self.blank(node.start_byte, node.end_byte)
        if before is not None and before.type in {"?", "!"}:
            self.blank(before.start_byte, before.end_byte)
        parent = node.parent
        if parent is not None and parent.type == "arrow_function":
            self.keep_arrow(node, parent)

    def keep_arrow(self, node: Node, function: Node) -> None:
        """An arrow must stay on the line of its parenthesis, and that where its function begins."""
        text = self.source.text[node.start_byte : node.end_byte]
        if node.type == "type_parameters" and b"\n" in text:
            self.refuse(node, "type parameters of an arrow function on several lines", "join them")
        parameters, arrow = function.child_by_field_name("parameters"), node.next_sibling
        if parameters is None or arrow is None or arrow.type != "=>":
            return
        end = parameters.end_byte
        between = self.source.text[end : arrow.start_byte]
        if b"\n" not in between:
            return
        if b"\n" in between[:2]:
            self.refuse(node, "a return type on a line below its parenthesis", "join the lines")
        self.blank(arrow.start_byte, arrow.end_byte)
        self.out[end : end + 2] = b"=>"

    def blank_statement(self, node: Node) -> None:
        target = node
        if node.parent is not None and node.parent.type == "export_statement":
            target = node.parent
        self.blank(target.start_byte, target.end_byte)
        self.out[target.start_byte] = 0x3B

    def note_value(self, node: Node) -> None:
        parent = node.parent
        if parent is not None and parent.type in {
            "import_specifier",
            "import_clause",
            "namespace_import",
        }:
            return
        self.value_names.add(self.source.of(node))

    # --- constructs -----------------------------------------------------------------------

    def cast(self, node: Node) -> bool:
        """``x as T``, ``x satisfies T``: all after the expression goes."""
        inner = node.children[0]
        self.blank(inner.end_byte, node.end_byte)
        # "x as T\n(f)()": nobody calls a type, so TypeScript ends the statement there.
        if node.parent is not None and node.parent.type == "call_expression":
            self.out[inner.end_byte] = 0x3B
        self.visit(inner)
        return True

    def check_lookup(self, node: Node) -> None:
        """``T[K]``: where the bracket begins a line it is none, but the parser cannot tell."""
        held, bracket = node.children[:2]
        if b"\n" in self.source.text[held.end_byte : bracket.start_byte]:
            self.refuse(bracket, "a [ after a type begins a line", 'end the line above with ";"')

    def non_null(self, node: Node) -> bool:
        self.blank(node.end_byte - 1, node.end_byte)
        return False

    def parameter(self, node: Node) -> bool:
        children = node.children
        modifiers = [
            c
            for c in children
            if c.type in {"accessibility_modifier", "readonly", "override_modifier"}
        ]
        if modifiers:
            self.refuse(
                modifiers[0],
                "a parameter property has no meaning here without TypeScript's compiler",
                "declare the field and assign it in the constructor",
            )
        first = node.child_by_field_name("pattern")
        if first is not None and first.type == "this":
            end = node.end_byte
            follower = node.next_sibling
            if follower is not None and follower.type == ",":
                end = follower.end_byte
            self.blank(node.start_byte, end)
            return True
        for child in children:
            if child.type == "?":
                self.blank(child.start_byte, child.end_byte)
        return False

    def field(self, node: Node) -> bool:
        words = {c.type for c in node.children}
        if "abstract" in words or "declare" in words:
            self.blank(node.start_byte, node.end_byte)
            return True
        for child in node.children:
            if child.type in _KEYWORDS or child.type in {"?", "!"}:
                self.blank(child.start_byte, child.end_byte)
        return False

    def method(self, node: Node) -> bool:
        for child in node.children:
            if child.type == "?":
                self.blank(child.start_byte, child.end_byte)
        return False

    def abstract_class(self, node: Node) -> bool:
        for child in node.children:
            if child.type == "abstract":
                self.blank(child.start_byte, child.end_byte)
        return False

    def declarator(self, node: Node) -> bool:
        for child in node.children:
            if child.type == "!":
                self.blank(child.start_byte, child.end_byte)
        return False

    def imports(self, node: Node) -> bool:
        if any(c.type in {"type", "typeof"} for c in node.children):
            self.blank_statement(node)
            return True
        return False

    def exports(self, node: Node) -> bool:
        words = [c.type for c in node.children]
        if "type" in words:
            self.blank_statement(node)
            return True
        if "=" in words:
            self.refuse(
                node, "export = has no meaning here", "write export default, or export { … }"
            )
            return True
        return False

    def specifier(self, node: Node) -> bool:
        if any(c.type == "type" for c in node.children[:1]) and len(node.children) > 1:
            self.blank_listed(node)
            return True
        return False

    def blank_listed(self, node: Node) -> None:
        end = node.end_byte
        follower = node.next_sibling
        if follower is not None and follower.type == ",":
            end = follower.end_byte
        self.blank(node.start_byte, end)

    def drop_type_imports(self) -> None:
        """Imported names that are used only as types go, as TypeScript has it."""
        for statement in self.source.root.children:
            if statement.type != "import_statement":
                continue
            specifiers = [n for n in walk(statement) if n.type == "import_specifier"]
            unused = [n for n in specifiers if self.local_name(n) not in self.value_names]
            others = [n for n in walk(statement) if n.type in {"namespace_import"}] + [
                c
                for n in walk(statement)
                if n.type == "import_clause"
                for c in n.children
                if c.type == "identifier"
            ]
            used_other = [n for n in others if self.source.of(n).split()[-1] in self.value_names]
            if (specifiers or others) and len(unused) == len(specifiers) and not used_other:
                if bytes(self.out[statement.start_byte : statement.end_byte]).strip(b" ;\r\n"):
                    self.blank_statement(statement)
                continue
            for node in unused:
                self.blank_listed(node)

    def local_name(self, node: Node) -> str:
        alias = node.child_by_field_name("alias") or node.child_by_field_name("name")
        return "" if alias is None else self.source.of(alias)


def _blank_of(char: str) -> str:
    """Space of the same width, in bytes for the parser and in characters for columns."""
    if char in "\r\n\u2028\u2029":
        return char
    return (" ", "\u00a0", "\u2003", "\u2003 ")[len(char.encode()) - 1]


_HANDLERS = {
    "as_expression": _Eraser.cast,
    "satisfies_expression": _Eraser.cast,
    "non_null_expression": _Eraser.non_null,
    "required_parameter": _Eraser.parameter,
    "optional_parameter": _Eraser.parameter,
    "public_field_definition": _Eraser.field,
    "method_definition": _Eraser.method,
    "abstract_class_declaration": _Eraser.abstract_class,
    "variable_declarator": _Eraser.declarator,
    "import_statement": _Eraser.imports,
    "export_statement": _Eraser.exports,
    "import_specifier": _Eraser.specifier,
    "export_specifier": _Eraser.specifier,
}
