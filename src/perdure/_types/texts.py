"""Texts: names, literals and docstrings of Python in TypeScript, where text stays data. Pure."""

from __future__ import annotations

import inspect
import json
import re

from ..display import shown_text

__all__ = ("RESERVED", "RESERVED_TYPES", "comment", "is_identifier", "quoted")

RESERVED = frozenset(
    (
        *("arguments", "await", "break", "case", "catch", "class", "const", "continue"),
        *("debugger", "default", "delete", "do", "else", "enum", "eval", "export"),
        *("extends", "false", "finally", "for", "function", "if", "implements", "import"),
        *("in", "instanceof", "interface", "let", "new", "null", "package", "private"),
        *("protected", "public", "return", "static", "super", "switch", "this", "throw"),
        *("true", "try", "typeof", "var", "void", "while", "with", "yield"),
    )
)
"""Names that no variable or function of TypeScript has."""

RESERVED_TYPES = RESERVED.union(
    (
        *("Array", "ArrayBuffer", "ArrayBufferView", "DataView", "Date", "Error", "Map", "Promise"),
        *("Record", "RegExp", "Set", "URL", "Uint8Array", "any", "bigint", "boolean"),
        *("never", "number", "object", "string", "symbol", "undefined", "unknown"),
    )
)
"""Names that no type here has: TypeScript's own, and those that declarations use."""

_IDENTIFIER = re.compile(r"[^\W\d][\w]*")


def is_identifier(name: str) -> bool:
    """Whether *name* can stand in TypeScript as it is."""
    return _IDENTIFIER.fullmatch(name) is not None


def quoted(text: str) -> str:
    """A string literal, in which only visible characters stand for themselves."""
    return "".join(
        [
            c if shown_text(c) == c else json.dumps(c)[1:-1]
            for c in json.dumps(text, ensure_ascii=False)
        ]
    )


def comment(doc: str) -> str:
    """A docstring as a comment on lines of its own; nothing for an empty one."""
    lines = inspect.cleandoc(doc).replace("*/", "* /").split("\n") if doc else []
    if not lines:
        return ""
    lines = [shown_text(line) for line in lines]
    if len(lines) == 1:
        return f"/** {lines[0]} */\n"
    return "\n".join(["/**", *(f" * {line}".rstrip() for line in lines), " */"]) + "\n"
