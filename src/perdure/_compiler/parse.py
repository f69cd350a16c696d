"""Parsing: source text to a syntax tree; every syntax error a diagnostic. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

from .diagnostics import Diagnostic, diagnose

__all__ = ("Source", "parse", "walk")

_LANGUAGE = Language(tree_sitter_typescript.language_typescript())
_TSX = Language(tree_sitter_typescript.language_tsx())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A parsed file."""

    file: str
    text: bytes
    root: Node

    def of(self, node: Node) -> str:
        """A node's text."""
        return self.text[node.start_byte : node.end_byte].decode("utf-8", "replace")


def parse(file: str, text: str) -> tuple[Source, list[Diagnostic]]:
    """The syntax tree and the syntax errors."""
    data = text.encode()
    parser = Parser(_TSX if file.endswith((".tsx", ".jsx")) else _LANGUAGE)
    source = Source(file=file, text=data, root=parser.parse(data).root_node)
    return source, list(_errors(source)) if source.root.has_error else []


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
            found = source.of(node).strip().split("\n")[0][:40]
            yield diagnose(source.file, source.text, node, f"syntax error near {found!r}")
