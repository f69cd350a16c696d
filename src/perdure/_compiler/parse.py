"""Parsing: JavaScript to a syntax tree; every syntax error a diagnostic. Pure.

The tree is of what types have been erased from, and the last word on whether that is JavaScript.
"""

from __future__ import annotations

from collections.abc import Iterator

import tree_sitter_javascript
from tree_sitter import Language, Node, Parser

from .._value_class import value_class
from .diagnostics import Diagnostic, diagnose
from .letters import spelled, string_value

__all__ = ("Source", "parse", "walk")

_LANGUAGE = Language(tree_sitter_javascript.language())


@value_class
class Source:
    """A parsed file."""

    file: str
    text: bytes  # as it was written
    script: bytes  # the JavaScript whose tree it is
    root: Node

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def of(self, node: Node) -> str:
        """A node's text."""
        return self.script[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def name(self, node: Node) -> str:
        """The name that an identifier or a string spells."""
        text = self.of(node)
        return string_value(text) if node.type == "string" else spelled(text)


def parse(
    file: str, script: str, *, text: str | None = None, mask: str | None = None
) -> tuple[Source, list[Diagnostic]]:
    """The syntax tree and the syntax errors.

    Args:
        text: as it was written, for excerpts; None for the same.
        mask: of as many bytes as the script, to be parsed in its place; None for the same.
    """
    data = script.encode()
    root = Parser(_LANGUAGE).parse(data if mask is None else mask.encode()).root_node
    source = Source(file=file, text=data if text is None else text.encode(), script=data, root=root)
    return source, list(_errors(source)) if root.has_error else []


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, in source order."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(current.children))


def _errors(source: Source) -> Iterator[Diagnostic]:
    for node in walk(source.root):
        if node.is_missing:
            yield diagnose(source.file, source.text, node, f"syntax error: missing {node.type!r}")
        elif node.is_error:
            near = source.of(node).strip().split("\n")[0][:40]
            yield diagnose(source.file, source.text, node, f"syntax error near {near!r}")
